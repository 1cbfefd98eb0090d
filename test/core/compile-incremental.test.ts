import { fromBinary } from '@bufbuild/protobuf';
import { beforeEach, describe, expect, it } from 'vitest';
import { TYPE } from '../../src/core/ads/resource.js';
import { type Change, Compiler, compile, type StoredObject, type Update } from '../../src/core/compile.js';
import type { ApiSpec } from '../../src/core/model/api.js';
import type { ClusterSpec } from '../../src/core/model/cluster.js';
import type { Definitions, Spec } from '../../src/core/model/definitions.js';
import type { Kind } from '../../src/core/model/kind.js';
import { deriveId } from '../../src/core/model/name.js';
import { Secret } from '../../src/core/secret.js';
import { AppSchema } from '../../src/gen/paifang/v1/policy_pb.js';

const GROUPS = 5;
const APIS = 20;
const signature = { type: 'signature' } as const;
const cluster = (i: number, changes: Partial<ClusterSpec> = {}): ClusterSpec => ({
  name: `cluster${i}`,
  endpoints: [{ host: '10.0.0.1', port: 80 + i }],
  ...changes,
});
const api = (i: number, changes: Partial<ApiSpec> = {}): ApiSpec => ({
  name: `api${i}`,
  group: `group${i % GROUPS}`,
  match: { path: `/${i}` },
  upstream: { kind: 'cluster', cluster: `cluster${i % GROUPS}` },
  ...changes,
});
const DEFINITIONS: Definitions = {
  fleets: [{ name: 'edge', listeners: [{ name: 'http', port: 80 }] }],
  clusters: Array.from({ length: GROUPS + 1 }, (_, i) => cluster(i)),
  groups: Array.from({ length: GROUPS }, (_, i) => ({ name: `group${i}`, hosts: [`g${i}.example.com`] })),
  apis: Array.from({ length: APIS }, (_, i) => api(i)),
  apps: [{ name: 'app', grants: { apis: ['api1', 'later'], groups: ['group1'] } }],
};
const id = (kind: Kind, name: string) => deriveId('default', kind, name);
const shortType = (type: string) => Object.entries(TYPE).find(([, url]) => url === type)?.[0] ?? type;

let compiler: Compiler;
beforeEach(() => {
  compiler = compile(DEFINITIONS).compiler;
});

function stored(kind: Kind, spec: Spec, release = 2): StoredObject {
  return { kind, name: spec.name, id: spec.id ?? id(kind, spec.name), spec, release } as StoredObject;
}

function apply(change: Partial<Change>): Update {
  const update = compiler.apply({ release: 2, upserts: [], removals: [], ...change });
  expect(update.diagnostics.filter((d) => d.severity === 'error')).toEqual([]);
  return update;
}

/** What the fleet `edge` is sent, as `+type name` and `-type name`. */
function sent({ fleets }: Update, key = 'default/edge'): string[] {
  const { upserts, removals } = fleets.get(key) ?? { upserts: [], removals: [] };
  return [
    ...upserts.map(({ type, name }) => `+${shortType(type)} ${name}`),
    ...removals.map(({ type, name }) => `-${shortType(type)} ${name}`),
  ].sort();
}
const has = (type: keyof typeof TYPE, name: string, key = 'default/edge') =>
  [...compiler.resources(key)].some((r) => r.type === TYPE[type] && r.name === name);
const app = () => {
  const found = [...compiler.resources('default/edge')].find((r) => r.type === TYPE.app);
  return found && fromBinary(AppSchema, found.bytes);
};

describe('an edit costs what it touches', () => {
  it('an API: its group', () => {
    const update = apply({ upserts: [stored('api', api(7, { timeoutMs: 5 }))] });
    expect(update.recompiled).toEqual({ groups: ['group2'], clusters: [], apps: [], fleets: [] });
    expect(sent(update)).toEqual([`+route ${id('group', 'group2')}`]);
    expect(update.groupReleases).toEqual({ group2: 2 });
    expect(compiler.groupReleases()).toEqual({ group0: 1, group1: 1, group2: 2, group3: 1, group4: 1 });
  });

  it('an API that moves: both groups', () => {
    const update = apply({ upserts: [stored('api', api(7, { group: 'group0' }))] });
    expect(update.recompiled.groups).toEqual(['group0', 'group2']);
    expect(sent(update)).toEqual([`+route ${id('group', 'group0')}`, `+route ${id('group', 'group2')}`].sort());
  });

  it('a description: nothing is sent, and no stamp moves', () => {
    const update = apply({
      upserts: [
        stored('api', api(7, { description: 'new' })),
        stored('group', { name: 'group3', hosts: ['g3.example.com'], description: 'new' }),
      ],
    });
    expect(update.recompiled.groups).toEqual(['group2', 'group3']);
    expect([sent(update), update.groupReleases, compiler.release]).toEqual([[], {}, 2]);
  });

  it('endpoints: only they', () => {
    const update = apply({ upserts: [stored('cluster', cluster(2, { endpoints: [{ host: '10.9.9.9', port: 1 }] }))] });
    expect(update.recompiled).toEqual({ groups: [], clusters: ['cluster2'], apps: [], fleets: [] });
    expect(sent(update)).toEqual([`+endpoint ${id('cluster', 'cluster2')}`]);
  });

  it('endpoints that become names: the cluster, and no endpoints of their own', () => {
    const update = apply({
      upserts: [stored('cluster', cluster(2, { endpoints: [{ host: 'a.internal', port: 1 }] }))],
    });
    expect(sent(update)).toEqual([`+cluster ${id('cluster', 'cluster2')}`, `-endpoint ${id('cluster', 'cluster2')}`]);
  });

  it('a cluster that no route uses: nothing', () => {
    expect(has('cluster', id('cluster', 'cluster5'))).toBe(false);
    expect(sent(apply({ upserts: [stored('cluster', cluster(5, { connectTimeoutMs: 5 }))] }))).toEqual([]);
  });

  it('an App or its credentials: the App', () => {
    expect(sent(apply({ upserts: [stored('app', { name: 'app', enabled: false })] }))).toEqual([
      `+app ${id('app', 'app')}`,
    ]);
    const credentials = [
      {
        kind: 'app' as const,
        name: 'app',
        credentials: [{ accessKey: 'ak', secretKey: new Secret('sk'), enabled: true }],
      },
    ];
    const update = apply({ credentials });
    expect([sent(update), update.recompiled.apps, update.recompiled.groups]).toEqual([
      [`+app ${id('app', 'app')}`],
      ['app'],
      [],
    ]);
    expect(app()?.credentials.map((c) => c.accessKey)).toEqual(['ak']);
    expect(sent(apply({ credentials: [...credentials].map((c) => ({ ...c })) }))).toEqual([]);
  });
});

describe('clusters and policies live as long as a group uses them', () => {
  it('clusters', () => {
    const other = apply({ upserts: [stored('api', api(3, { upstream: { kind: 'cluster', cluster: 'cluster5' } }))] });
    expect(sent(other)).toContain(`+cluster ${id('cluster', 'cluster5')}`);
    expect(has('cluster', id('cluster', 'cluster3'))).toBe(true);
    const mocks = [3, 8, 13, 18].map((i) => stored('api', api(i, { upstream: { kind: 'mock' } }), 3));
    const update = apply({ release: 3, upserts: mocks });
    expect(sent(update)).toEqual(
      [
        `+route ${id('group', 'group3')}`,
        ...['cluster3', 'cluster5'].flatMap((name) => [
          `-cluster ${id('cluster', name)}`,
          `-endpoint ${id('cluster', name)}`,
        ]),
      ].sort(),
    );
  });

  it('policies, shared by all routes with equal settings', () => {
    const first = apply({ upserts: [0, 1].map((i) => stored('api', api(i, { auth: signature }))) });
    const policies = sent(first).filter((line) => line.startsWith('+policy'));
    expect(policies).toHaveLength(1);
    const name = policies[0]?.split(' ')[1] ?? '';
    apply({ release: 3, upserts: [stored('api', api(0), 3)] });
    expect(has('policy', name)).toBe(true);
    expect(sent(apply({ release: 4, removals: [{ kind: 'api', name: 'api1' }] }))).toContain(`-policy ${name}`);
    expect(has('policy', name)).toBe(false);
  });

  it('route tables need their clusters, scopes their route table', () => {
    const resources = [...compiler.resources('default/edge')];
    const table = resources.find((r) => r.type === TYPE.route && r.name === id('group', 'group1'));
    expect(table?.needs).toEqual([{ type: TYPE.cluster, name: id('cluster', 'cluster1') }]);
    expect(resources.find((r) => r.name === 'g1.example.com')?.needs).toEqual([
      { type: TYPE.route, name: id('group', 'group1') },
    ]);
    expect(resources.find((r) => r.type === TYPE.listener)?.needs).toBeUndefined();
  });
});

describe('fleets', () => {
  const far = { name: 'far', listeners: [{ name: 'http', port: 81 }] };

  it('that come are sent everything; that go lose everything', () => {
    const update = apply({ upserts: [stored('fleet', far)] });
    expect([...update.fleets.keys()]).toEqual(['default/far']);
    expect(compiler.fleetKeys()).toEqual(['default/edge', 'default/far']);
    expect(sent(update, 'default/far')).toHaveLength([...compiler.resources('default/far')].length);
    const all = [...compiler.resources('default/far')].map(({ type, name }) => `-${shortType(type)} ${name}`).sort();
    expect(sent(apply({ release: 3, removals: [{ kind: 'fleet', name: 'far' }] }), 'default/far')).toEqual(all);
    expect([compiler.fleetKeys(), [...compiler.resources('default/far')]]).toEqual([['default/edge'], []]);
    expect(() => compiler.gateway('far')).toThrow('There is no fleet "far"');
  });

  it('are sent only the groups they serve', () => {
    apply({ upserts: [stored('fleet', far)] });
    const update = apply({
      release: 3,
      upserts: [stored('group', { name: 'group1', hosts: ['g1.example.com'], fleets: ['far'] }, 3)],
    });
    expect(sent(update)).toEqual([
      `-cluster ${id('cluster', 'cluster1')}`,
      `-endpoint ${id('cluster', 'cluster1')}`,
      `-route ${id('group', 'group1')}`,
      '-scope g1.example.com',
    ]);
    expect(update.fleets.has('default/far')).toBe(false);
    expect(
      compiler
        .gateway('edge')
        .groups.map((g) => g.name)
        .sort(),
    ).toEqual(['group0', 'group2', 'group3', 'group4']);
  });

  it('with other settings have their groups compiled anew, under the same release', () => {
    const update = apply({
      upserts: [
        stored('fleet', {
          ...far,
          name: 'edge',
          docsUrl: 'https://docs.example.com/',
          listeners: [{ name: 'other', port: 80 }],
        }),
      ],
    });
    expect(update.recompiled).toMatchObject({
      groups: ['group0', 'group1', 'group2', 'group3', 'group4'],
      fleets: ['edge'],
    });
    expect(sent(update)).toEqual(expect.arrayContaining(['+listener other', '-listener http']));
    expect([...new Set(compiler.gateway('edge').groups.map((g) => g.release))]).toEqual([1]);
  });
});

describe('references by name lead to ids', () => {
  it('grants count from the moment their object is in force, and until it goes', () => {
    expect(app()).toMatchObject({ grantedApiIds: [id('api', 'api1')], grantedGroupIds: [id('group', 'group1')] });
    const update = apply({ upserts: [stored('api', api(99, { name: 'later' }))] });
    expect(update.recompiled.apps).toEqual(['app']);
    expect(app()?.grantedApiIds).toEqual([id('api', 'api1'), id('api', 'later')].sort());
    apply({ release: 3, removals: [{ kind: 'api', name: 'api1' }] });
    expect(app()?.grantedApiIds).toEqual([id('api', 'later')]);
  });

  it('another id of a cluster reaches routes, needs and keys', () => {
    const secret = {
      kind: 'cluster' as const,
      name: 'cluster1',
      credentials: [{ accessKey: 'ak', secretKey: new Secret('sk'), enabled: true }],
    };
    const signed = apply({
      upserts: [stored('cluster', cluster(1, { authentication: 'secret' }))],
      credentials: [secret],
    });
    expect(sent(signed)).toEqual(
      expect.arrayContaining([`+serviceKey ${id('cluster', 'cluster1')}`, `+route ${id('group', 'group1')}`]),
    );
    const update = apply({
      release: 3,
      upserts: [stored('cluster', cluster(1, { authentication: 'secret', id: 'fixed' }), 3)],
    });
    expect(sent(update)).toEqual(
      expect.arrayContaining([
        '+cluster fixed',
        '+endpoint fixed',
        '+serviceKey fixed',
        `-cluster ${id('cluster', 'cluster1')}`,
        `-serviceKey ${id('cluster', 'cluster1')}`,
      ]),
    );
    expect(update.groupReleases).toEqual({ group1: 3 });
    const plain = apply({ release: 4, upserts: [stored('cluster', cluster(1, { id: 'fixed' }), 4)] });
    expect(sent(plain)).toContain('-serviceKey fixed');
  });

  it('a disabled key of a cluster signs nothing', () => {
    const key = (enabled: boolean) => [
      {
        kind: 'cluster' as const,
        name: 'cluster1',
        credentials: [{ accessKey: 'ak', secretKey: new Secret('sk'), enabled }],
      },
    ];
    apply({ upserts: [stored('cluster', cluster(1, { authentication: 'secret' }))], credentials: key(true) });
    expect(has('serviceKey', id('cluster', 'cluster1'))).toBe(true);
    apply({ credentials: key(false) });
    expect(has('serviceKey', id('cluster', 'cluster1'))).toBe(false);
  });

  it('an App that goes takes its credentials with it', () => {
    apply({
      credentials: [
        { kind: 'app', name: 'app', credentials: [{ accessKey: 'ak', secretKey: new Secret('sk'), enabled: true }] },
      ],
    });
    expect(sent(apply({ removals: [{ kind: 'app', name: 'app' }] }))).toEqual([`-app ${id('app', 'app')}`]);
    apply({ release: 3, upserts: [stored('app', { name: 'app' }, 3)] });
    expect(app()?.credentials).toEqual([]);
  });
});

describe('what has errors changes nothing', () => {
  it('and tells them all', () => {
    const before = [...compiler.resources('default/edge')];
    const change = {
      release: 2,
      upserts: [
        stored('api', api(1, { group: 'none' })),
        stored('api', api(2, { match: { path: 'x' } })),
        stored('api', api(3, { timeoutMs: 7 })),
      ],
      removals: [{ kind: 'cluster' as const, name: 'cluster0' }],
    };
    const update = compiler.apply(change);
    expect(update.diagnostics.map((d) => d.code).sort()).toEqual(['in-use', 'invalid-path', 'unknown-reference']);
    expect([update.fleets.size, compiler.release, [...compiler.resources('default/edge')]]).toEqual([0, 1, before]);
    expect(compiler.find('api', 'api3')?.spec.timeoutMs).toBeUndefined();
  });

  it('a full load takes the newest release of what a group holds, or the releases it is given', () => {
    const load = {
      release: 9,
      removals: [],
      upserts: [
        stored('fleet', { name: 'edge', listeners: [{ name: 'l', port: 1 }] }, 1),
        stored('group', { name: 'a', hosts: ['a'] }, 4),
        stored('api', api(1, { group: 'a', upstream: { kind: 'mock' } }), 6),
        stored('group', { name: 'b', hosts: ['b'] }, 5),
      ],
    };
    const plain = new Compiler('default');
    expect(plain.apply(load).groupReleases).toEqual({ a: 6, b: 5 });
    expect(
      plain
        .gateway('edge')
        .groups.map(({ name, release }) => [name, release])
        .sort(),
    ).toEqual([
      ['a', 6],
      ['b', 5],
    ]);
    expect(new Compiler('default').apply({ ...load, groupReleases: { a: 8 } }).groupReleases).toEqual({ a: 8, b: 5 });
  });
});
