import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import { FIELD_NAMES } from '../../src/core/accesslog/fields.js';
import { TYPE } from '../../src/core/ads/resource.js';
import { codeOf } from '../../src/core/codes/catalogue.js';
import { parseApiPath } from '../../src/core/model/path.js';
import { accessLogFormat } from '../../src/core/xds/access-log.js';
import { bootstrap } from '../../src/core/xds/bootstrap.js';
import { REFUSED_PATH } from '../../src/core/xds/filter/path-guard.js';
import { FILTERS } from '../../src/core/xds/filter-chain.js';
import { literal } from '../../src/core/xds/format-string.js';
import { REPLY_CAUSES } from '../../src/core/xds/local-reply.js';
import { bucketsOf, type TableEntry } from '../../src/core/xds/matcher.js';
import { FILTER } from '../../src/core/xds/names.js';
import { resourceJson } from '../../src/core/xds/resource-json.js';
import { clusterResources, fleetResources, groupResources } from '../../src/core/xds/resources.js';
import { routeConfiguration } from '../../src/core/xds/route-configuration.js';
import { ListenerSchema } from '../../src/gen/envoy/config/listener/v3/listener_pb.js';
import { RouteConfigurationSchema } from '../../src/gen/envoy/config/route/v3/route_pb.js';
import { validate } from '../support/envoy.js';
import { clusterIr, fleetIr, forward, groupIr, mock, routeIr } from '../support/ir.js';

const fleet = fleetIr();
const group = groupIr(
  ['b.example.com', 'a.example.com'],
  [
    routeIr('/x/*', forward('c2')),
    routeIr('/x', forward('', { clusters: [weight('c2'), weight('c1')] })),
    routeIr('/m', mock('m')),
  ],
  { id: 'g' },
);

function weight(id: string) {
  return { id, weight: 50 };
}

describe('resources', () => {
  test('a group is its route table, which needs its clusters, and a scope for each host, which needs the table', () => {
    const [table, ...scopes] = groupResources(group, fleet);
    const cluster = (name: string) => ({ type: TYPE.cluster, name });
    expect(table).toMatchObject({ type: TYPE.route, name: 'g', needs: [cluster('c1'), cluster('c2')] });
    const needs = [{ type: TYPE.route, name: 'g' }];
    expect(scopes).toMatchObject([
      { type: TYPE.scope, name: 'a.example.com', needs },
      { type: TYPE.scope, name: 'b.example.com', needs },
    ]);
  });

  test('a group of mocks needs nothing', () => {
    const [table] = groupResources(groupIr(['a'], [routeIr('/m', mock('m'))]), fleet);
    expect(table?.needs ?? []).toEqual([]);
  });

  test('a table needs the policies its routes name, so that edges keep them as long as it is in force', () => {
    const policy = { name: 'aaaabbbbccccdddd' };
    const guarded = (path: string) => routeIr(path, mock('m'), { policy, checkedBodyBytes: 0 });
    const [table] = groupResources(groupIr(['a'], [guarded('/m'), guarded('/n')]), fleet);
    expect(table?.needs).toEqual([{ type: TYPE.policy, name: policy.name }]);
  });

  test('a cluster of addresses comes with its endpoints, one of names by itself', () => {
    const types = (discovery: 'eds' | 'dns') => clusterResources(clusterIr('c', { discovery })).map(({ type }) => type);
    expect(types('eds')).toEqual([TYPE.cluster, TYPE.endpoint]);
    expect(types('dns')).toEqual([TYPE.cluster]);
  });

  test('equal input has equal bytes, whoever made the objects', () => {
    const again = structuredClone({ group, fleet });
    const versions = (all: readonly { version: string }[]) => all.map(({ version }) => version);
    expect(versions(groupResources(again.group, again.fleet))).toEqual(versions(groupResources(group, fleet)));
    expect(versions(fleetResources(again.fleet))).toEqual(versions(fleetResources(fleet)));
  });

  test('a table put together from remembered routes has the bytes of one encoded as a whole', () => {
    for (const longestList of [100, 0]) {
      const bytes = routeConfiguration(group, fleet, longestList);
      const whole = fromBinary(RouteConfigurationSchema, bytes);
      expect(Buffer.from(toBinary(RouteConfigurationSchema, whole))).toEqual(Buffer.from(bytes));
      expect(whole.virtualHosts[0]?.routes.length).toBe(longestList === 0 ? 0 : group.routes.length + 1);
    }
  });

  test('a remembered route is made anew for another group and another fleet', () => {
    const policy = { name: 'aaaabbbbccccdddd' };
    const route = routeIr('/m', mock('m'), { policy, checkedBodyBytes: 0 });
    const other = { ...fleet, headers: { ...fleet.headers, resultCode: 'x-other' } };
    const tables = [
      routeConfiguration(groupIr(['a'], [route], { id: 'g' }), fleet),
      routeConfiguration(groupIr(['a'], [route], { id: 'h' }), fleet),
      routeConfiguration(groupIr(['a'], [route], { id: 'g' }), other),
      routeConfiguration(groupIr(['a'], [route], { id: 'g' }), fleet),
    ].map((bytes) => Buffer.from(bytes).toString('latin1'));
    expect(tables[1]).not.toContain('group\x12\x01g');
    expect(tables[1]).toContain('group\x12\x01h');
    expect(tables[2]).toContain('code_header');
    expect(tables[3]).toBe(tables[0]);
  });

  test('what only routes carry leaves the listener as it is', () => {
    const [listener] = fleetResources(fleet);
    expect(fleetResources(fleetIr({ resultCodeHeader: true }))[0]?.version).toBe(listener?.version);
  });

  test('what holds secrets cannot be printed', () => {
    const bytes = new Uint8Array([1]);
    expect(resourceJson({ type: TYPE.app, name: 'a', version: '0', bytes })).toBeUndefined();
    expect(resourceJson({ type: TYPE.serviceKey, name: 'a', version: '0', bytes })).toBeUndefined();
  });
});

describe('the filter chain', () => {
  test('has no filter that waits for a route to turn it on, and ends with the router', () => {
    const [resource] = fleetResources(fleet);
    const listener = fromBinary(ListenerSchema, resource?.bytes ?? new Uint8Array());
    expect(listener.filterChains.length).toBe(1);
    expect(JSON.stringify(resource && resourceJson(resource))).not.toContain('"disabled"');
    expect(FILTERS.at(-1)?.name).toBe(FILTER.router);
    expect(FILTERS.findIndex(({ name }) => name === FILTER.hostCase)).toBe(0);
  });

  test('names each filter once and says why it stands there', () => {
    expect(new Set(FILTERS.map(({ name }) => name)).size).toBe(FILTERS.length);
    for (const { why } of FILTERS) expect(why.length).toBeGreaterThan(10);
  });
});

test('the log has exactly the fields that are read', () => {
  expect(Object.keys(accessLogFormat(fleet)).sort()).toEqual([...FIELD_NAMES].sort());
});

test('every code a reply may get is in the catalogue, and the last cause takes all', () => {
  const codes = REPLY_CAUSES.map(({ reply }) => reply).filter((reply) => /^\d/.test(reply));
  expect(codes.filter((code) => codeOf(code) === undefined)).toEqual([]);
  expect(REPLY_CAUSES.at(-1)).toMatchObject({ when: { cel: 'response.code >= 400' }, reply: '5000' });
});

test('refused paths are patterns of RE2 that JavaScript reads alike', () => {
  const refused = (path: string) => new RegExp(`^(?:${REFUSED_PATH})$`).test(path);
  expect(
    ['/a/../b', '/.', '/a//', '/%2E', '/%2f', '/a\\b', '/%5C', '/%00', '/%61'].filter((path) => !refused(path)),
  ).toEqual([]);
  expect(['/', '/a.b', '/...', '/a/b..', '/%20'].filter(refused)).toEqual([]);
});

test('a path of an API is refused for the encodings the gateway would refuse', () => {
  for (let code = 0; code < 256; code++) {
    const path = `/a%${code.toString(16).padStart(2, '0')}b`;
    expect(parseApiPath(path).faults !== undefined, path).toBe(new RegExp(`^(?:${REFUSED_PATH})$`).test(path));
  }
});

test('of encoded ASCII, exactly what is unreserved but for the tilde, and what makes other segments, is refused', () => {
  const refused = Array.from({ length: 128 }, (_, code) => code).filter((code) =>
    ['toUpperCase', 'toLowerCase'].some((form) => {
      const hex = code.toString(16).padStart(2, '0')[form as 'toUpperCase']();
      return new RegExp(`^(?:${REFUSED_PATH})$`).test(`/a%${hex}b`);
    }),
  );
  const unreserved = '-._0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
  expect(String.fromCharCode(...refused)).toBe([...unreserved, '\0', '/', '\\'].sort().join(''));
});

test('a percent sign is doubled where Envoy reads a format', () => {
  expect(literal('100% %REQ(x)%')).toBe('100%% %%REQ(x)%%');
});

describe('buckets of patterns', () => {
  const entries = (...matches: string[]): TableEntry[] =>
    groupIr(
      ['x'],
      matches.map((match) => routeIr(match, mock(match))),
    ).routes.map((ir) => ({ ir, route: new Uint8Array() }));
  const shown = (...matches: string[]) =>
    [...bucketsOf(entries(...matches))].map(([prefix, list]) => [prefix, list.map(({ ir }) => ir.apiId)]);

  test('a bucket has all that can match below its prefix, in order of precedence', () => {
    expect(shown('/*', '/a/{x}', '/a/*', '/a/b/*', '/{x}/b/c')).toEqual([
      ['/', ['/{x}/b/c', '/*']],
      ['/a/', ['/{x}/b/c', '/a/{x}', '/a/*', '/*']],
      ['/a/b/', ['/a/b/*', '/{x}/b/c', '/a/{x}', '/a/*', '/*']],
    ]);
  });

  test('patterns near the root are not copied into hundreds of buckets', () => {
    const rooted = Array.from({ length: 200 }, (_, i) => `/{x}/r${i}/{y}`);
    const deep = Array.from({ length: 200 }, (_, i) => `/d${i}/e/{y}`);
    const buckets = bucketsOf(entries(...rooted, ...deep));
    const copies = [...buckets.values()].reduce((sum, list) => sum + list.length, 0);
    expect(copies).toBeLessThanOrEqual(4 * 400);
    const many = bucketsOf(entries(...deep));
    expect(many.size).toBe(200);
  });
});

describe('bootstrap', () => {
  const options = {
    nodeId: 'node-1',
    nodeCluster: 'default/edge',
    adsAddress: '127.0.0.1',
    adsPort: 9876,
    edgeSocket: 'authz.sock',
    adminAddress: '127.0.0.1',
    adminPort: 0,
  };

  test.each([
    ['as it is', {}],
    ['controller by name', { adsAddress: 'controller.internal' }],
    ['controller by IPv6 address', { adsAddress: '::1' }],
    [
      'DNS servers of its own',
      {
        dnsServers: [
          { address: '127.0.0.1', port: 5353 },
          { address: '::1', port: 53 },
        ],
      },
    ],
    ['with everything', { locality: { region: 'r', zone: 'z', subZone: 's' }, maxConnections: 7, maxHeapBytes: 9 }],
  ])('%s is accepted by Envoy', async (_, more) => {
    const { ok, output } = await validate(bootstrap({ ...options, ...more }));
    expect(ok, output).toBe(true);
  });

  test("holds no token: Envoy's admin shows its bootstrap to whoever reaches it", () => {
    expect(JSON.stringify(bootstrap(options))).not.toContain('authorization');
  });

  test('asks over one delta stream and names itself once', () => {
    expect(bootstrap(options).dynamic_resources).toMatchObject({
      ads_config: { api_type: 'DELTA_GRPC', set_node_on_first_message_only: true, transport_api_version: 'V3' },
      cds_config: { ads: {} },
      lds_config: { ads: {} },
    });
  });
});
