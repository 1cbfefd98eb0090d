import type { MessageInitShape } from '@bufbuild/protobuf';
import { create } from '@bufbuild/protobuf';
import type { TypedExtensionConfigSchema } from '../../gen/envoy/config/core/v3/extension_pb.js';
import {
  HttpConnectionManager_CodecType as CodecType,
  HttpConnectionManager_PathWithEscapedSlashesAction as EscapedSlashes,
  type HttpConnectionManager,
  HttpConnectionManagerSchema,
  HttpConnectionManager_ServerHeaderTransformation as ServerHeader,
} from '../../gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { HeaderMutationSchema } from '../../gen/envoy/extensions/http/early_header_mutation/header_mutation/v3/header_mutation_pb.js';
import type { StringMatcherSchema } from '../../gen/envoy/type/matcher/v3/string_pb.js';
import type { FleetIr } from '../ir/fleet.js';
import { accessLog } from './access-log.js';
import { duration, extension } from './any.js';
import { ADS_SOURCE } from './config-source.js';
import { FILTERS } from './filter-chain.js';
import { headerOption } from './format-string.js';
import { localReplyConfig } from './local-reply.js';
import { HEADER, HELPER_PREFIX, HTTP_STAT_PREFIX } from './names.js';

const SECOND = 1000;
const MINUTE = 60 * SECOND;

/** How long a stream may be without a byte in either direction; routes with longer time-outs override it. */
export const STREAM_IDLE_MS = 5 * MINUTE;

/**
 * Headers by which a client could claim what only a proxy before us may say: where the request came from, and the host, port
 * and prefix it was for. `x-forwarded-proto` Envoy sets itself.
 */
const PROXYS_OWN = [
  'forwarded',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-port',
  'x-forwarded-prefix',
  'x-real-ip',
] as const;
const ENVOYS_OWN = ['x-envoy-original-host', 'x-envoy-original-path'] as const;

/**
 * The HTTP connection manager: one per listener, equal in all. Routes come by scope, so that a change of one group costs what
 * the group costs: the scope is the host, its RouteConfiguration the group's.
 */
export function httpConnectionManager(fleet: FleetIr): HttpConnectionManager {
  return create(HttpConnectionManagerSchema, {
    codecType: CodecType.AUTO,
    statPrefix: HTTP_STAT_PREFIX,
    routeSpecifier: {
      case: 'scopedRoutes',
      value: {
        // One set of scopes per Envoy, whatever the name: scope subscriptions do not carry it.
        name: 'hosts',
        scopeKeyBuilder: {
          fragments: [
            {
              type: {
                case: 'headerValueExtractor',
                value: { name: HEADER.host, extractType: { case: 'index', value: 0 } },
              },
            },
          ],
        },
        rdsConfigSource: ADS_SOURCE,
        configSpecifier: { case: 'scopedRds', value: { scopedRdsConfigSource: ADS_SOURCE } },
      },
    },
    earlyHeaderMutationExtensions: [earlyHeaderMutation(fleet)],
    httpFilters: FILTERS.map(({ name, config }) => ({
      name,
      configType: { case: 'typedConfig' as const, value: config(fleet) },
    })),
    localReplyConfig: localReplyConfig(fleet),
    accessLog: [accessLog(fleet)],

    // Hosts compare without port and final dot; what is left of that, and case, is settled by the filter host-case.
    stripPortMode: { case: 'stripAnyHostPort', value: true },
    stripTrailingHostDot: true,

    // Paths stay as sent: signatures cover them. The filter path-guard refuses what normalisation would change.
    normalizePath: false,
    mergeSlashes: false,
    pathWithEscapedSlashesAction: EscapedSlashes.KEEP_UNCHANGED,

    // The peer is the client, or the proxy so many hops before it. Nobody counts as internal: internal clients could set
    // time-outs and retries by x-envoy- headers and choose the request id. An empty list would mean the private networks.
    useRemoteAddress: true,
    xffNumTrustedHops: fleet.trustedProxies,
    internalAddressConfig: { cidrRanges: [{ addressPrefix: '255.255.255.255', prefixLen: 32 }] },
    generateRequestId: true,
    preserveExternalRequestId: false,

    serverName: 'paifang',
    serverHeaderTransformation: ServerHeader.OVERWRITE,

    // Slow or greedy clients (Envoy's advice for edge proxies): headers in 10 s, a request in 5 min, no silent streams.
    requestHeadersTimeout: duration(10 * SECOND),
    requestTimeout: duration(5 * MINUTE),
    streamIdleTimeout: duration(STREAM_IDLE_MS),
    maxRequestHeadersKb: 60,
    commonHttpProtocolOptions: { idleTimeout: duration(5 * MINUTE), maxHeadersCount: 100 },
    http2ProtocolOptions: {
      maxConcurrentStreams: 100,
      initialStreamWindowSize: 64 * 1024,
      initialConnectionWindowSize: 1024 * 1024,
    },
  });
}

/**
 * Pattern of a header's name and all that are the same to backends that turn `-` into `_`, as CGI, WSGI and their kin do
 * (RFC 3875 §4.1.18): `x_gateway_app-id` must not speak for `x-gateway-app-id`.
 */
const alsoUnderscored = (name: string): string => name.replaceAll('-', '[-_]');

const removeOnMatch = (matchPattern: MessageInitShape<typeof StringMatcherSchema>['matchPattern'] & object) => ({
  action: { case: 'removeOnMatch' as const, value: { keyMatcher: { matchPattern } } },
});

/** Before the route is looked up: drops what clients must not say, and makes the helper headers. */
function earlyHeaderMutation(fleet: FleetIr): MessageInitShape<typeof TypedExtensionConfigSchema> {
  const dropped = [HEADER.appId, ...ENVOYS_OWN, ...(fleet.trustedProxies === 0 ? PROXYS_OWN : [])];
  const set = (name: string, value: string) => ({ case: 'append' as const, value: headerOption(name, value) });
  return extension('helpers', HeaderMutationSchema, {
    mutations: [
      removeOnMatch({ case: 'prefix', value: HELPER_PREFIX }),
      removeOnMatch({ case: 'safeRegex', value: { regex: dropped.map(alsoUnderscored).join('|') } }),
      { action: set(HEADER.host, '%REQ(:AUTHORITY)%') },
      // Sets nothing when the header is empty or absent; of several the first counts.
      { action: set(HEADER.host, '%REQ(X-GATEWAY-HOST)%') },
      { action: set(HEADER.path, '%PATH(NQ:PATH)%') },
    ],
  });
}
