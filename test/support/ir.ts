import { byPrecedence } from '../../src/core/compile/resolve-route.js';
import type { ClusterIr } from '../../src/core/ir/cluster.js';
import type { FleetIr } from '../../src/core/ir/fleet.js';
import type { ForwardIr, GroupIr, MockIr, RouteIr } from '../../src/core/ir/group.js';
import { parseApiPath } from '../../src/core/model/path.js';

// Resolved definitions, written short. What a test does not name has the value the compiler would give it.

export function fleetIr(changes: Partial<FleetIr> = {}): FleetIr {
  return {
    key: 'test/edge',
    workspace: 'test',
    name: 'edge',
    listeners: [{ name: 'http', address: '127.0.0.1', port: 8088 }],
    trustedProxies: 0,
    maxBodyBytes: 1_048_576,
    resultCodeHeader: false,
    headers: { resultCode: 'x-gateway-result-code', memo: 'x-gateway-memo', requestId: 'x-gateway-request-id' },
    signedHeaders: [],
    accessLogPath: 'access.log',
    docsUrl: '/codes/',
    ...changes,
  };
}

export function clusterIr(id: string, changes: Partial<ClusterIr> = {}): ClusterIr {
  return {
    id,
    name: id,
    protocol: 'http1',
    discovery: 'eds',
    endpoints: [],
    loadBalancing: 'round_robin',
    connectTimeoutMs: 1000,
    circuitBreaker: { maxConnections: 1024, maxPendingRequests: 1024, maxRequests: 1024, maxRetries: 3 },
    ...changes,
  };
}

/** A group with its routes put in order of precedence. */
export function groupIr(hosts: readonly string[], routes: readonly RouteIr[], changes: Partial<GroupIr> = {}): GroupIr {
  const drafts = routes.map((route) => ({ route, readsBody: false }));
  return {
    id: `group-of-${hosts[0]}`,
    name: hosts[0] as string,
    workspace: 'test',
    release: 7,
    hosts: [...hosts].sort(),
    routes: drafts.sort(byPrecedence).map(({ route }) => route),
    ...changes,
  };
}

/** A route from `GET,POST /path/{id}` or, for any method, `/path`. Its name and id are that text unless told. */
export function routeIr(match: string, action: ForwardIr | MockIr, changes: Partial<RouteIr> = {}): RouteIr {
  const [, methods, text] = /^(?:([A-Z,]+) )?(\/.*)$/.exec(match) as RegExpExecArray;
  const { path, faults } = parseApiPath(text as string);
  if (!path) throw new Error(`${match}: ${faults.map((fault) => fault.message).join(' ')}`);
  return {
    apiId: match,
    apiName: match,
    path: { text: text as string, segments: path.segments, prefix: path.prefix },
    methods: methods ? methods.split(',').sort() : [],
    checkedBodyBytes: 0,
    resultCodeHeader: false,
    action,
    ...changes,
  };
}

export function forward(cluster: string, changes: Partial<ForwardIr> = {}): ForwardIr {
  return { kind: 'forward', clusters: [{ id: cluster, weight: 100 }], timeoutMs: 3000, ...changes };
}

export function mock(body: string, changes: Partial<MockIr> = {}): MockIr {
  const headers = [{ name: 'content-type', value: 'application/json' }];
  return { kind: 'mock', code: '1100', memo: 'DefaultMockStatus', status: 200, headers, body, ...changes };
}
