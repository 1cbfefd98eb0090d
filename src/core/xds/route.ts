import { create, type MessageInitShape } from '@bufbuild/protobuf';
import {
  type DirectResponseActionSchema,
  type RetryPolicySchema,
  type Route,
  type RouteActionSchema,
  type RouteMatchSchema,
  RouteSchema,
} from '../../gen/envoy/config/route/v3/route_components_pb.js';
import { PreviousHostsPredicateSchema } from '../../gen/envoy/extensions/retry/host/previous_hosts/v3/previous_hosts_pb.js';
import { codeOf, type ResultCode } from '../codes/catalogue.js';
import type { FleetIr } from '../ir/fleet.js';
import type { ForwardIr, GroupIr, MockIr, RouteIr } from '../ir/group.js';
import { any, duration } from './any.js';
import { authzOn } from './filter/ext-authz.js';
import { headerOption, literal } from './format-string.js';
import { STREAM_IDLE_MS } from './http-connection-manager.js';
import { apiMetadata, metadata } from './metadata.js';
import { clusterName, FILTER, NO_API_ROUTE, routeName } from './names.js';
import { escapeRegex, exactPath, literalPrefix, pathRegex } from './path.js';

/** The route of an API: what it matches, and where it goes or what it answers. */
export function apiRoute(route: RouteIr, group: GroupIr, fleet: FleetIr): Route {
  const { action } = route;
  return create(RouteSchema, {
    name: routeName(route),
    match: routeMatch(route),
    ...(action.kind === 'mock' ? mock(action, fleet) : { action: { case: 'route', value: forward(action) } }),
    metadata: metadata({
      ...apiMetadata(route),
      ...(action.kind === 'mock' && action.status === 400 && { http: '400' }),
      ...(action.kind === 'forward' && route.resultCodeHeader && { result_code_header: 'true' }),
    }),
    ...(route.policy && { typedPerFilterConfig: { [FILTER.authz]: authzOn(route, route.policy, group, fleet) } }),
  });
}

/** The last route of every group: answers 3000 to what no API matches. */
export function noApiRoute(): Route {
  const { code, memo, tipsEn, httpStatus } = codeOf('3000') as ResultCode;
  return create(RouteSchema, {
    name: NO_API_ROUTE,
    match: { pathSpecifier: { case: 'prefix', value: '/' } },
    // Born 404: a reply born 400 would close the connection. The local-reply mapper restores the code's status.
    action: { case: 'directResponse', value: { status: 404 } },
    metadata: metadata({ code, memo, tips: tipsEn, http: String(httpStatus) }),
  });
}

function routeMatch({ path, methods }: RouteIr): MessageInitShape<typeof RouteMatchSchema> {
  return { pathSpecifier: pathSpecifier(path), headers: methodMatcher(methods) };
}

function pathSpecifier(path: RouteIr['path']) {
  const exact = exactPath(path);
  if (exact !== undefined) return { case: 'path' as const, value: exact };
  const prefix = literalPrefix(path);
  if (prefix !== undefined) return { case: 'prefix' as const, value: prefix };
  return { case: 'safeRegex' as const, value: { regex: pathRegex(path) } };
}

function methodMatcher(methods: readonly string[]) {
  const [first, ...more] = methods;
  if (first === undefined) return [];
  const matchPattern =
    more.length === 0
      ? { case: 'exact' as const, value: first }
      : { case: 'safeRegex' as const, value: { regex: methods.map(escapeRegex).join('|') } };
  return [{ name: ':method', headerMatchSpecifier: { case: 'stringMatch' as const, value: { matchPattern } } }];
}

function forward(action: ForwardIr): MessageInitShape<typeof RouteActionSchema> {
  return {
    clusterSpecifier: clusterSpecifier(action.clusters),
    timeout: duration(action.timeoutMs),
    // The stream must not be called idle while the API still has time.
    ...(action.timeoutMs >= STREAM_IDLE_MS && { idleTimeout: duration(action.timeoutMs + 1000) }),
    ...(action.rewrite && {
      regexRewrite: { pattern: { regex: action.rewrite.pattern }, substitution: action.rewrite.substitution },
    }),
    ...(action.host !== undefined && { hostRewriteSpecifier: { case: 'hostRewriteLiteral', value: action.host } }),
    ...(action.retry && { retryPolicy: retryPolicy(action.retry) }),
  };
}

function clusterSpecifier(clusters: ForwardIr['clusters']) {
  const [first, ...more] = clusters;
  if (first !== undefined && more.length === 0) return { case: 'cluster' as const, value: clusterName(first) };
  return {
    case: 'weightedClusters' as const,
    value: { clusters: clusters.map((entry) => ({ name: clusterName(entry), weight: entry.weight })) },
  };
}

function retryPolicy(retry: NonNullable<ForwardIr['retry']>): MessageInitShape<typeof RetryPolicySchema> {
  return {
    retryOn: retry.on.join(','),
    numRetries: retry.attempts,
    retriableStatusCodes: [...retry.statusCodes],
    ...(retry.perTryTimeoutMs !== undefined && { perTryTimeout: duration(retry.perTryTimeoutMs) }),
    // Another host where there is one; after three draws of the same, that one again.
    retryHostPredicate: [
      {
        name: 'envoy.retry_host_predicates.previous_hosts',
        configType: { case: 'typedConfig', value: any(PreviousHostsPredicateSchema, {}) },
      },
    ],
    hostSelectionRetryMaxAttempts: 3n,
  };
}

/** A static mock: Envoy answers by itself, code and memo in the headers. */
function mock(action: MockIr, fleet: FleetIr) {
  const value: MessageInitShape<typeof DirectResponseActionSchema> = {
    status: action.status === 400 ? 403 : action.status,
    ...(action.body !== '' && { body: { specifier: { case: 'inlineString', value: action.body } } }),
  };
  return {
    action: { case: 'directResponse' as const, value },
    // Envoy adds one of its own to some statuses. It removes before it adds, so a mock may still set it.
    responseHeadersToRemove: ['location'],
    responseHeadersToAdd: [
      headerOption(fleet.headers.resultCode, literal(action.code)),
      headerOption(fleet.headers.memo, literal(action.memo)),
      ...action.headers.map((header) => headerOption(header.name, literal(header.value), { keepEmpty: true })),
    ],
  };
}
