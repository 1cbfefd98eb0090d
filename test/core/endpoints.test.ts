import { fromBinary } from '@bufbuild/protobuf';
import { beforeEach, describe, expect, it } from 'vitest';
import { TYPE } from '../../src/core/ads/resource.js';
import { type Change, type Compiler, compile, type StoredObject, type Update } from '../../src/core/compile.js';
import type { ClusterSpec } from '../../src/core/model/cluster.js';
import type { Definitions } from '../../src/core/model/definitions.js';
import { deriveId } from '../../src/core/model/name.js';
import { registrationFaults, registrationListFaults } from '../../src/core/model/rules-endpoint.js';
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
