import { create, type JsonObject, type MessageInitShape, toJson } from '@bufbuild/protobuf';
import type { DataSourceSchema, TransportSocketSchema } from '../../gen/envoy/config/core/v3/base_pb.js';
import { ApiVersion, type ConfigSourceSchema } from '../../gen/envoy/config/core/v3/config_source_pb.js';
import { CredentialInjectorSchema } from '../../gen/envoy/extensions/filters/http/credential_injector/v3/credential_injector_pb.js';
import { UpstreamCodecSchema } from '../../gen/envoy/extensions/filters/http/upstream_codec/v3/upstream_codec_pb.js';
import { HttpFilterSchema } from '../../gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { GenericSchema } from '../../gen/envoy/extensions/http/injected_credentials/generic/v3/generic_pb.js';
import { SubjectAltNameMatcher_SanType as SanType } from '../../gen/envoy/extensions/transport_sockets/tls/v3/common_pb.js';
import { type Secret, SecretSchema } from '../../gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import { UpstreamTlsContextSchema } from '../../gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import { any, extension } from './any.js';
import { REGISTRY } from './registry.js';

/**
 * How an Envoy proves who it is to its controller, and knows that it is its controller. All of it is in files that Envoy
 * watches: those of the secrets themselves, and one description each, which names them, below `descriptions`. Envoy reads a
 * file again when another is renamed to its name (envoy.config.core.v3.PathConfigSource); what it reads holds for the next connection.
 */
export interface ControllerAccess {
  /** Folder of the descriptions, absolute or relative to Envoy's working directory. */
  readonly descriptions: string;
  /** PEM file of the CA of controllers, likewise. Left out: plain text. */
  readonly ca?: string | undefined;
  /** DNS name or IP address that the certificate of a controller must bear. */
  readonly serverName: string;
  /** PEM files of the node's certificate and its key, likewise. */
  readonly certificate?: { readonly chain: string; readonly key: string } | undefined;
  /** File with the token of the node, likewise. */
  readonly tokenFile?: string | undefined;
}

/** Names by which Envoy knows the secrets; the descriptions are called after them. */
const SECRET = { ca: 'controller-ca', certificate: 'node-certificate', token: 'node-token' } as const;

/** The transport socket of the controller's cluster; nothing for plain text. */
export function controllerTransport(access: ControllerAccess | undefined): {
  transportSocket?: MessageInitShape<typeof TransportSocketSchema>;
} {
  if (access?.ca === undefined) return {};
  return {
    transportSocket: {
      name: 'tls',
      configType: {
        case: 'typedConfig',
        value: any(UpstreamTlsContextSchema, {
          ...(!isIpAddress(access.serverName) && { sni: access.serverName }),
          commonTlsContext: {
            alpnProtocols: ['h2'],
            validationContextType: {
              case: 'validationContextSdsSecretConfig',
              value: { name: SECRET.ca, sdsConfig: described(access, SECRET.ca) },
            },
            tlsCertificateSdsSecretConfigs: access.certificate
              ? [{ name: SECRET.certificate, sdsConfig: described(access, SECRET.certificate) }]
              : [],
          },
        }),
      },
    },
  };
}

/** Filters on the way to the controller, which add the token to each stream; none without one. */
export function controllerFilters(access: ControllerAccess | undefined): MessageInitShape<typeof HttpFilterSchema>[] {
  if (access?.tokenFile === undefined) return [];
  const credential = extension('envoy.http.injected_credentials.generic', GenericSchema, {
    credential: { name: SECRET.token, sdsConfig: described(access, SECRET.token) },
    headerValuePrefix: 'Bearer ',
  });
  const filter = (name: string, value: ReturnType<typeof any>) => {
    return { name, configType: { case: 'typedConfig' as const, value } };
  };
  return [
    filter('envoy.filters.http.credential_injector', any(CredentialInjectorSchema, { overwrite: true, credential })),
    filter('envoy.filters.http.upstream_codec', any(UpstreamCodecSchema, {})),
  ];
}

/** The descriptions: name of the file, and what is to be in it. They name files and hold no secret. Pure. */
export function secretDescriptions(access: ControllerAccess): ReadonlyMap<string, JsonObject> {
  const { ca, certificate, tokenFile, serverName } = access;
  const secrets: MessageInitShape<typeof SecretSchema>[] = [];
  if (ca !== undefined)
    secrets.push({
      name: SECRET.ca,
      type: {
        case: 'validationContext',
        value: {
          trustedCa: inFile(ca),
          matchTypedSubjectAltNames: [
            {
              sanType: isIpAddress(serverName) ? SanType.IP_ADDRESS : SanType.DNS,
              matcher: { matchPattern: { case: 'exact', value: serverName } },
            },
          ],
        },
      },
    });
  if (ca !== undefined && certificate !== undefined)
    secrets.push({
      name: SECRET.certificate,
      type: {
        case: 'tlsCertificate',
        value: { certificateChain: inFile(certificate.chain), privateKey: inFile(certificate.key) },
      },
    });
  if (tokenFile !== undefined)
    secrets.push({ name: SECRET.token, type: { case: 'genericSecret', value: { secret: inFile(tokenFile) } } });
  return new Map(secrets.map((secret) => [fileOf(secret.name as string), description(create(SecretSchema, secret))]));
}

/** A DiscoveryResponse with one secret, as Envoy reads it from a file. */
function description(secret: Secret): JsonObject {
  const json = toJson(SecretSchema, secret, { registry: REGISTRY, useProtoFieldName: true }) as JsonObject;
  return { resources: [{ '@type': `type.googleapis.com/${SecretSchema.typeName}`, ...json }] };
}

function described({ descriptions }: ControllerAccess, name: string): MessageInitShape<typeof ConfigSourceSchema> {
  return {
    configSourceSpecifier: { case: 'pathConfigSource', value: { path: withFolder(`${descriptions}/${fileOf(name)}`) } },
    resourceApiVersion: ApiVersion.V3,
  };
}

const fileOf = (name: string): string => `${name}.json`;

function inFile(path: string): MessageInitShape<typeof DataSourceSchema> {
  return { specifier: { case: 'filename', value: withFolder(path) } };
}

/** Envoy watches the folder of a file, and refuses a path without one. */
const withFolder = (path: string): string => (path.includes('/') ? path : `./${path}`);

/** Whether a host is an IP address and no name. */
export const isIpAddress = (host: string): boolean => /^[0-9.]+$/.test(host) || host.includes(':');
