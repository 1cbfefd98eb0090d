import { describe, expect, it } from 'vitest';
import { compile } from '../../src/core/compile.js';
import type { ApiSpec } from '../../src/core/model/api.js';
import type { Definitions } from '../../src/core/model/definitions.js';
import { type Kind } from '../../src/core/model/kind.js';
import { Secret } from '../../src/core/secret.js';
import { api, BASE, endpoints, stored, told, toldOfChange } from '../support/diagnostics.js';

describe('references', () => {
  it.each<[string, Definitions, string]>([
    [
      'an API to a group',
      { apis: [api('a', '/a', { group: 'shp' })] },
      'unknown-reference api a /group There is no group "shp" in force. Did you mean "shop"?',
    ],
    [
      'an API to a cluster',
      { apis: [api('a', '/a', { upstream: { kind: 'cluster', cluster: 'zzz' } })] },
      'unknown-reference api a /upstream/cluster There is no cluster "zzz" in force. Define and publish',
    ],
    [
      'an API to weighted clusters',
      {
        apis: [
          api('a', '/a', {
            upstream: {
              kind: 'weighted',
              clusters: [
                { cluster: 'orders', weight: 50 },
                { cluster: 'stok', weight: 50 },
              ],
            },
          }),
        ],
      },
      'unknown-reference api a /upstream/clusters/1/cluster There is no cluster "stok" in force. Did you mean "stock"?',
    ],
    [
      'a group to a fleet',
      { groups: [{ name: 'shop', hosts: ['a'], fleets: ['edge', 'egde'] }] },
      'unknown-reference group shop /fleets/1 There is no fleet "egde" in force. Did you mean "edge"?',
    ],
    [
      'a grant of an API',
      { apps: [{ name: 'p', grants: { apis: ['x'] } }] },
      'dangling-grant app p /grants/apis/0 The api "x" is not in force.',
    ],
    [
      'a grant of a group',
      { apps: [{ name: 'p', grants: { groups: ['shop', 'shopp'] } }] },
      'dangling-grant app p /grants/groups/1 The group "shopp" is not in force. Did you mean "shop"?',
    ],
    ['names every object has', { apis: [api('a', '/a', { group: 'constructor' })] }, 'There is no group "constructor"'],
  ])('that lead nowhere are told: %s', (_, definitions, expected) => {
    const found = told(definitions);
    expect(found).toHaveLength(1);
    expect(found[0]).toContain(expected);
  });

  it('a grant that dangles is only a warning: the App is served, and the grant counts once there is something', () => {
    const { diagnostics, compiler } = compile({ ...BASE, apps: [{ name: 'p', grants: { apis: ['x'] } }] });
    expect(diagnostics.map((d) => d.severity)).toEqual(['warning']);
    expect(compiler.find('app', 'p')).toBeDefined();
  });

  it.each<[string, Kind, string, Definitions, string | undefined]>([
    [
      'a cluster',
      'cluster',
      'orders',
      { apis: ['a', 'b', 'c', 'd', 'e'].map((n) => api(n, `/${n}`)) },
      'in-use cluster orders  The cluster "orders" is still used by API "a", "b", "c" and 2 more.',
    ],
    [
      'a group',
      'group',
      'shop',
      { apis: [api('a', '/a')] },
      'in-use group shop  The group "shop" is still used by API "a".',
    ],
    [
      'a fleet',
      'fleet',
      'edge',
      { groups: [{ name: 'shop', hosts: ['a'], fleets: ['edge'] }] },
      'in-use fleet edge  The fleet "edge" is still used by group "shop".',
    ],
    ['an unused cluster', 'cluster', 'stock', { apis: [api('a', '/a')] }, undefined],
    [
      'a granted API',
      'api',
      'a',
      { apis: [api('a', '/a')], apps: [{ name: 'p', grants: { apis: ['a'] } }] },
      undefined,
    ],
    ['what is not there', 'app', 'nobody', {}, undefined],
  ])('to what is removed are told: %s', (_, kind, name, definitions, expected) => {
    const found = toldOfChange(definitions, { removals: [{ kind, name }] });
    expect(found).toEqual(expected === undefined ? [] : [expect.stringContaining(expected)]);
  });

  it('may be mended in the change that would break them', () => {
    const definitions = { apis: [api('a', '/a'), api('b', '/b')] };
    const removals = [
      { kind: 'cluster' as const, name: 'orders' },
      { kind: 'api' as const, name: 'b' },
    ];
    expect(
      toldOfChange(definitions, {
        removals,
        upserts: [stored('api', api('a', '/a', { upstream: { kind: 'cluster', cluster: 'stock' } }))],
      }),
    ).toEqual([]);
    expect(toldOfChange(definitions, { removals, upserts: [stored('api', api('a', '/a'))] })).toEqual([
      expect.stringContaining('unknown-reference api a /upstream/cluster'),
    ]);
  });

  it('stay when an object is both replaced and removed', () => {
    const upserts = [stored('cluster', { name: 'orders', endpoints: [{ host: '10.0.0.9', port: 1 }] })];
    expect(
      toldOfChange({ apis: [api('a', '/a')] }, { removals: [{ kind: 'cluster', name: 'orders' }], upserts }),
    ).toEqual([]);
  });
});

describe('hosts', () => {
  const groups = (...list: [host: string, fleets?: string[]][]): Definitions => ({
    fleets: ['edge', 'far'].map((name, i) => ({ name, listeners: [{ name: 'http', port: 80 + i }] })),
    groups: list
      .map(([host, fleets], i) => ({ name: `g${i}`, hosts: ['x', host], ...(fleets && { fleets }) }))
      .map((g, i) => ({ ...g, hosts: [`${i}.example.com`, g.hosts[1] as string] })),
  });

  it('belong to one group of a fleet; the later group by name is told', () => {
    expect(told(groups(['a'], ['a']))).toEqual([
      expect.stringContaining('duplicate-host group g1 /hosts/1 The host "a" belongs to the group "g0".'),
    ]);
    expect(told(groups(['a', ['edge']], ['a']))).toHaveLength(1);
    expect(told(groups(['a', ['edge', 'far']], ['a', ['far']]))).toHaveLength(1);
    expect(told(groups(['a', ['edge']], ['a', ['far']]))).toEqual([]);
    expect(told(groups(['a'], ['b']))).toEqual([]);
  });

  it('of a group in force are not told again; the one that comes is', () => {
    const upserts = [stored('group', { name: 'aaa', hosts: ['shop.example.com'] })];
    expect(toldOfChange({}, { upserts })).toEqual([
      expect.stringContaining(
        'duplicate-host group aaa /hosts/0 The host "shop.example.com" belongs to the group "shop".',
      ),
    ]);
  });

  it('may move from group to group in one change', () => {
    const upserts = [
      stored('group', { name: 'aaa', hosts: ['shop.example.com'] }),
      stored('group', { name: 'shop', hosts: ['new.example.com'] }),
    ];
    expect(toldOfChange({}, { upserts })).toEqual([]);
  });

  it('without any fleet are served by none', () => {
    expect(told({ fleets: [] })).toEqual([expect.stringContaining('nothing-serves group shop')]);
  });
});

describe('matches', () => {
  type Match = ApiSpec['match'];
  const of = (...matches: Match[]) => told({ apis: matches.map((match, i) => api(`a${i}`, '', { match })) });

  it.each<[string, Match[], string | undefined]>([
    [
      'one path twice',
      [{ path: '/a' }, { path: '/a' }],
      'ambiguous-match api a1 /match any method /a matches the same requests as the API "a0"',
    ],
    ['parameters by other names', [{ path: '/a/{x}/*' }, { path: '/a/{y}/*' }], 'ambiguous-match api a1'],
    [
      'overlapping methods',
      [
        { path: '/a', methods: ['GET', 'PUT'] },
        { path: '/a', methods: ['POST', 'PUT', 'GET'] },
      ],
      'PUT, GET /a matches',
    ],
    ['the root', [{ path: '/' }, { path: '/' }], 'ambiguous-match'],
    [
      'other methods',
      [
        { path: '/a', methods: ['GET'] },
        { path: '/a', methods: ['POST'] },
      ],
      undefined,
    ],
    ['methods and any method', [{ path: '/a', methods: ['GET'] }, { path: '/a' }], undefined],
    ['exact and prefix', [{ path: '/a/b' }, { path: '/a/*' }, { path: '/a/{b}' }, { path: '/a' }], undefined],
    ['upper and lower case', [{ path: '/a' }, { path: '/A' }], undefined],
    ['a literal that looks like a parameter in the shape', [{ path: '/{a}' }, { path: '/*' }], undefined],
  ])('%s', (_, matches, expected) => {
    const found = of(...matches);
    expect(found).toEqual(expected === undefined ? [] : [expect.stringContaining(expected)]);
  });

  it('in different groups do not meet', () => {
    const groups = [
      { name: 'shop', hosts: ['a'] },
      { name: 'other', hosts: ['b'] },
    ];
    expect(told({ groups, apis: [api('a', '/a'), api('b', '/a', { group: 'other' })] })).toEqual([]);
  });

  it('are told of the API that comes, whatever its name', () => {
    expect(toldOfChange({ apis: [api('zzz', '/a')] }, { upserts: [stored('api', api('aaa', '/a'))] })).toEqual([
      expect.stringContaining(
        'ambiguous-match api aaa /match any method /a matches the same requests as the API "zzz"',
      ),
    ]);
  });

  it('of one group are at most 5000', () => {
    const mock = { upstream: { kind: 'mock' as const } };
    const many = (n: number) => Array.from({ length: n }, (_, i) => stored('api', api(`a${i}`, `/a${i}`, mock)));
    expect(toldOfChange({}, { upserts: many(5000) })).toEqual([]);
    expect(toldOfChange({}, { upserts: many(5001) })).toEqual([
      expect.stringContaining('group-too-large group shop  The group "shop" has 5001 APIs'),
    ]);
  });
});

describe('headers a signature must cover', () => {
  const fleet = (name: string, signedHeaders: string[]) => ({
    name,
    listeners: [{ name: 'http', port: 80 }],
    signedHeaders,
  });
  const signed = (...requiredHeaders: string[]) => [api('a', '/a', { auth: { type: 'signature', requiredHeaders } })];

  it('reach the edge, or it is told', () => {
    const apis = signed('(request-target)', '(created)', 'date', 'host', 'x-gateway-host', 'x-a', 'x-b');
    expect(told({ fleets: [fleet('edge', ['x-a'])], apis })).toEqual([
      expect.stringContaining(
        'unseen-header api a /auth/requiredHeaders/6 Signatures must cover "x-b", which the fleet "edge" does not hand to the edge.',
      ),
    ]);
    expect(told({ fleets: [fleet('edge', ['x-a', 'x-b'])], apis })).toEqual([]);
    const groups = [{ name: 'shop', hosts: ['a'], fleets: ['edge'] }];
    expect(told({ fleets: [fleet('edge', ['x-a', 'x-b']), fleet('far', [])], groups, apis })).toEqual([]);
  });

  it('and of the fleet that no longer hands one on', () => {
    const definitions = { fleets: [fleet('edge', ['x-a', 'x-c'])], apis: signed('x-a') };
    expect(toldOfChange(definitions, { upserts: [stored('fleet', fleet('edge', ['x-a']))] })).toEqual([]);
    expect(toldOfChange(definitions, { upserts: [stored('fleet', fleet('edge', ['x-c']))] })).toEqual([
      expect.stringContaining(
        'unseen-header fleet edge /signedHeaders "x-a" is no longer handed to the edge, but must be covered by signatures for API "a".',
      ),
    ]);
  });
});

describe('identity', () => {
  it('names and ids are unique per kind', () => {
    expect(told({ apps: [{ name: 'p' }, { name: 'p' }] })).toEqual([
      expect.stringContaining('duplicate-name app p /name'),
    ]);
    expect(
      told({
        apps: [
          { name: 'p', id: 'x' },
          { name: 'q', id: 'x' },
        ],
      }),
    ).toEqual([expect.stringContaining('duplicate-id app q /id The id "x" is that of the app "p".')]);
    expect(told({ apps: [{ name: 'p', id: 'x' }], groups: [{ name: 'shop', hosts: ['a'], id: 'x' }] })).toEqual([]);
    expect(
      toldOfChange({ apps: [{ name: 'q', id: 'x' }] }, { upserts: [stored('app', { name: 'p', id: 'x' })] }),
    ).toEqual([expect.stringContaining('duplicate-id app p')]);
  });

  it('ids may be swapped in one change', () => {
    const apps = [
      { name: 'p', id: 'x' },
      { name: 'q', id: 'y' },
    ];
    expect(
      toldOfChange(
        { apps },
        { upserts: [stored('app', { name: 'p', id: 'y' }), stored('app', { name: 'q', id: 'x' })] },
      ),
    ).toEqual([]);
  });

  it('access keys are unique, without telling the secret', () => {
    const credential = (accessKey: string) => ({ accessKey, secretKey: new Secret('s3cr3t'), enabled: true });
    const credentials = [
      { kind: 'app' as const, name: 'p', credentials: [credential('ak1'), credential('ak1')] },
      { kind: 'app' as const, name: 'q', credentials: [credential('ak2')] },
      { kind: 'app' as const, name: 'r', credentials: [credential('ak2')] },
    ];
    const found = toldOfChange({ apps: ['p', 'q', 'r'].map((name) => ({ name })) }, { credentials });
    expect(found).toEqual([
      expect.stringContaining(
        'duplicate-access-key app p  The access key "ak1" belongs to another credential of this App as well.',
      ),
      expect.stringContaining('duplicate-access-key app q  The access key "ak2" belongs to the App "r" as well.'),
      expect.stringContaining('duplicate-access-key app r  The access key "ak2" belongs to the App "q" as well.'),
    ]);
    expect(found.join()).not.toContain('s3cr3t');
  });

  it('a cluster that wants signed requests takes all of an API or nothing', () => {
    const signed = { name: 'stock', endpoints, authentication: 'secret' as const };
    const apis = [
      api('a', '/a', {
        upstream: {
          kind: 'weighted',
          clusters: [
            { cluster: 'orders', weight: 50 },
            { cluster: 'stock', weight: 50 },
          ],
        },
      }),
    ];
    expect(told({ clusters: [{ name: 'orders', endpoints }, signed], apis })).toEqual([
      expect.stringContaining('invalid-upstream api a /upstream/clusters The cluster "stock" wants signed requests'),
    ]);
    expect(toldOfChange({ apis }, { upserts: [stored('cluster', signed)] })).toEqual([
      expect.stringContaining('invalid-upstream api a'),
    ]);
  });
});
