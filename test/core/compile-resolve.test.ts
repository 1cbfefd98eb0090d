import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { compile } from '../../src/core/compile.js';
import type { ClusterIr } from '../../src/core/ir/cluster.js';
import type { ForwardIr, GroupIr, MockIr, RouteIr } from '../../src/core/ir/group.js';
import type { ApiSpec, UpstreamSpec } from '../../src/core/model/api.js';
import type { ClusterSpec } from '../../src/core/model/cluster.js';
import type { Definitions } from '../../src/core/model/definitions.js';
import { deriveId } from '../../src/core/model/name.js';
import { clusterIdOf, clusterName } from '../../src/core/xds/names.js';

const FLEET = { name: 'edge', listeners: [{ name: 'http', port: 80 }] };
const CLUSTERS: ClusterSpec[] = [
  { name: 'c', endpoints: [{ host: '10.0.0.1', port: 80 }] },
  { name: 'd', endpoints: [{ host: '10.0.0.2', port: 80 }] },
  { name: 'signed', authentication: 'secret', endpoints: [{ host: '10.0.0.3', port: 80 }] },
];
const forward: UpstreamSpec = { kind: 'cluster', cluster: 'c' };
const api = (changes: Partial<ApiSpec> = {}): ApiSpec => ({
  name: 'a',
  group: 'g',
  match: { path: '/a' },
  upstream: forward,
  ...changes,
});

function gateway(definitions: Definitions) {
  const { compiler, diagnostics } = compile(
    { fleets: [FLEET], clusters: CLUSTERS, groups: [{ name: 'g', hosts: ['b', 'a'] }], ...definitions },
    { release: 7 },
  );
  expect(diagnostics).toEqual([]);
  return compiler.gateway('edge');
}
const routes = (...apis: ApiSpec[]): readonly RouteIr[] => gateway({ apis }).groups[0]?.routes ?? [];
const route = (changes: Partial<ApiSpec> = {}, fleet = {}): RouteIr =>
  gateway({ apis: [api(changes)], fleets: [{ ...FLEET, ...fleet }] }).groups[0]?.routes[0] as RouteIr;
const action = (changes: Partial<ApiSpec>) => route(changes).action;

describe('precedence', () => {
  const order = (...matches: ApiSpec['match'][]) =>
    routes(...matches.map((match, i) => api({ name: `a${i}`, match }))).map(({ path, methods }) =>
      [...methods, path.text].join(' '),
    );

  it('is the documented one', () => {
    const ascending = [
      '/*',
      '/{id}',
      '/path',
      '/{id}/*',
      '/{id}/{name}',
      '/{id}/temp',
      '/path/*',
      '/path/{id}',
      '/path/temp',
      '/{id}/{name}/{path}',
    ];
    const descending = [...ascending].reverse();
    for (let turn = 0; turn < ascending.length; turn++) {
      const mixed = [...ascending.slice(turn), ...ascending.slice(0, turn)];
      expect(order(...mixed.map((path) => ({ path })))).toEqual(descending);
    }
  });

  it('puts APIs with methods before one for any method, and else goes by name', () => {
    expect(order({ path: '/x' }, { path: '/x', methods: ['POST', 'GET'] }, { path: '/b/{x}' }, { path: '/' })).toEqual([
      '/b/{x}',
      'GET POST /x',
      '/x',
      '/',
    ]);
  });
});

describe('defaults', () => {
  it('of a fleet', () => {
    expect(gateway({}).fleet).toEqual({
      key: 'default/edge',
      workspace: 'default',
      name: 'edge',
      listeners: [{ name: 'http', address: '0.0.0.0', port: 80 }],
      trustedProxies: 0,
      maxBodyBytes: 1_048_576,
      resultCodeHeader: false,
      headers: { resultCode: 'x-gateway-result-code', memo: 'x-gateway-memo', requestId: 'x-gateway-request-id' },
      signedHeaders: [],
      accessLogPath: 'access.log',
      docsUrl: '/codes/',
    });
  });

  it('of a group and an API', () => {
    const [group] = gateway({ apis: [api()] }).groups;
    expect(group).toEqual({
      id: deriveId('default', 'group', 'g'),
      name: 'g',
      workspace: 'default',
      release: 7,
      hosts: ['a', 'b'],
      routes: [
        {
          apiId: deriveId('default', 'api', 'a'),
          apiName: 'a',
          path: { text: '/a', segments: [{ kind: 'literal', text: 'a' }], prefix: false },
          methods: [],
          action: {
            kind: 'forward',
            clusters: [{ id: deriveId('default', 'cluster', 'c'), weight: 100 }],
            timeoutMs: 3000,
          },
          checkedBodyBytes: 0,
          resultCodeHeader: false,
        },
      ],
    });
  });

  it('of a cluster', () => {
    const [c] = gateway({ apis: [api()] }).clusters;
    expect(c).toEqual({
      id: deriveId('default', 'cluster', 'c'),
      name: 'c',
      protocol: 'http1',
      discovery: 'eds',
      endpoints: [{ host: '10.0.0.1', port: 80, weight: 1 }],
      loadBalancing: 'round_robin',
      connectTimeoutMs: 1000,
      circuitBreaker: { maxConnections: 1024, maxPendingRequests: 1024, maxRequests: 1024, maxRetries: 3 },
    });
  });

  it('of a mock', () => {
    expect(action({ upstream: { kind: 'mock' } })).toEqual({
      kind: 'mock',
      code: '1100',
      memo: 'DefaultMockStatus',
      status: 200,
      headers: [{ name: 'content-type', value: 'application/json' }],
      body: '',
    });
    const mock = action({
      upstream: {
        kind: 'mock',
        resultCode: '2300',
        headers: { 'X-B': '1', 'A-b': '2' },
        contentType: 'text/plain',
        body: 'no',
      },
    }) as MockIr;
    expect([mock.status, mock.headers.map(({ name, value }) => `${name}=${value}`), mock.body]).toEqual([
      403,
      ['a-b=2', 'content-type=text/plain', 'x-b=1'],
      'no',
    ]);
    expect((action({ upstream: { kind: 'mock', resultCode: '2300', status: 418 } }) as MockIr).status).toBe(418);
  });

  it('of retries', () => {
    const retry = (r: object) => (action({ retry: { attempts: 2, ...r } }) as ForwardIr).retry;
    expect(retry({})).toEqual({ attempts: 2, on: ['connect-failure', 'refused-stream'], statusCodes: [] });
    expect(retry({ statusCodes: [503, 429], perTryTimeoutMs: 5 })).toEqual({
      attempts: 2,
      on: ['connect-failure', 'refused-stream', 'retriable-status-codes'],
      statusCodes: [429, 503],
      perTryTimeoutMs: 5,
    });
  });
});

describe('clusters', () => {
  it('with names are resolved by Envoy; endpoints are sorted and defaulted', () => {
    const dns: ClusterSpec = {
      name: 'c',
      endpoints: [
        { host: 'B.internal', port: 2 },
        { host: 'a.internal', port: 9, weight: 3 },
        { host: 'a.internal', port: 1 },
      ],
      healthCheck: { path: '/' },
      outlierDetection: {},
      tls: {},
    };
    const [c] = gateway({ apis: [api()], clusters: [dns] }).clusters;
    expect(c?.discovery).toBe('dns');
    expect(c?.endpoints).toEqual([
      { host: 'a.internal', port: 1, weight: 1 },
      { host: 'a.internal', port: 9, weight: 3 },
      { host: 'b.internal', port: 2, weight: 1 },
    ]);
    expect(c?.healthCheck).toEqual({
      path: '/',
      intervalMs: 5000,
      timeoutMs: 1000,
      healthyThreshold: 1,
      unhealthyThreshold: 3,
    });
    expect(c?.outlierDetection).toEqual({
      consecutive5xx: 5,
      intervalMs: 10_000,
      baseEjectionTimeMs: 30_000,
      maxEjectionPercent: 10,
    });
    expect(c?.tls).toEqual({});
  });

  it('are called by their id and how they are spoken to, unless that is plain HTTP/1.1 or Envoy resolves their names', () => {
    const named = (more: Partial<ClusterSpec>) => {
      const spec: ClusterSpec = { name: 'c', endpoints: [{ host: '10.0.0.1', port: 80 }], ...more };
      const { clusters, groups } = gateway({ apis: [api()], clusters: [spec] });
      const [{ action }] = (groups[0] as GroupIr).routes as [RouteIr];
      const cluster = clusters[0] as ClusterIr;
      const name = clusterName(cluster);
      // Routes, and what finds the object behind a resource, know it by the same name.
      expect(action.kind === 'forward' && action.clusters.map(clusterName)).toEqual([name]);
      expect(clusterIdOf(name)).toBe(cluster.id);
      return name.slice(cluster.id.length);
    };
    expect(named({})).toBe('');
    expect(named({ protocol: 'http1', loadBalancing: 'random', connectTimeoutMs: 5 })).toBe('');
    expect(named({ tls: {}, endpoints: [{ host: 'pods.internal', port: 443 }] })).toBe('');
    const others = [
      { tls: {} },
      { tls: { sni: 'a.internal' } },
      { protocol: 'http2' as const },
      { protocol: 'http2' as const, tls: {} },
    ];
    const names = others.map(named);
    expect(new Set(names).size).toBe(others.length);
    for (const name of names) expect(name).toMatch(/^~[0-9a-f]{8}$/);
    expect(others.map(named)).toEqual(names);
  });

  it('are only those that routes use, sorted by id', () => {
    const weighted: UpstreamSpec = {
      kind: 'weighted',
      clusters: [
        { cluster: 'd', weight: 90 },
        { cluster: 'c', weight: 10 },
      ],
    };
    const { clusters, groups } = gateway({ apis: [api({ upstream: weighted })] });
    const ids = ['c', 'd'].map((name) => deriveId('default', 'cluster', name)).sort();
    expect(clusters.map(({ id }) => id)).toEqual(ids);
    expect(groups[0]?.routes[0]?.action).toMatchObject({ clusters: ids.map((id) => ({ id })) });
  });
});

describe('rewrites', () => {
  const rewrite = (path: string, upstreamPath: string) =>
    (action({ match: { path }, upstream: { ...forward, path: upstreamPath } }) as ForwardIr).rewrite;

  it.each<[string, string, string, string | undefined]>([
    ['/orders/{id}', '/internal/{id}', '/orders/7', '/internal/7'],
    ['/{a}/{b}', '/{b}-{a}/{b}', '/x/y', '/y-x/y'],
    ['/{a}/{b}', '/only/{b}', '/x/y', '/only/y'],
    ['/orders/*', '/internal/*', '/orders/1/2', '/internal/1/2'],
    ['/orders/*', '/internal/*', '/orders/', '/internal/'],
    ['/orders/*', '/*', '/orders/1', '/1'],
    ['/{t}/orders/*', '/v2/{t}/*', '/acme/orders/1/2', '/v2/acme/1/2'],
    ['/{t}/orders/*', '/v2/{t}', '/acme/orders/1/2', '/v2/acme'],
    ['/a.b/{id}', '/x/{id}', '/a.b/1', '/x/1'],
    ['/orders', '/internal/', '/orders', '/internal/'],
    ['/orders/*', '/fixed', '/orders/a/b', '/fixed'],
    ['/a$&+(x)/{id}', '/x$1/{id}', '/a$&+(x)/1', '/x$1/1'],
  ])('%s becomes %s: %s is sent as %s', (path, upstreamPath, sent, received) => {
    const { pattern = '', substitution = '' } = rewrite(path, upstreamPath) ?? {};
    // RE2 writes \1 where JavaScript writes $1.
    const js = substitution.replaceAll('$', '$$$$').replace(/\\(\d)/g, '$$$1');
    expect(new RegExp(pattern).test(sent)).toBe(true);
    expect(sent.replace(new RegExp(pattern, 'g'), js)).toBe(received);
  });

  it('match nothing else, and are absent where nothing changes', () => {
    expect(new RegExp(rewrite('/a.b/{id}', '/x/{id}')?.pattern ?? '').test('/aXb/1')).toBe(false);
    expect(new RegExp(rewrite('/a/{id}', '/x/{id}')?.pattern ?? '').test('/a/1/2')).toBe(false);
    expect(rewrite('/orders/{id}', '/orders/{id}')).toBeUndefined();
    expect((action({}) as ForwardIr).rewrite).toBeUndefined();
  });
});

describe('policies', () => {
  const signature = { type: 'signature' } as const;

  it('are absent where the edge has nothing to do', () => {
    expect(route().policy).toBeUndefined();
    expect(route({ auth: { type: 'none' } }).policy).toBeUndefined();
  });

  it('have defaults, and a name that is the hash of the rest', () => {
    const content = {
      signature: {
        clockSkewSeconds: 900,
        dialect: 'sofa',
        digest: 'when-present',
        requiredHeaders: ['(request-target)'],
        tolerant: false,
      },
    };
    const name = createHash('sha256').update(JSON.stringify(content)).digest('hex').slice(0, 16);
    expect(route({ auth: signature }).policy).toEqual({ name, ...content });
  });

  it('are equal for equal settings, whatever their order', () => {
    const of = (auth: NonNullable<ApiSpec['auth']>) => route({ auth }).policy?.name;
    expect(of({ ...signature, requiredHeaders: ['date', 'digest'] })).toBe(
      of({ ...signature, requiredHeaders: ['digest', 'date'] }),
    );
    expect(of({ ...signature, clockSkewSeconds: 900 })).toBe(of(signature));
    expect(of({ ...signature, clockSkewSeconds: 901 })).not.toBe(of(signature));
  });

  it('sign for clusters that want it, mocks never', () => {
    const id = deriveId('default', 'cluster', 'signed');
    expect(route({ upstream: { kind: 'cluster', cluster: 'signed' } })).toMatchObject({
      policy: { resignClusterId: id },
      checkedBodyBytes: 0,
    });
    expect(
      route({ upstream: { kind: 'weighted', clusters: [{ cluster: 'signed', weight: 100 }] } }).policy?.resignClusterId,
    ).toBe(id);
    expect(route({ auth: signature, upstream: { kind: 'mock' } }).policy?.resignClusterId).toBeUndefined();
  });

  it('have the body read up to the limit of the API, else of the fleet, and not when the digest is ignored', () => {
    const bytes = (changes: Partial<ApiSpec>, fleet = {}) => route(changes, fleet).checkedBodyBytes;
    expect(bytes({ auth: signature })).toBe(1_048_576);
    expect(bytes({ auth: signature }, { maxBodyBytes: 10 })).toBe(10);
    expect(bytes({ auth: signature, maxBodyBytes: 20 }, { maxBodyBytes: 10 })).toBe(20);
    expect(bytes({ auth: signature, maxBodyBytes: 0 })).toBe(1);
    expect(bytes({ auth: { ...signature, digest: 'ignore' } })).toBe(0);
    expect(bytes({ maxBodyBytes: 20 })).toBe(0);
  });

  it('leave the header with the code to API, else fleet', () => {
    expect(route({}, { resultCodeHeader: true }).resultCodeHeader).toBe(true);
    expect(route({ resultCodeHeader: false }, { resultCodeHeader: true }).resultCodeHeader).toBe(false);
  });
});

it('what is resolved is frozen through and through', () => {
  const value = gateway({
    apis: [
      api({ auth: { type: 'signature' }, retry: { attempts: 1 } }),
      api({ name: 'm', match: { path: '/m' }, upstream: { kind: 'mock' } }),
    ],
  });
  const open: [string, unknown][] = [['gateway', value]];
  for (let next = open.pop(); next; next = open.pop()) {
    const [path, inner] = next;
    if (typeof inner !== 'object' || inner === null) continue;
    expect([path, Object.isFrozen(inner)]).toEqual([path, true]);
    for (const [key, child] of Object.entries(inner)) open.push([`${path}.${key}`, child]);
  }
});
