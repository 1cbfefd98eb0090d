import { describe, expect, it } from 'vitest';
import { TYPE } from '../../src/core/ads/resource.js';
import { compile, type StoredObject, type Update } from '../../src/core/compile.js';
import type { ClusterSpec } from '../../src/core/model/cluster.js';
import { deriveId } from '../../src/core/model/name.js';
import { grpcBootstrap } from '../../src/core/xds/grpc-bootstrap.js';
import { resourceJson } from '../../src/core/xds/resource-json.js';
import { paifang } from '../support/cli.js';

const endpoints = [{ host: '10.0.0.1', port: 1 }];
const cluster = (name: string, more: Partial<ClusterSpec> = {}): ClusterSpec => ({
  name,
  protocol: 'http2',
  endpoints,
  ...more,
});
const listeners = [{ name: 'http', port: 80 }];
const two = [
  { name: 'one', listeners },
  { name: 'two', listeners, locality: { region: 'east' } },
];
const world = (...clusters: ClusterSpec[]) => compile({ fleets: two, clusters }).compiler;
const stored = (spec: ClusterSpec, release: number): StoredObject => {
  return { kind: 'cluster', name: spec.name, id: deriveId('default', 'cluster', spec.name), spec, release };
};
const short = (type: string) => Object.entries(TYPE).find(([, url]) => url === type)?.[0];

/** What of a change is for gRPC clients, by fleet. */
function told({ fleets }: Update): Record<string, string[]> {
  const of = [...fleets].map(([fleet, { upserts, removals }]): [string, string[]] => [
    fleet,
    [
      ...upserts.map(({ type, name }) => `+${short(type)} ${name}`),
      ...removals.map(({ type, name }) => `-${short(type)} ${name}`),
    ].sort(),
  ]);
  return Object.fromEntries(of);
}
const both = (...lines: string[]) => ({ 'default/one': lines, 'default/two': lines });

describe('what gRPC clients are told', () => {
  it('is there in every fleet for every cluster they can reach, and for no other', () => {
    const compiler = world(
      cluster('reached'),
      cluster('by.name', { endpoints: [{ host: 'a.example.com', port: 1 }] }),
      cluster('names', { endpoints: ['a', 'b'].map((name) => ({ host: `${name}.example.com`, port: 1 })) }),
      cluster('encrypted', { tls: {} }),
      cluster('old', { protocol: 'http1' }),
      { name: 'plain', endpoints },
    );
    for (const fleet of compiler.fleetKeys()) {
      const named = [...compiler.resources(fleet)].filter(({ name }) => name.startsWith('grpc/'));
      expect(named.map(({ type, name }) => `${short(type)} ${name}`).sort()).toEqual([
        'cluster grpc/by.name',
        'cluster grpc/reached',
        'endpoint grpc/reached',
        'listener grpc/by.name',
        'listener grpc/reached',
      ]);
    }
  });

  it('changes by its endpoints alone when endpoints register', () => {
    const compiler = world(cluster('orders'), cluster('other'), { name: 'plain', endpoints });
    const host = { host: '10.0.0.2', port: 1, weight: 1 };
    const change = (name: string) => ({
      release: 1,
      upserts: [],
      removals: [],
      endpoints: [{ cluster: name, endpoints: [host] }],
    });
    expect(told(compiler.apply(change('orders')))).toEqual(both('+endpoint grpc/orders'));
    expect(told(compiler.apply(change('plain')))).toEqual({});
  });

  it('comes and goes with what makes the cluster reachable, and bears the release it came with', () => {
    const compiler = world(cluster('orders', { protocol: 'http1' }));
    const set = (spec: ClusterSpec, release: number) =>
      compiler.apply({ release, upserts: [stored(spec, release)], removals: [] });
    const all = ['cluster', 'endpoint', 'listener'].map((type) => `${type} grpc/orders`);
    expect(told(set(cluster('orders'), 2))).toEqual(both(...all.map((line) => `+${line}`)));
    expect(told(set(cluster('orders', { tls: {} }), 3))).toEqual(both(...all.map((line) => `-${line}`)));
    const { fleets } = set(cluster('orders'), 4);
    const listener = fleets.get('default/one')?.upserts.find(({ type }) => type === TYPE.listener);
    expect(listener && resourceJson(listener)).toMatchObject({
      metadata: { filter_metadata: { paifang: { release: 4 } } },
    });
    const gone = compiler.apply({ release: 5, upserts: [], removals: [{ kind: 'cluster', name: 'orders' }] });
    expect(told(gone)).toEqual(both(...all.map((line) => `-${line}`)));
  });

  it('goes with its cluster also when a fleet is made anew in the same change', () => {
    const compiler = world(cluster('orders'));
    const [one] = two.map((spec): StoredObject => {
      const id = deriveId('default', 'fleet', spec.name);
      return { kind: 'fleet', name: spec.name, id, spec: { ...spec, locality: { region: 'west' } }, release: 2 };
    });
    const removals = [{ kind: 'cluster' as const, name: 'orders' }];
    const { fleets } = compiler.apply({ release: 2, upserts: [one as StoredObject], removals });
    expect(fleets.get('default/one')?.removals.map(({ name }) => name)).toEqual(Array(3).fill('grpc/orders'));
    for (const fleet of compiler.fleetKeys())
      expect([...compiler.resources(fleet)].filter(({ name }) => name.startsWith('grpc/'))).toEqual([]);
  });

  it('weighs a room by its endpoints and never says one twice', () => {
    const spots = [
      { host: '10.0.0.1', port: 1, weight: 3, region: 'east' },
      { host: '10.0.0.2', port: 1, weight: 2, region: 'east' },
      { host: '10.0.0.3', port: 1, region: 'west' },
      { host: '10.0.0.4', port: 1 },
    ];
    const compiler = world(cluster('orders', { endpoints: spots }));
    const views = compiler.fleetKeys().map((fleet) => {
      const found = [...compiler.resources(fleet)].find(
        ({ type, name }) => type === TYPE.endpoint && name === 'grpc/orders',
      );
      const { endpoints } = resourceJson(found as NonNullable<typeof found>) as unknown as {
        endpoints: { locality: { region?: string }; priority?: number; load_balancing_weight: number }[];
      };
      return endpoints.map(({ locality, priority = 0, load_balancing_weight: weight }) => [
        locality.region ?? '',
        priority,
        weight,
      ]);
    });
    expect(views).toEqual([
      [
        ['', 0, 1],
        ['east', 0, 5],
        ['west', 0, 1],
      ],
      [
        ['', 0, 1],
        ['east', 0, 5],
        ['west', 1, 1],
      ],
    ]);
  });
});

describe('the bootstrap of a gRPC client', () => {
  const own = ['bootstrap', '--grpc', '--node', 'c-1', '--fleet', 'public', '--ads', '[::1]:9876'];

  it('says who it is, where the controller is, and how names are made', async () => {
    const { status, stdout } = await paifang([...own, '--region', 'east', '--room', 'e1']);
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toEqual({
      xds_servers: [{ server_uri: '[::1]:9876', channel_creds: [{ type: 'insecure' }], server_features: ['xds_v3'] }],
      node: { id: 'c-1', cluster: 'default/public', locality: { region: 'east', zone: '', sub_zone: 'e1' } },
      client_default_listener_resource_name_template: 'grpc/%s',
    });
  });

  it('goes over TLS, with a certificate of its own or without', () => {
    const made = (tls: NonNullable<Parameters<typeof grpcBootstrap>[0]['tls']>) =>
      grpcBootstrap({ nodeId: 'c', nodeCluster: 'w/f', server: 'a:1', tls }) as {
        xds_servers: [{ channel_creds: object[] }];
      };
    expect(made({ ca: 'ca.pem' }).xds_servers[0].channel_creds).toEqual([
      { type: 'tls', config: { ca_certificate_file: 'ca.pem' } },
    ]);
    const certificate = { chain: 'c.pem', key: 'c.key' };
    expect(made({ ca: 'ca.pem', certificate }).xds_servers[0].channel_creds).toEqual([
      { type: 'tls', config: { ca_certificate_file: 'ca.pem', certificate_file: 'c.pem', private_key_file: 'c.key' } },
    ]);
  });

  it.each([
    [['--fleet', 'a/b'], 'cannot be the name of a fleet'],
    [['--ads', 'nowhere'], '--ads takes host:port'],
    [['--room', 'e1'], 'need --region'],
  ])('is refused with %j', async (flags, told) => {
    const { status, stdout, stderr } = await paifang([...own, ...flags]);
    expect([status, stdout]).toEqual([2, '']);
    expect(stderr).toContain(told);
  });
});
