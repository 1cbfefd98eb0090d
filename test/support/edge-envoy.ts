import { Agent, createServer, type IncomingHttpHeaders, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { create, toBinary } from '@bufbuild/protobuf';
import { TYPE } from '../../src/core/ads/resource.js';
import type { EdgeTables } from '../../src/edge/tables.js';
import {
  type App,
  AppSchema,
  type Policy,
  PolicySchema,
  Signature_Dialect,
  Signature_Digest,
} from '../../src/gen/paifang/v1/policy_pb.js';
import { onCleanup } from './cleanup.js';

/** Names of ids that {@link envoyWithEdge}'s routes and {@link fill} share. */
export const IDS = {
  policy: 'policy-sofa',
  required: 'policy-digest',
  api: 'api0',
  group: 'group0',
  app: 'app0',
} as const;
export const AK = 'ak-0001';
export const SK = 'sk-0001-secret';

/** `paifang.v1.Policy` bytes: signature in the SOFA dialect. */
export function policyBytes(
  name: string,
  digest = Signature_Digest.WHEN_PRESENT,
  more: Partial<Policy> = {},
): Uint8Array {
  const signature = {
    dialect: Signature_Dialect.SOFA,
    requiredHeaders: ['(request-target)'],
    digest,
    clockSkewSeconds: 900,
    tolerant: false,
  };
  return toBinary(PolicySchema, create(PolicySchema, { name, signature, ...more } as never));
}

/** `paifang.v1.App` bytes: one enabled App with {@link AK}, granted the API; `more` replaces fields. */
export function appBytes(more: { [K in keyof App]?: unknown } = {}): Uint8Array {
  const credentials = [{ accessKey: AK, secretKey: Buffer.from(SK), enabled: true, expiresAt: 0n }];
  const app = {
    id: IDS.app,
    name: 'shop',
    workspace: 'default',
    tenant: 'default',
    enabled: true,
    credentials,
    grantedApiIds: [IDS.api],
    ...more,
  };
  return toBinary(AppSchema, create(AppSchema, app as never));
}

/** Delivers resources as the controller would. */
export function deliver(
  tables: EdgeTables,
  type: string,
  upserts: Record<string, Uint8Array>,
  removals: string[] = [],
): void {
  tables.apply({
    type,
    upserts: Object.entries(upserts).map(([name, bytes]) => ({ name, version: '1', bytes })),
    removals,
  });
}

/** The two policies and the App. */
export function fill(tables: EdgeTables): void {
  deliver(tables, TYPE.policy, {
    [IDS.policy]: policyBytes(IDS.policy),
    [IDS.required]: policyBytes(IDS.required, Signature_Digest.REQUIRED),
  });
  deliver(tables, TYPE.app, { [IDS.app]: appBytes() });
}

/** A backend that answers with what it was asked: `{method, url, headers, bytes}`. */
export async function echoBackend(): Promise<number> {
  const server = createServer((incoming, response) => {
    let bytes = 0;
    incoming.on('data', (chunk: Buffer) => (bytes += chunk.length));
    incoming.on('end', () => {
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify({ method: incoming.method, url: incoming.url, headers: incoming.headers, bytes }));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onCleanup(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

const CEL = 'type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3';
const cluster = (name: string, endpoint: object, more: object = {}) => ({
  name,
  connect_timeout: '1s',
  load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint: { address: endpoint } }] }] },
  ...more,
});

/**
 * A static Envoy as the compiler would make it: ext_authz on the edge's socket for `/…` with {@link IDS.policy}, `/digest/…`
 * with {@link IDS.required}, `/unknown/…` with a policy nobody has, `/direct` signed and `/plain` not, both answered by Envoy.
 */
export function envoyWithEdge(options: {
  listener: number;
  socket: string;
  backend: number;
  maxBodyBytes?: number;
}): object {
  const max = options.maxBodyBytes ?? 1 << 20;
  const authz = (policy: string) => ({
    ext_authz: {
      '@type': `${CEL}.ExtAuthzPerRoute`,
      check_settings: { context_extensions: { policy, api: IDS.api, group: IDS.group } },
    },
  });
  const off = { ext_authz: { '@type': `${CEL}.ExtAuthzPerRoute`, disabled: true } };
  const direct = { status: 200, body: { inline_string: 'ok' } };
  const routes = [
    { match: { path: '/plain' }, direct_response: direct, typed_per_filter_config: off },
    { match: { path: '/plain-backend' }, route: { cluster: 'backend' }, typed_per_filter_config: off },
    { match: { path: '/direct' }, direct_response: direct, typed_per_filter_config: authz(IDS.policy) },
    { match: { prefix: '/digest/' }, route: { cluster: 'backend' }, typed_per_filter_config: authz(IDS.required) },
    {
      match: { prefix: '/unknown/' },
      route: { cluster: 'backend' },
      typed_per_filter_config: authz('policy-nobody-has'),
    },
    { match: { prefix: '/' }, route: { cluster: 'backend' }, typed_per_filter_config: authz(IDS.policy) },
  ];
  const filters = [
    {
      name: 'ext_authz',
      typed_config: {
        '@type': `${CEL}.ExtAuthz`,
        grpc_service: { envoy_grpc: { cluster_name: 'edge' }, timeout: '3s' },
        transport_api_version: 'V3',
        with_request_body: { max_request_bytes: max, pack_as_bytes: true },
        status_on_error: { code: 'BadGateway' },
        validate_mutations: true,
        encode_raw_headers: true,
        decoder_header_mutation_rules: {},
        allowed_headers: {
          patterns: [
            ...[
              'authorization',
              'date',
              'digest',
              'content-length',
              'content-type',
              'x-request-id',
              'x-gateway-host',
            ].map((exact) => ({ exact })),
            { prefix: 'x-app-' },
          ],
        },
      },
    },
    { name: 'router', typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' } },
  ];
  const to400 = {
    filter: {
      metadata_filter: {
        matcher: {
          filter: 'envoy.filters.http.ext_authz',
          path: [{ key: 'http' }],
          value: { string_match: { exact: '400' } },
        },
        match_if_key_not_found: false,
      },
    },
    status_code: 400,
  };
  const hcm = {
    '@type': 'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
    stat_prefix: 'test',
    codec_type: 'AUTO',
    local_reply_config: { mappers: [to400] },
    route_config: { name: 'r', virtual_hosts: [{ name: 'v', domains: ['*'], routes }] },
    http_filters: filters,
  };
  return {
    admin: { address: { socket_address: { address: '127.0.0.1', port_value: 0 } } },
    static_resources: {
      listeners: [
        {
          name: 'l',
          address: { socket_address: { address: '127.0.0.1', port_value: options.listener } },
          filter_chains: [{ filters: [{ name: 'hcm', typed_config: hcm }] }],
        },
      ],
      clusters: [
        cluster('backend', { socket_address: { address: '127.0.0.1', port_value: options.backend } }),
        cluster(
          'edge',
          { pipe: { path: options.socket } },
          {
            typed_extension_protocol_options: {
              'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
                '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
                explicit_http_config: { http2_protocol_options: {} },
              },
            },
          },
        ),
      ],
    },
  };
}

export interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  /** Whether the request went over a connection that had served one before. */
  readonly reused: boolean;
}

/** An HTTP/1.1 client on one kept connection. Headers go out as given: spelling, order, repetition. */
export function keepAliveClient(port: number) {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  onCleanup(() => agent.destroy());
  return (
    method: string,
    path: string,
    headers: readonly (readonly [string, string])[] = [],
    body?: Buffer | string,
  ): Promise<Reply> =>
    new Promise((resolve, reject) => {
      const sized = body === undefined ? [] : [['Content-Length', String(Buffer.byteLength(body))] as const];
      const hasHost = headers.some(([name]) => name.toLowerCase() === 'host');
      const all = [...(hasHost ? [] : [['Host', `127.0.0.1:${port}`] as const]), ...headers, ...sized];
      const outgoing = request(
        { port, host: '127.0.0.1', method, path, agent, headers: all.flat() as never },
        (response) => {
          let text = '';
          response.setEncoding('utf8');
          response.on('data', (chunk: string) => (text += chunk));
          response.on('end', () =>
            resolve({
              status: response.statusCode ?? 0,
              headers: response.headers,
              text,
              reused: outgoing.reusedSocket,
            }),
          );
          response.on('error', reject);
        },
      );
      outgoing.on('error', reject);
      outgoing.end(body);
    });
}
