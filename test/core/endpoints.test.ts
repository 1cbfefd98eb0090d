import { fromBinary } from '@bufbuild/protobuf';
import { beforeEach, describe, expect, it } from 'vitest';
import { type Resource, TYPE } from '../../src/core/ads/resource.js';
import { type Change, type Compiler, compile, type StoredObject, type Update } from '../../src/core/compile.js';
import type { ClusterSpec } from '../../src/core/model/cluster.js';
import type { Definitions } from '../../src/core/model/definitions.js';
import { deriveId } from '../../src/core/model/name.js';
import { registrationFaults, registrationListFaults } from '../../src/core/model/rules-endpoint.js';
import { priorities } from '../../src/core/xds/priority.js';
import { ClusterSchema } from '../../src/gen/envoy/config/cluster/v3/cluster_pb.js';
import { ClusterLoadAssignmentSchema } from '../../src/gen/envoy/config/endpoint/v3/endpoint_pb.js';

const FLEET = 'default/edge';
const id = deriveId('default', 'cluster', 'orders');
const definitions = (endpoints: ClusterSpec['endpoints']): Definitions => ({
  fleets: [{ name: 'edge', listeners: [{ name: 'http', port: 80 }] }],
  clusters: [{ name: 'orders', endpoints }],
  groups: [{ name: 'shop', hosts: ['shop.example.com'] }],
  apis: [
    { name: 'list', group: 'shop', match: { path: '/' }, upstream: { kind: 'cluster', cluster: 'orders' } },
    { name: 'mock', group: 'shop', match: { path: '/mock' }, upstream: { kind: 'mock' } },
  ],
});
const at = (port: number, weight = 1) => ({ host: '10.0.0.1', port, weight });

let compiler: Compiler;
beforeEach(() => {
  compiler = compile(definitions([{ host: '10.0.0.1', port: 1 }])).compiler;
});

function apply(change: Partial<Change>): Update {
  return compiler.apply({ release: compiler.release, upserts: [], removals: [], ...change });
}
const register = (...endpoints: ReturnType<typeof at>[]) => apply({ endpoints: [{ cluster: 'orders', endpoints }] });
const stored = (spec: ClusterSpec) => ({ kind: 'cluster', name: spec.name, id, spec, release: 2 }) as StoredObject;

/** The endpoints Envoy is told of, as address and weight; undefined: none are delivered. */
function told(): string[] | undefined {
  const found = [...compiler.resources(FLEET)].find(({ type, name }) => type === TYPE.endpoint && name === id);
  if (!found) return undefined;
  return fromBinary(ClusterLoadAssignmentSchema, found.bytes).endpoints.flatMap(({ lbEndpoints }) =>
    lbEndpoints.map(({ hostIdentifier, loadBalancingWeight }) => {
      const address = hostIdentifier.case === 'endpoint' ? hostIdentifier.value.address?.address : undefined;
      if (address?.case !== 'socketAddress') throw new Error('no address');
      return `${address.value.address}:${address.value.portSpecifier.value} ${loadBalancingWeight}`;
    }),
  );
}

describe('registered endpoints', () => {
  it('join those of the definition, and are sent as endpoints alone', () => {
    const { fleets, recompiled, groupReleases } = register(at(2), at(3, 7));
    expect(told()).toEqual(['10.0.0.1:1 1', '10.0.0.1:2 1', '10.0.0.1:3 7']);
    const delta = fleets.get(FLEET);
    expect(delta?.upserts.map(({ type, name }) => [type, name])).toEqual([[TYPE.endpoint, id]]);
    expect([delta?.removals, recompiled.groups, groupReleases]).toEqual([[], [], {}]);
    register();
    expect(told()).toEqual(['10.0.0.1:1 1']);
  });

  it('say how an address that is in the definition too is weighted', () => {
    register(at(1, 9));
    expect(told()).toEqual(['10.0.0.1:1 9']);
  });

  it('that are registered again as they were are not sent', () => {
    register(at(2));
    expect(register(at(2)).fleets.size).toBe(0);
  });

  it('are all there is when the definition has none, and then nothing is warned of', () => {
    compiler = compile(definitions([])).compiler;
    expect(told()).toEqual([]);
    register(at(2));
    expect(told()).toEqual(['10.0.0.1:2 1']);
    const bare = stored({ name: 'orders', endpoints: [] });
    expect(compiler.check({ release: 2, upserts: [bare], removals: [] })).toEqual([]);
    register();
    expect(compiler.check({ release: 2, upserts: [bare], removals: [] }).map(({ code }) => code)).toEqual([
      'no-endpoint',
    ]);
  });

  it('survive every change of the cluster, also that it goes and comes', () => {
    register(at(2));
    apply({ release: 2, upserts: [stored({ name: 'orders', endpoints: [], connectTimeoutMs: 5 })] });
    expect(told()).toEqual(['10.0.0.1:2 1']);
    const api = (release: number): StoredObject => {
      const spec = { name: 'list', group: 'shop', match: { path: '/' }, upstream: { kind: 'mock' as const } };
      return { kind: 'api', name: 'list', id: deriveId('default', 'api', 'list'), spec, release };
    };
    apply({ release: 3, upserts: [api(3)], removals: [{ kind: 'cluster', name: 'orders' }] });
    expect(told()).toBeUndefined();
    register(at(4));
    const again = definitions([]).apis?.[0];
    const back = { ...api(4), spec: again } as StoredObject;
    apply({ release: 4, upserts: [stored({ name: 'orders', endpoints: [] }), back] });
    expect(told()).toEqual(['10.0.0.1:4 1']);
  });

  it('of a cluster that turns to DNS names get no requests, which is told, until it turns back', () => {
    register(at(2));
    const { diagnostics } = apply({
      release: 2,
      upserts: [stored({ name: 'orders', endpoints: [{ host: 'orders.internal', port: 1 }] })],
    });
    expect(diagnostics.map(({ code }) => code)).toEqual(['unused-registration']);
    expect(told()).toBeUndefined();
    expect(register(at(3)).fleets.size).toBe(0);
    apply({ release: 3, upserts: [stored({ name: 'orders', endpoints: [] })] });
    expect(told()).toEqual(['10.0.0.1:3 1']);
  });

  it('are not in force after a trial', () => {
    const change: Change = {
      release: 1,
      upserts: [],
      removals: [],
      endpoints: [{ cluster: 'orders', endpoints: [at(2)] }],
    };
    expect(compiler.trial(change).fleets.size).toBe(1);
    expect(told()).toEqual(['10.0.0.1:1 1']);
    compiler.apply(change);
    expect(told()).toEqual(['10.0.0.1:1 1', '10.0.0.1:2 1']);
  });
});

describe('a registration', () => {
  it.each([
    [{ host: '10.0.0.1', port: 80 }, []],
    [{ host: '::1', port: 80, weight: 128, region: 'r', zone: 'z', room: 'a', ttlSeconds: 30 }, []],
    [{ host: 'orders.internal', port: 80 }, ['/host']],
    [{ host: '10.0.0.1:80', port: 80 }, ['/host']],
    [{ host: '0.0.0.0', port: 80 }, ['/host']],
    [{ host: '10.0.0.1', port: 80, room: 'a' }, ['/room']],
    [
      { host: '[::1]', port: 0, weight: 0, ttlSeconds: 0, room: '', more: 1 },
      ['/host', '/more', '/port', '/room', '/room', '/ttlSeconds', '/weight'],
    ],
    [[], ['']],
    [null, ['']],
  ])('%j: faults at %j', (value, paths) => {
    expect(
      registrationFaults(value)
        .map(({ path }) => path)
        .sort(),
    ).toEqual(paths);
  });

  it('of a list is told all faults at once', () => {
    const endpoints = [
      { host: '10.0.0.1', port: 80 },
      { host: '10.0.0.1', port: 80, id: 'other' },
      { host: '0:0::1', port: 80, id: 'b' },
      { host: '::1', port: 80 },
      { host: 'x.example', port: 'http' },
      { host: '10.0.0.2', port: 80, id: 'b' },
      7,
    ];
    expect(
      registrationListFaults({ endpoints })
        .map(({ path, code }) => `${path} ${code}`)
        .sort(),
    ).toEqual([
      '/endpoints/1 invalid-endpoint',
      '/endpoints/3 invalid-endpoint',
      '/endpoints/4/host invalid-endpoint',
      '/endpoints/4/port schema',
      '/endpoints/5/id duplicate-id',
      '/endpoints/6 schema',
    ]);
    expect(registrationListFaults({ endpoints: {} }).map(({ path }) => path)).toEqual(['/endpoints']);
    expect(registrationListFaults(undefined)).toHaveLength(1);
  });
});

describe('priorities', () => {
  const place = (region: string, room = '', zone = '') => ({ region, zone, room });
  const at = (...places: (ReturnType<typeof place> | undefined)[]) => places.map((p) => ({ place: p, tier: 0 }));
  const places = [undefined, place('east', 'e1'), place('east', 'e2'), place('east', 'e1', 'z1'), place('west', 'e1')];

  it.each([
    ['from nowhere all are alike', place(''), [0, 0, 0, 0, 0]],
    ['same room, same region, elsewhere', place('east', 'e1'), [0, 0, 1, 0, 2]],
    ['a room of the same name in another region is elsewhere', place('west', 'e1'), [0, 1, 1, 1, 0]],
    ['without a room the region counts', place('east'), [0, 0, 0, 0, 1]],
    ['the same room in another zone is another room', place('east', 'e1', 'z2'), [0, 0, 1, 1, 2]],
    ['a region without endpoints', place('north', 'n1'), [0, 1, 1, 1, 1]],
  ])('%s', (_, node, expected) => {
    expect(priorities(node, at(...places))).toEqual(expected);
  });

  it('have no gaps', () => {
    expect(priorities(place('north'), at(place('east'), place('west')))).toEqual([0, 0]);
    expect(priorities(place('east', 'e9'), at(place('west'), place('east', 'e1')))).toEqual([1, 0]);
  });

  it('put the tier behind the distance', () => {
    const spots = [...at(place('east', 'e1')), ...at(place('west', 'w1'))].flatMap((spot) => [
      spot,
      { ...spot, tier: 3 },
    ]);
    expect(priorities(place('east', 'e1'), spots)).toEqual([0, 1, 2, 3]);
    expect(priorities(place('west', 'w1'), spots)).toEqual([2, 3, 0, 1]);
    expect(priorities(place(''), spots)).toEqual([0, 1, 0, 1]);
  });
});

describe('endpoints seen from a place', () => {
  const [east, west] = [
    { region: 'east', zone: '', room: 'e1' },
    { region: 'west', zone: '', room: 'w1' },
  ];
  const spread = [
    { host: '10.0.0.1', port: 1, region: 'east', room: 'e1' },
    { host: '10.0.0.1', port: 2, region: 'west', room: 'w1' },
  ];
  const found = (key = FLEET) => {
    const resource = [...compiler.resources(key)].find(({ type, name }) => type === TYPE.endpoint && name === id);
    if (!resource) throw new Error('no endpoints');
    return resource;
  };
  /** Rooms with their priorities, in the order of the message. */
  const order = ({ bytes }: Resource) =>
    fromBinary(ClusterLoadAssignmentSchema, bytes).endpoints.map((e) => `${e.locality?.subZone ?? '-'} ${e.priority}`);

  it('differ in priority alone, have one version, and are made once for all nodes that see the same', () => {
    compiler = compile(definitions(spread)).compiler;
    const resource = found();
    expect(order(resource)).toEqual(['e1 0', 'w1 0']);
    expect(order(resource.at?.(east) as Resource)).toEqual(['e1 0', 'w1 1']);
    expect(order(resource.at?.(west) as Resource)).toEqual(['w1 0', 'e1 1']);
    expect(resource.at?.(west)).toBe(resource.at?.({ ...west, room: '' }));
    expect(resource.at?.(west).version).toBe(resource.version);
  });

  it('do not differ when no endpoint says where it stands', () => {
    expect(found().at).toBeUndefined();
  });

  it('change their version with anything a place may see', () => {
    const versions = new Set<string>();
    for (const room of ['e1', 'e2', undefined]) {
      const endpoints = [{ ...spread[0], ...(room && { room }) }, spread[1]] as ClusterSpec['endpoints'];
      compiler = compile(definitions(endpoints.map((e) => (room ? e : { ...e, room: 'x' })))).compiler;
      versions.add(found().version);
    }
    compiler = compile(definitions([])).compiler;
    apply({
      endpoints: [
        {
          cluster: 'orders',
          endpoints: [
            { ...at(1), place: east },
            { ...at(2), place: west },
          ],
        },
      ],
    });
    expect(order(found().at?.(west) as Resource)).toEqual(['w1 0', 'e1 1']);
    versions.add(found().version);
    // Registered or defined: the same endpoints are the same resource.
    expect(versions.size).toBe(3);
  });

  it('are those of the fleet for nodes that do not say where they are; another default is told to them alone', () => {
    const fleets = (region: string, room: string) => [
      { name: 'edge', listeners: [{ name: 'http', port: 80 }], locality: { region, room } },
    ];
    compiler = compile({ ...definitions(spread), fleets: fleets('west', 'w1') }).compiler;
    const before = found();
    expect([order(before), order(before.at?.(east) as Resource)]).toEqual([
      ['w1 0', 'e1 1'],
      ['e1 0', 'w1 1'],
    ]);
    const [spec] = fleets('east', 'e1');
    const fleet = { kind: 'fleet', name: 'edge', id: deriveId('default', 'fleet', 'edge'), spec, release: 2 };
    const { fleets: deltas } = apply({ release: 2, upserts: [fleet as StoredObject] });
    expect(deltas.get(FLEET)?.upserts.map(({ type }) => type)).toEqual([TYPE.endpoint]);
    expect(order(found())).toEqual(['e1 0', 'w1 1']);
  });

  it('of DNS names stand in the cluster, which then differs', () => {
    compiler = compile(
      definitions([
        { host: 'a.internal', port: 1, region: 'east', room: 'e1' },
        { host: 'b.internal', port: 1, region: 'west', room: 'w1' },
      ]),
    ).compiler;
    const cluster = [...compiler.resources(FLEET)].find(({ type }) => type === TYPE.cluster);
    const seen = fromBinary(ClusterSchema, cluster?.at?.(west).bytes as Uint8Array).loadAssignment?.endpoints;
    expect(seen?.map((e) => `${e.locality?.subZone} ${e.priority}`)).toEqual(['w1 0', 'e1 1']);
  });
});
