import fc from 'fast-check';
import type { ApiSpec, UpstreamSpec } from '../../src/core/model/api.js';
import { METHODS, RETRY_ON } from '../../src/core/model/api.js';
import type { AppSpec } from '../../src/core/model/app.js';
import type { ClusterSpec } from '../../src/core/model/cluster.js';
import type { Definitions } from '../../src/core/model/definitions.js';
import type { FleetSpec } from '../../src/core/model/fleet.js';
import type { GroupSpec } from '../../src/core/model/group.js';

// Two families. Tame ones follow the rules of single objects, draw names from small pools, and so often fit together; wild
// ones only conform to their schemas: what the rules are there for.

/** How many names each pool has. */
export const POOL = { fleet: 2, cluster: 4, group: 4, api: 8, app: 3 } as const;
const pool = (prefix: string, size: number): fc.Arbitrary<string> => fc.nat(size - 1).map((i) => `${prefix}${i}`);
export const fleetName = pool('fleet', POOL.fleet);
export const clusterName = pool('cluster', POOL.cluster);
export const groupName = pool('group', POOL.group);
export const apiName = pool('api', POOL.api);
export const appName = pool('app', POOL.app);

/** An object whose keys may be left out; none has the value undefined. */
function partial<T extends object>(
  record: {
    readonly [K in keyof T]?: fc.Arbitrary<Exclude<T[K], undefined>>;
  },
): fc.Arbitrary<Partial<T>> {
  return fc.record(record as Record<string, fc.Arbitrary<unknown>>, { requiredKeys: [] }) as fc.Arbitrary<Partial<T>>;
}

const port = fc.integer({ min: 1, max: 65_535 });
const some = <T>(item: fc.Arbitrary<T>, max: number) => fc.uniqueArray(item, { minLength: 1, maxLength: max });

export function fleet(name: string): fc.Arbitrary<FleetSpec> {
  return fc
    .tuple(
      fc.uniqueArray(port, { minLength: 1, maxLength: 2 }),
      partial<FleetSpec>({
        trustedProxies: fc.nat(2),
        maxBodyBytes: fc.constantFrom(0, 1024, 1_048_576),
        resultCodeHeader: fc.boolean(),
        signedHeaders: fc.subarray(['x-b', 'x-a', 'x-c']),
        docsUrl: fc.constantFrom('/codes/', 'https://docs.example.com/'),
      }),
    )
    .map(([ports, rest]) => ({ name, listeners: ports.map((p, i) => ({ name: `listener${i}`, port: p })), ...rest }));
}

export function cluster(name: string): fc.Arbitrary<ClusterSpec> {
  const ip = fc.nat(3).map((i) => `10.0.0.${i + 1}`);
  const dns = fc.nat(3).map((i) => `backend${i}.internal`);
  const endpoints = (host: fc.Arbitrary<string>) =>
    fc.uniqueArray(fc.record({ host, port: fc.constantFrom(80, 8080) }), {
      maxLength: 3,
      selector: (e) => `${e.host}:${e.port}`,
    });
  return fc
    .tuple(
      fc.oneof(endpoints(ip), endpoints(dns)),
      partial<ClusterSpec>({
        description: fc.constantFrom('one', 'two'),
        protocol: fc.constantFrom('http1', 'http2'),
        loadBalancing: fc.constantFrom('random', 'least_request'),
        healthCheck: fc.constant({ path: '/healthz' }),
        tls: fc.constant({ sni: 'backend.internal' }),
        authentication: fc.constantFrom('none', 'secret'),
      }),
    )
    .map(([list, rest]) => ({ name, endpoints: list, ...rest }));
}

export function group(name: string): fc.Arbitrary<GroupSpec> {
  const host = fc.nat(9).map((i) => `host${i}.example.com`);
  return fc
    .tuple(
      some(host, 2),
      partial<GroupSpec>({ fleets: some(fleetName, 2), description: fc.constantFrom('one', 'two') }),
    )
    .map(([hosts, rest]) => ({ name, hosts, ...rest }));
}

const auth: fc.Arbitrary<NonNullable<ApiSpec['auth']>> = fc.oneof(
  fc.constant({ type: 'none' as const }),
  partial<Omit<Extract<NonNullable<ApiSpec['auth']>, { type: 'signature' }>, 'type'>>({
    requiredHeaders: fc.subarray(['(request-target)', 'date', 'digest']),
    digest: fc.constantFrom('required', 'when-present', 'ignore'),
    clockSkewSeconds: fc.constantFrom(60, 900),
    tolerant: fc.boolean(),
  }).map((rest) => ({ type: 'signature' as const, ...rest })),
);

const tameUpstream: fc.Arbitrary<UpstreamSpec> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('cluster' as const), cluster: clusterName }) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.uniqueArray(clusterName, { minLength: 2, maxLength: 2 }), fc.nat(100))
      .map(([names, weight]) => ({
        kind: 'weighted' as const,
        clusters: names.map((name, i) => ({ cluster: name, weight: i === 0 ? weight : 100 - weight })),
        path: '/internal',
      })),
  },
  {
    weight: 1,
    arbitrary: partial<Omit<Extract<UpstreamSpec, { kind: 'mock' }>, 'kind'>>({
      resultCode: fc.constantFrom('1100', '2300'),
      status: fc.constantFrom(200, 418),
      headers: fc.constant({ 'X-Mock': 'yes' }),
      body: fc.constantFrom('{}', '%'),
    }).map((rest) => ({ kind: 'mock' as const, ...rest })),
  },
);

export function api(name: string): fc.Arbitrary<ApiSpec> {
  const path = fc.constantFrom(`/${name}`, `/${name}/{id}`, `/${name}/*`, `/${name}/{a}/{b}/*`, '/shared', '/', '/*');
  return fc
    .tuple(
      fc.record({
        group: groupName,
        match: fc.tuple(path, fc.option(some(fc.constantFrom(...METHODS), 2))).map(([p, methods]) => ({
          path: p,
          ...(methods && { methods }),
        })),
        upstream: tameUpstream,
      }),
      partial<ApiSpec>({
        auth,
        description: fc.constantFrom('one', 'two'),
        timeoutMs: fc.constantFrom(500, 3000),
        retry: fc.constant({ attempts: 2 }),
        maxBodyBytes: fc.constantFrom(0, 2048),
        resultCodeHeader: fc.boolean(),
      }),
    )
    .map(([must, may]) => ({ name, ...must, ...may }));
}

export function app(name: string): fc.Arbitrary<AppSpec> {
  return partial<AppSpec>({
    enabled: fc.boolean(),
    grants: partial<NonNullable<AppSpec['grants']>>({ apis: some(apiName, 3), groups: some(groupName, 2) }),
  }).map((rest) => ({ name, ...rest }));
}

/** A spec of each kind and name, each present or not. */
export const definitions: fc.Arbitrary<Definitions> = fc.record({
  fleets: each('fleet', fleet),
  clusters: each('cluster', cluster),
  groups: each('group', group),
  apis: each('api', api),
  apps: each('app', app),
});

function each<T>(kind: keyof typeof POOL, spec: (name: string) => fc.Arbitrary<T>): fc.Arbitrary<T[]> {
  const all = Array.from({ length: POOL[kind] }, (_, i) => fc.option(spec(`${kind}${i}`), { freq: 8 }));
  return fc.tuple(...all).map((list) => list.filter((item) => item !== null));
}

const wildText = (max: number) =>
  fc.oneof(
    fc.string({ unit: 'binary', maxLength: max }),
    fc.string({ maxLength: max }),
    fc
      .array(
        fc.constantFrom(
          '/',
          '{',
          '}',
          '*',
          'a',
          'id',
          '%2f',
          '%',
          '..',
          '.',
          ':',
          '[',
          ']',
          '1',
          '::',
          '\\',
          '?',
          '\u{1f600}',
        ),
        { maxLength: 12 },
      )
      .map((parts) => parts.join('').slice(0, max)),
  );
const wildName = fc.oneof(
  pool('n', 3),
  fc.constantFrom('constructor', 'toString', '注文', 'x'.repeat(64), '1', 'hasOwnProperty'),
);
const wildHeaders = fc.dictionary(wildText(20), wildText(20), { maxKeys: 4 });

const wildUpstream: fc.Arbitrary<UpstreamSpec> = fc.oneof(
  fc
    .tuple(wildName, partial<{ path: string; host: string }>({ path: wildText(40), host: wildText(30) }))
    .map(([name, rest]) => ({ kind: 'cluster' as const, cluster: name, ...rest })),
  fc
    .tuple(
      fc.array(fc.record({ cluster: wildName, weight: fc.integer({ min: 0, max: 100 }) }), {
        minLength: 1,
        maxLength: 3,
      }),
      partial<{ path: string; host: string }>({ path: wildText(40) }),
    )
    .map(([clusters, rest]) => ({ kind: 'weighted' as const, clusters, ...rest })),
  partial<Omit<Extract<UpstreamSpec, { kind: 'mock' }>, 'kind'>>({
    resultCode: fc.nat(9999).map((n) => String(n).padStart(4, '0')),
    status: fc.integer({ min: 200, max: 599 }),
    headers: wildHeaders,
    body: wildText(60),
    contentType: wildText(20),
  }).map((rest) => ({ kind: 'mock' as const, ...rest })),
);

/** Anything that conforms to the schemas, however senseless. */
export const wildDefinitions: fc.Arbitrary<Definitions> = partial<Definitions>({
  fleets: fc.array(
    fc
      .tuple(
        wildName,
        fc.array(fc.record({ name: wildName, address: wildText(20), port }), { minLength: 1, maxLength: 3 }),
        partial<FleetSpec>({ accessLogPath: wildText(20), docsUrl: wildText(20) }),
      )
      .map(([name, listeners, rest]) => ({ name, listeners, ...rest })),
    { maxLength: 3 },
  ),
  clusters: fc.array(
    fc
      .tuple(
        wildName,
        fc.array(fc.record({ host: wildText(20).filter((t) => t !== ''), port }), { maxLength: 3 }),
        partial<ClusterSpec>({
          authentication: fc.constantFrom('none', 'secret'),
          tls: partial<{ sni: string; caPem: string }>({ sni: wildText(20), caPem: wildText(60) }),
        }),
      )
      .map(([name, endpoints, rest]) => ({ name, endpoints, ...rest })),
    { maxLength: 3 },
  ),
  groups: fc.array(fc.record({ name: wildName, hosts: fc.array(wildText(30), { minLength: 1, maxLength: 3 }) }), {
    maxLength: 3,
  }),
  apis: fc.array(
    fc
      .tuple(
        fc.record({
          name: wildName,
          group: wildName,
          match: fc.record({ path: wildText(40) }),
          upstream: wildUpstream,
        }),
        partial<ApiSpec>({
          auth,
          timeoutMs: fc.integer({ min: 1, max: 3_600_000 }),
          retry: fc
            .tuple(
              fc.integer({ min: 1, max: 10 }),
              partial<Omit<NonNullable<ApiSpec['retry']>, 'attempts'>>({
                on: some(fc.constantFrom(...RETRY_ON), 3),
                statusCodes: fc.uniqueArray(fc.integer({ min: 100, max: 599 }), { maxLength: 3 }),
                perTryTimeoutMs: fc.integer({ min: 1, max: 3_600_000 }),
              }),
            )
            .map(([attempts, rest]) => ({ attempts, ...rest })),
        }),
      )
      .map(([must, may]) => ({ ...must, ...may })),
    { maxLength: 4 },
  ),
  apps: fc.array(
    fc
      .tuple(
        wildName,
        partial<AppSpec>({ grants: partial<NonNullable<AppSpec['grants']>>({ apis: some(wildName, 3) }) }),
      )
      .map(([name, rest]) => ({ name, ...rest })),
    { maxLength: 2 },
  ),
});
