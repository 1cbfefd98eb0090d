import type { Any } from '@bufbuild/protobuf/wkt';
import { ApiVersion } from '../../../gen/envoy/config/core/v3/config_source_pb.js';
import {
  ExtAuthzPerRouteSchema,
  ExtAuthzSchema,
} from '../../../gen/envoy/extensions/filters/http/ext_authz/v3/ext_authz_pb.js';
import { StatusCode } from '../../../gen/envoy/type/v3/http_status_pb.js';
import type { FleetIr } from '../../ir/fleet.js';
import type { GroupIr, RouteIr } from '../../ir/group.js';
import type { PolicyIr } from '../../ir/policy.js';
import { any, duration } from '../any.js';
import { HEADER, STATIC_CLUSTER } from '../names.js';

/** Longer than the edge waits for a policy it does not know yet, so that 5001 comes from it and not 7777 from here. */
const TIMEOUT_MS = 3000;

/** What every signature dialect may cover or carry; a fleet adds to it. Everything else, cookies above all, stays out of the edge. */
const HEADERS = [
  'accept',
  'authorization',
  'content-length',
  'content-md5',
  'content-type',
  'date',
  'digest',
  HEADER.gatewayHost,
  // Made by Envoy before; the edge puts it into the body of refusals.
  'x-request-id',
] as const;
const HEADER_PREFIXES = ['x-app-', 'x-ca-', 'x-gateway-'] as const;

/** Whether the edge is handed a request's header of this lower-case name. The host it always knows. */
export function reachesEdge(name: string, signedHeaders: readonly string[]): boolean {
  const own =
    (HEADERS as readonly string[]).includes(name) || HEADER_PREFIXES.some((prefix) => name.startsWith(prefix));
  return own || name === 'host' || signedHeaders.includes(name);
}

/**
 * Asks the edge. In every request's chain, and turned off by each group for all routes but those with a policy
 * ({@link AUTHZ_OFF}, {@link authzOn}): a request that finds no such setting is asked about, not let through.
 */
export function extAuthz(fleet: FleetIr): Any {
  return any(ExtAuthzSchema, {
    services: {
      case: 'grpcService',
      value: {
        targetSpecifier: { case: 'envoyGrpc', value: { clusterName: STATIC_CLUSTER.authz } },
        timeout: duration(TIMEOUT_MS),
      },
    },
    transportApiVersion: ApiVersion.V3,
    // Bytes as they came: digests are over them. Envoy reads packAsBytes here only, not on routes.
    withRequestBody: { maxRequestBytes: Math.max(fleet.maxBodyBytes, 1), packAsBytes: true },
    statusOnError: { code: StatusCode.BadGateway },
    validateMutations: true,
    allowedHeaders: {
      patterns: [
        ...[...HEADERS, ...fleet.signedHeaders].map((name) => ({
          matchPattern: { case: 'exact' as const, value: name },
        })),
        ...HEADER_PREFIXES.map((prefix) => ({ matchPattern: { case: 'prefix' as const, value: prefix } })),
      ],
    },
    // Headers sent twice stay two; Envoy would join them.
    encodeRawHeaders: true,
    // The route is chosen already, so the edge cannot change what it was chosen by. Rules, even empty, protect Host, scheme
    // and method; the path has to be named.
    decoderHeaderMutationRules: { disallowExpression: { regex: ':path' } },
  });
}

/** Setting of a group: its routes are not asked about unless they say so. */
export const AUTHZ_OFF = any(ExtAuthzPerRouteSchema, { override: { case: 'disabled', value: true } });

/** Setting of a route with a policy. */
export function authzOn(route: RouteIr, policy: PolicyIr, group: GroupIr, fleet: FleetIr): Any {
  const bytes = route.checkedBodyBytes;
  return any(ExtAuthzPerRouteSchema, {
    override: {
      case: 'checkSettings',
      value: {
        contextExtensions: {
          api: route.apiId,
          group: group.id,
          policy: policy.name,
          ...replyStyle(fleet),
          ...(policy.resignClusterId !== undefined && backendPath(route)),
        },
        disableRequestBodyBuffering: bytes === 0,
        ...(bytes > 0 &&
          bytes !== fleet.maxBodyBytes && { withRequestBody: { maxRequestBytes: bytes, packAsBytes: true } }),
      },
    },
  });
}

/** What the edge writes refusals with, where the fleet departs from the defaults, which the edge knows. */
function replyStyle({ headers, docsUrl }: FleetIr): Record<string, string> {
  return {
    ...(headers.resultCode !== DEFAULT_REPLY.resultCode && { code_header: headers.resultCode }),
    ...(headers.memo !== DEFAULT_REPLY.memo && { memo_header: headers.memo }),
    ...(docsUrl !== DEFAULT_REPLY.docsUrl && { docs_url: docsUrl }),
  };
}

/** Same as the edge's own defaults (src/edge/authz/check-response.ts). */
const DEFAULT_REPLY = { resultCode: 'x-gateway-result-code', memo: 'x-gateway-memo', docsUrl: '/codes/' } as const;

/** How the path is rewritten later: what is signed for the backend must be the path it will see. */
function backendPath({ action }: RouteIr): Record<string, string> {
  if (action.kind !== 'forward' || !action.rewrite) return {};
  return { rewrite_pattern: action.rewrite.pattern, rewrite_substitution: action.rewrite.substitution };
}
