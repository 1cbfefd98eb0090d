import fc from 'fast-check';
import type { ApiSpec, UpstreamSpec } from '../../src/core/model/api.js';
import { METHODS, RETRY_ON } from '../../src/core/model/api.js';
import type { AppSpec } from '../../src/core/model/app.js';
import type { ClusterSpec } from '../../src/core/model/cluster.js';
import type { Definitions } from '../../src/core/model/definitions.js';
import type { FleetSpec } from '../../src/core/model/fleet.js';
import type { GroupSpec } from '../../src/core/model/group.js';
import { auth, partial, pool, port, some } from './arbitrary.js';

// Specs that conform to their schemas, however senseless: what the rules are there for. Some texts are nearly right.

type Mock = Extract<UpstreamSpec, { kind: 'mock' }>;
type Retry = NonNullable<ApiSpec['retry']>;

/** Any text, or pieces glued together: mostly good ones, odd but right, and a bad one now and then. */
const glued = (good: readonly string[], bad: readonly string[], glue: string) => (max: number) => {
  const piece = fc.oneof(
    { weight: 20, arbitrary: fc.constantFrom(...good) },
    { weight: 1, arbitrary: fc.constantFrom(...bad) },
  );
  const pieces = fc.array(piece, { maxLength: 5 }).map((parts) => parts.join(glue).slice(0, max));
  const any = fc.oneof(fc.string({ unit: 'binary', maxLength: max }), fc.string({ maxLength: max }));
  return fc.oneof({ weight: 1, arbitrary: any }, { weight: 8, arbitrary: pieces });
};
const segments = glued(
  ['a', 'v1.0', '{id}', '{b-c}', '$&+(x)', '%41', '%e6%B3', ':y', '@', ';=,', '~!', "'", '...'],
  ['', '*', '%2f', '..', '\u{1f600}', 'x{id}', 'a|b', '\\1', '?', '%'],
  '/',
);
const path = (max: number) =>
  segments(max - 3).chain((text) => {
    const plain = { weight: 6, arbitrary: fc.constant(`/${text}`) };
    const prefix = { weight: 3, arbitrary: fc.constant(`/${text}/*`) };
    return fc.oneof(plain, prefix, { weight: 1, arbitrary: fc.constant(text) });
  });
const host = glued(['a', 'b-c', '0x', 'x_y', '1a', 'xn--a'], ['', 'D', '-', '*', '[', '::1', ']', ':80', '255'], '.');
const ip = fc.oneof(
  host(20),
  fc.constantFrom('0.0.0.0', '127.0.0.1', '::', '::1', '2001:DB8::7', '::ffff:10.0.0.1', '10.0.0.9', '1.2.3.04'),
);
const header = glued(['x', 'a', 'B', '-', '_', '1', "'", '%', '|~'], [' ', ':', 'host', 'te'], '');
const value = glued(['a', '%', '%REQ(x)%', '"', '{}', '\\', '/', ';='], [' ', '\t', '\n', '\u00e9'], '');
const name = fc.oneof(
  pool('n', 3),
  fc.constantFrom('constructor', 'toString', '注文', 'x'.repeat(64), '1', 'hasOwnProperty'),
);
const uint32 = fc.constantFrom(0, 1, 1024, 4_294_967_295);

const upstreamPath = partial<{ path: string; host: string }>({ path: path(40), host: host(30) });
const upstream: fc.Arbitrary<UpstreamSpec> = fc.oneof(
  fc.tuple(name, upstreamPath).map(([cluster, rest]) => ({ kind: 'cluster' as const, cluster, ...rest })),
  fc
    .tuple(fc.uniqueArray(name, { minLength: 1, maxLength: 3 }), fc.constantFrom(0, 50, 100), upstreamPath)
    .map(([names, weight, rest]) => {
      const clusters = names.map((cluster, i) => ({ cluster, weight: i === 0 ? weight : 50 }));
      return { kind: 'weighted' as const, clusters, ...rest };
    }),
  partial<Omit<Mock, 'kind'>>({
    resultCode: fc.oneof(
      fc.nat(9999).map((n) => String(n).padStart(4, '0')),
      fc.constantFrom('1800', '2300', '9499'),
    ),
    status: fc.integer({ min: 200, max: 599 }),
    headers: fc.dictionary(header(20), value(20), { maxKeys: 3 }),
    body: value(60),
    contentType: value(20),
  }).map((rest) => ({ kind: 'mock' as const, ...rest })),
);

export const wildApi: fc.Arbitrary<ApiSpec> = fc
  .tuple(
    fc.record({
      name,
      group: name,
      match: fc.record({ path: path(40), methods: some(fc.constantFrom(...METHODS), 3) }, { requiredKeys: ['path'] }),
      upstream,
    }),
    partial<ApiSpec>({
      auth,
      timeoutMs: fc.integer({ min: 1, max: 3_600_000 }),
      maxBodyBytes: fc.constantFrom(0, 1, 16_777_216),
      resultCodeHeader: fc.boolean(),
      retry: fc
        .tuple(
          fc.integer({ min: 1, max: 10 }),
          partial<Omit<Retry, 'attempts'>>({
            on: some(fc.constantFrom(...RETRY_ON), 3),
            statusCodes: fc.uniqueArray(fc.integer({ min: 100, max: 599 }), { maxLength: 3 }),
            perTryTimeoutMs: fc.constantFrom(1, 500, 3_600_000),
          }),
        )
        .map(([attempts, rest]) => ({ attempts, ...rest })),
    }),
  )
  .map(([must, may]) => ({ ...must, ...may }));

export const wildFleet: fc.Arbitrary<FleetSpec> = fc
  .tuple(
    name,
    fc.array(fc.record({ name, address: ip, port }, { requiredKeys: ['name', 'port'] }), {
      minLength: 1,
      maxLength: 3,
    }),
    partial<FleetSpec>({
      accessLogPath: value(20),
      docsUrl: value(20),
      trustedProxies: fc.nat(16),
      maxBodyBytes: fc.constantFrom(0, 1, 16_777_216),
      resultCodeHeader: fc.boolean(),
      headers: partial<NonNullable<FleetSpec['headers']>>({
        resultCode: fc.constantFrom('result-status', 'te', "x'|~", 'server', 'date'),
        memo: fc.constantFrom('memo', 'result-status', '%', 'x-envoy-a'),
      }),
      signedHeaders: fc.uniqueArray(fc.constantFrom('a', "x'|~", 'x-pf-a', 'host', 'cookie'), { maxLength: 3 }),
    }),
  )
  .map(([own, listeners, rest]) => ({ name: own, listeners, ...rest }));

export const wildCluster: fc.Arbitrary<ClusterSpec> = fc
  .tuple(
    name,
    fc.array(
      fc.record(
        { host: ip.filter((text) => text !== ''), port, weight: fc.integer({ min: 1, max: 128 }) },
        { requiredKeys: ['host', 'port'] },
      ),
      { maxLength: 3 },
    ),
    partial<ClusterSpec>({
      protocol: fc.constantFrom('http1', 'http2'),
      loadBalancing: fc.constantFrom('round_robin', 'random', 'least_request'),
      connectTimeoutMs: fc.constantFrom(1, 60_000),
      circuitBreaker: partial<NonNullable<ClusterSpec['circuitBreaker']>>({
        maxConnections: uint32,
        maxPendingRequests: uint32,
        maxRequests: uint32,
        maxRetries: uint32,
      }),
      healthCheck: fc.record(
        {
          path: fc.constantFrom('/', '/a?b=c#d', '/%'),
          intervalMs: fc.constantFrom(100, 600_000),
          timeoutMs: fc.constantFrom(10, 60_000),
        },
        { requiredKeys: ['path'] },
      ),
      outlierDetection: partial<NonNullable<ClusterSpec['outlierDetection']>>({
        consecutive5xx: fc.constantFrom(1, 1000),
        intervalMs: fc.constantFrom(100, 600_000),
        baseEjectionTimeMs: fc.constantFrom(100, 3_600_000),
        maxEjectionPercent: fc.constantFrom(0, 100),
      }),
      authentication: fc.constantFrom('none', 'secret'),
      tls: partial<{ sni: string; caPem: string }>({ sni: host(20), caPem: value(60) }),
    }),
  )
  .map(([own, endpoints, rest]) => ({ name: own, endpoints, ...rest }));

export const wildGroup: fc.Arbitrary<GroupSpec> = fc.record({
  name,
  hosts: fc.array(host(30), { minLength: 1, maxLength: 3 }),
});

const wildApp: fc.Arbitrary<AppSpec> = fc
  .tuple(name, partial<AppSpec>({ grants: partial<NonNullable<AppSpec['grants']>>({ apis: some(name, 3) }) }))
  .map(([own, rest]) => ({ name: own, ...rest }));

/** A whole file of them. */
export const wildDefinitions: fc.Arbitrary<Definitions> = partial<Definitions>({
  fleets: fc.array(wildFleet, { maxLength: 3 }),
  clusters: fc.array(wildCluster, { maxLength: 3 }),
  groups: fc.array(wildGroup, { maxLength: 3 }),
  apis: fc.array(wildApi, { maxLength: 4 }),
  apps: fc.array(wildApp, { maxLength: 2 }),
});
