import fc from 'fast-check';
import type { ApiSpec, UpstreamSpec } from '../../src/core/model/api.js';
import { METHODS } from '../../src/core/model/api.js';
import type { AppSpec } from '../../src/core/model/app.js';
import type { ClusterSpec } from '../../src/core/model/cluster.js';
import type { Definitions } from '../../src/core/model/definitions.js';
import type { FleetSpec } from '../../src/core/model/fleet.js';
import type { GroupSpec } from '../../src/core/model/group.js';

// Definitions that follow the rules of single objects and draw names from small pools, and so often fit together. Those that
// only conform to their schemas are in wild.ts.

/** How many names each pool has. */
export const POOL = { fleet: 2, cluster: 4, group: 4, api: 8, app: 3 } as const;
export const pool = (prefix: string, size: number): fc.Arbitrary<string> =>
  fc.nat(size - 1).map((i) => `${prefix}${i}`);
export const fleetName = pool('fleet', POOL.fleet);
export const clusterName = pool('cluster', POOL.cluster);
export const groupName = pool('group', POOL.group);
export const apiName = pool('api', POOL.api);
export const appName = pool('app', POOL.app);

/** An object whose keys may be left out; none has the value undefined. */
export function partial<T extends object>(
  record: {
    readonly [K in keyof T]?: fc.Arbitrary<Exclude<T[K], undefined>>;
  },
): fc.Arbitrary<Partial<T>> {
  return fc.record(record as Record<string, fc.Arbitrary<unknown>>, { requiredKeys: [] }) as fc.Arbitrary<Partial<T>>;
}

export const port = fc.integer({ min: 1, max: 65_535 });
export const some = <T>(item: fc.Arbitrary<T>, max: number) => fc.uniqueArray(item, { minLength: 1, maxLength: max });

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
        locality: fc.constantFrom({ region: 'east' }, { region: 'east', room: 'e1' }, { region: 'west' }),
      }),
    )
    .map(([ports, rest]) => ({ name, listeners: ports.map((p, i) => ({ name: `listener${i}`, port: p })), ...rest }));
}

const NAMES: NonNullable<ClusterSpec['discovery']>[] = [
  { dns: [{ name: 'pods.internal', port: 80 }] },
  { dns: [{ name: '_http._tcp.pods.internal', type: 'srv', region: 'west' }] },
  {
    dns: [
      { name: 'Pods.Internal.', port: 80, region: 'east', room: 'e1' },
      { name: 'pods.internal', port: 81, weight: 3 },
    ],
  },
];

export function cluster(name: string): fc.Arbitrary<ClusterSpec> {
  const ip = fc.nat(3).map((i) => `10.0.0.${i + 1}`);
  const dns = fc.nat(3).map((i) => `backend${i}.internal`);
  const endpoints = (host: fc.Arbitrary<string>) =>
    fc.uniqueArray(
      fc
        .tuple(
          fc.record({ host, port: fc.constantFrom(80, 8080) }),
          fc.constantFrom({}, { region: 'east', room: 'e1' }),
        )
        .map(([address, place]) => ({ ...address, ...place })),
      { maxLength: 3, selector: (e) => `${e.host}:${e.port}` },
    );
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
      fc.option(fc.constantFrom(...NAMES), { nil: undefined }),
    )
    .map(([list, rest, discovery]) => {
      const named = discovery !== undefined && list.every((endpoint) => !endpoint.host.startsWith('backend'));
      return { name, endpoints: list, ...rest, ...(named && { discovery }) };
    });
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

export const auth: fc.Arbitrary<NonNullable<ApiSpec['auth']>> = fc.oneof(
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
