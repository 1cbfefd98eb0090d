import { fromBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TYPE } from '../../src/core/ads/resource.js';
import { type Change, type Compiler, compile } from '../../src/core/compile.js';
import { hasErrors } from '../../src/core/diagnostic.js';
import type { AnsweredAddress } from '../../src/core/ir/answer.js';
import type { ClusterSpec } from '../../src/core/model/cluster.js';
import { deriveId } from '../../src/core/model/name.js';
import { questionOfKey } from '../../src/core/model/question.js';
import { checkSpec } from '../../src/core/model/rules.js';
import { validateSpec } from '../../src/core/model/validate.js';
import { isUsable, kept, MOST_ADDRESSES, serviceAddresses } from '../../src/discovery/addresses.js';
import { pauseMs } from '../../src/discovery/schedule.js';
import { ClusterSchema } from '../../src/gen/envoy/config/cluster/v3/cluster_pb.js';
import { ClusterLoadAssignmentSchema } from '../../src/gen/envoy/config/endpoint/v3/endpoint_pb.js';

const FLEET = 'default/edge';
const id = deriveId('default', 'cluster', 'pods');
type Names = NonNullable<ClusterSpec['discovery']>['dns'];

function compiled(dns: Names, more: Partial<ClusterSpec> = {}): Compiler {
  const { compiler, diagnostics } = compile({
    fleets: [{ name: 'edge', listeners: [{ name: 'http', port: 80 }] }],
    clusters: [{ name: 'pods', endpoints: [], discovery: { dns }, ...more }],
    groups: [{ name: 'shop', hosts: ['shop.example.com'] }],
    apis: [{ name: 'list', group: 'shop', match: { path: '/' }, upstream: { kind: 'cluster', cluster: 'pods' } }],
  });
  expect(hasErrors(diagnostics)).toBe(false);
  return compiler;
}

const apply = (compiler: Compiler, change: Partial<Change>) =>
  compiler.apply({ release: compiler.release, upserts: [], removals: [], ...change });
const answer = (compiler: Compiler, name: string, ...addresses: AnsweredAddress[]) =>
  apply(compiler, { answers: [{ type: 'address', name, addresses }] });
const at = (n: number): AnsweredAddress => ({ host: `10.0.0.${n}` });

/** What Envoy is told: priority, room, address, weight and name of each endpoint. */
function told(compiler: Compiler): string[] {
  const found = [...compiler.resources(FLEET)].find(({ type, name }) => type === TYPE.endpoint && name === id);
  return fromBinary(ClusterLoadAssignmentSchema, found?.bytes ?? new Uint8Array()).endpoints.flatMap(
    ({ priority, locality, lbEndpoints }) =>
      lbEndpoints.map(({ hostIdentifier, loadBalancingWeight }) => {
        const endpoint = hostIdentifier.case === 'endpoint' ? hostIdentifier.value : undefined;
        const address = endpoint?.address?.address;
        if (address?.case !== 'socketAddress') throw new Error('no address');
        const { value: socket } = address;
        const where = `${socket.address}:${socket.portSpecifier.value}`;
        return `${priority} ${locality?.subZone ?? '-'} ${where} ${loadBalancingWeight} ${endpoint?.hostname || '-'}`;
      }),
  );
}

describe('what DNS answers', () => {
  it('becomes endpoints of the clusters that name it, and is sent as endpoints alone', () => {
    const compiler = compiled([{ name: 'Pods.Internal.', port: 80, weight: 3, region: 'east', room: 'e1' }]);
    const questions = compiler.questions();
    expect(questions.map(questionOfKey)).toEqual([{ type: 'address', name: 'pods.internal' }]);
    expect(told(compiler)).toEqual([]);
    const { fleets, recompiled, groupReleases } = answer(compiler, 'pods.internal', at(1), at(2));
    expect(compiler.questions()).toBe(questions);
    expect(told(compiler)).toEqual(['0 e1 10.0.0.1:80 3 pods.internal', '0 e1 10.0.0.2:80 3 pods.internal']);
    expect(fleets.get(FLEET)?.upserts.map(({ type, name }) => [type, name])).toEqual([[TYPE.endpoint, id]]);
    expect([fleets.get(FLEET)?.removals, recompiled, groupReleases]).toEqual([
      [],
      { groups: [], clusters: ['pods'], apps: [], fleets: [] },
      {},
    ]);
    // The same again, and an answer nobody asked for, reach nobody.
    expect(answer(compiler, 'pods.internal', at(1), at(2)).fleets.size).toBe(0);
    expect(answer(compiler, 'other.internal', at(1)).fleets.size).toBe(0);
  });

  it('may be there before the cluster, and stays when it goes', () => {
    const compiler = compiled([]);
    answer(compiler, 'pods.internal', at(1));
    const spec = { name: 'pods', endpoints: [], discovery: { dns: [{ name: 'pods.internal', port: 80 }] } };
    const upserts = [{ kind: 'cluster' as const, name: 'pods', id, spec, release: 2 }];
    expect(compiler.apply({ release: 2, upserts, removals: [] }).diagnostics).toEqual([]);
    expect(told(compiler)).toEqual(['0 - 10.0.0.1:80 1 pods.internal']);
  });

  it('joins those of the definition and those that registered, each address once', () => {
    const compiler = compiled(
      [
        { name: 'a.internal', port: 80, weight: 2 },
        { name: 'b.internal', port: 80, weight: 3 },
      ],
      { endpoints: [{ host: '10.0.0.1', port: 80, weight: 7 }] },
    );
    answer(compiler, 'a.internal', at(1), at(2), at(3));
    answer(compiler, 'b.internal', at(3), at(4));
    const registered = [{ host: '10.0.0.2', port: 80, weight: 9 }];
    apply(compiler, { endpoints: [{ cluster: 'pods', endpoints: registered }] });
    expect(told(compiler)).toEqual([
      '0 - 10.0.0.1:80 7 -',
      '0 - 10.0.0.2:80 9 -',
      '0 - 10.0.0.3:80 2 a.internal',
      '0 - 10.0.0.4:80 3 b.internal',
    ]);
  });

  it('of SRV records has its own ports and weights; priorities come behind rooms', () => {
    const compiler = compiled([{ name: '_http._tcp.pods.internal', type: 'srv', region: 'east', room: 'e1' }]);
    const addresses = [
      { host: '10.0.0.1', port: 8080, weight: 60, tier: 0, target: 'one.internal' },
      { host: '10.0.0.2', port: 8081, weight: 40, tier: 1, target: 'two.internal' },
    ];
    apply(compiler, { answers: [{ type: 'srv', name: '_http._tcp.pods.internal', addresses }] });
    expect(told(compiler)).toEqual(['0 e1 10.0.0.1:8080 60 one.internal', '1 e1 10.0.0.2:8081 40 two.internal']);
  });

  it('with TLS is verified by the name that led there', () => {
    const tls = (more: Partial<ClusterSpec>) => {
      const compiler = compiled([{ name: 'pods.internal', port: 443 }], { tls: {}, ...more });
      const cluster = [...compiler.resources(FLEET)].find(({ type }) => type === TYPE.cluster);
      const { transportSocket } = fromBinary(ClusterSchema, cluster?.bytes ?? new Uint8Array());
      const config = transportSocket?.configType.value?.value ?? new Uint8Array();
      return Buffer.from(config).toString('latin1');
    };
    // An address of the definition has no name: then none is taken.
    expect(tls({})).not.toBe(tls({ endpoints: [{ host: '10.0.0.9', port: 443 }] }));
  });
});

describe('the names of a cluster', () => {
  const faults = (dns: unknown, endpoints: unknown = []) => {
    const spec = { name: 'pods', endpoints, discovery: { dns } };
    const shape = validateSpec('cluster', spec);
    const found = shape.length > 0 ? shape : checkSpec('cluster', spec as ClusterSpec);
    return found.map(({ code, path }) => `${code} ${path}`);
  };

  it('are whole DNS names with a port, or SRV names without', () => {
    expect(
      faults([
        { name: 'a.internal.', port: 80 },
        { name: '_h._tcp.a.internal', type: 'srv' },
      ]),
    ).toEqual([]);
    expect(faults([{ name: 'a.internal' }])).toEqual(['invalid-endpoint /discovery/dns/0']);
    expect(faults([{ name: '10.0.0.1', port: 80 }])).toEqual(['invalid-endpoint /discovery/dns/0/name']);
    expect(faults([{ name: 'a..b', port: 80 }])).toEqual(['invalid-endpoint /discovery/dns/0/name']);
    expect(faults([{ name: '.', port: 80 }])).toEqual(['invalid-endpoint /discovery/dns/0/name']);
    expect(faults([{ name: '_h._tcp.a', type: 'srv', port: 80, weight: 2, room: 'e1' }])).toEqual([
      'invalid-setting /discovery/dns/0/room',
      'invalid-endpoint /discovery/dns/0/port',
      'invalid-endpoint /discovery/dns/0/weight',
    ]);
    const twice = [
      { name: 'a.internal', port: 80 },
      { name: 'A.Internal.', port: 80 },
      { name: 'a.internal', port: 81 },
    ];
    expect(faults(twice)).toEqual(['invalid-endpoint /discovery/dns/1']);
    expect(faults([], [])).toEqual(['no-endpoint /endpoints']);
  });

  it('do not go with names that Envoy resolves', () => {
    expect(faults([{ name: 'a.internal', port: 80 }], [{ host: 'b.internal', port: 80 }])).toEqual([
      'invalid-endpoint /endpoints/0/host',
    ]);
  });
});

describe('hostile answers', () => {
  it.each([
    ['0.0.0.0', false],
    ['0.1.2.3', false],
    ['224.0.0.1', false],
    ['239.255.255.255', false],
    ['240.0.0.1', false],
    ['255.255.255.255', false],
    ['::', false],
    ['0:0:0:0:0:0:0:0', false],
    ['FF02::1', false],
    ['fe80::1', false],
    ['::ffff:10.0.0.1', false],
    ['not an address', false],
    ['10.0.0.1', true],
    ['127.0.0.1', true],
    ['223.255.255.255', true],
    ['::1', true],
    ['2001:DB8::1', true],
  ])('%s can be sent to: %s', (host, usable) => {
    expect(isUsable(host)).toBe(usable);
  });

  it('of thousands of addresses the same are kept, whatever their order', () => {
    const many = Array.from({ length: 5000 }, (_, i) => ({ host: `10.1.${i >> 8}.${i & 255}` }));
    const { addresses, omitted } = kept(many);
    expect([addresses.length, omitted]).toEqual([MOST_ADDRESSES, 4000]);
    expect(kept([...many].reverse())).toEqual({ addresses, omitted });
  });

  it('are in one order, each address once, by priority and weight', () => {
    const record = fc.record({
      name: fc.constantFrom('a', 'b', 'c'),
      port: fc.constantFrom(80, 81),
      priority: fc.nat(65_535),
      weight: fc.nat(65_535),
    });
    const where: Record<string, string[]> = { a: ['10.0.0.1', '10.0.0.2'], b: ['10.0.0.2', '0.0.0.0'], c: [] };
    fc.assert(
      fc.property(fc.array(record), fc.infiniteStream(fc.nat()), (records, dice) => {
        const once = kept(serviceAddresses(records, (target) => where[target] ?? []));
        const shuffled = [...records].sort(() => ((dice.next().value ?? 0) % 3) - 1);
        expect(kept(serviceAddresses(shuffled, (target) => [...(where[target] ?? [])].reverse()))).toEqual(once);
        const keys = once.addresses.map(({ host, port }) => `${host}:${port}`);
        expect(new Set(keys).size).toBe(keys.length);
        for (const { host, weight, tier } of once.addresses) {
          expect(isUsable(host)).toBe(true);
          expect(weight).toBeGreaterThan(0);
          expect(tier).toBeGreaterThanOrEqual(0);
        }
      }),
    );
  });
});

describe('a name is asked again', () => {
  const pace = { leastMs: 1000, mostMs: 60_000, otherMs: 5000 };
  it.each([
    ['after its time to live', { ttlSeconds: 30, failures: 0 }, 0, 30_000],
    ['no sooner than the least', { ttlSeconds: 0, failures: 0 }, 0, 1000],
    ['no later than the most', { ttlSeconds: 86_400, failures: 0 }, 0, 60_000],
    ['a little later than others', { ttlSeconds: 30, failures: 0 }, 1, 33_000],
    ['where none is told, at the pace for that', { failures: 0 }, 0, 5000],
    ['soon after a failure', { ttlSeconds: 30, failures: 1 }, 0, 1000],
    ['later after the next', { failures: 3 }, 0, 4000],
    ['and not ever more rarely', { failures: 1000 }, 0, 16_000],
  ])('%s', (_, state, random, expected) => {
    expect(pauseMs(pace, state, random)).toBeCloseTo(expected);
  });
});
