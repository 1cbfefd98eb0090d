import { fromBinary } from '@bufbuild/protobuf';
import { beforeAll, describe, expect, it } from 'vitest';
import { TYPE } from '../../src/core/ads/resource.js';
import { deriveId } from '../../src/core/model/name.js';
import { ClusterLoadAssignmentSchema } from '../../src/gen/envoy/config/endpoint/v3/endpoint_pb.js';
import { AdsClient } from '../../src/wire/ads-client.js';
import { type AdminClient, SHOP, testController } from '../support/admin.js';
import { onCleanup } from '../support/cleanup.js';
import { type TestPostgres, testPostgres } from '../support/postgres.js';
import { until } from '../support/until.js';

const base = '/api/v1/workspaces/shop';
const orders = `${base}/clusters/orders/endpoints`;
const pods = `${base}/clusters/pods/endpoints`;
const DEFINITIONS = {
  ...SHOP,
  clusters: [
    ...SHOP.clusters,
    { name: 'pods', endpoints: [] },
    { name: 'names', endpoints: [{ host: 'orders.internal', port: 80 }] },
  ],
  apis: [
    ...SHOP.apis,
    ...['pods', 'names'].map((name) => ({
      name,
      group: 'shop',
      match: { path: `/${name}` },
      upstream: { kind: 'cluster', cluster: name },
    })),
  ],
};

let postgres: TestPostgres;
let url: string;
let admin: AdminClient;
beforeAll(async () => {
  postgres = await testPostgres();
  url = await postgres.database();
  admin = await shop(url);
});

async function shop(databaseUrl: string): Promise<AdminClient> {
  const controller = await testController(databaseUrl, { pollMs: 60_000 });
  await controller.call('POST', '/api/v1/workspaces', { name: 'shop' });
  const { status } = await controller.call('POST', `${base}/changesets`, { definitions: DEFINITIONS });
  expect(status).toBe(200);
  return controller;
}

/** What a node is told of the endpoints of a cluster, as ports; `types` counts the updates by type. */
function node(controller: { adsPort: number; nodeToken: string }, cluster = 'pods') {
  const name = deriveId('shop', 'cluster', cluster);
  const seen = { ports: undefined as number[] | undefined, updates: [] as string[], states: [] as string[] };
  const client = AdsClient.start({
    address: `127.0.0.1:${controller.adsPort}`,
    node: { id: `node-${Math.random()}`, cluster: 'shop/edge' },
    token: controller.nodeToken,
    subscriptions: [TYPE.cluster, TYPE.endpoint, TYPE.route, TYPE.scope].map((type) => ({ type, wildcard: true })),
    onUpdate: ({ type, upserts, removals }) => {
      for (const resource of upserts) {
        seen.updates.push(`${type} ${resource.name}`);
        if (type !== TYPE.endpoint || resource.name !== name) continue;
        const { endpoints } = fromBinary(ClusterLoadAssignmentSchema, resource.bytes);
        seen.ports = endpoints.flatMap(({ lbEndpoints }) =>
          lbEndpoints.map(({ hostIdentifier: { value } }) => {
            const address = typeof value === 'object' ? value.address?.address : undefined;
            return address?.case === 'socketAddress' ? Number(address.value.portSpecifier.value) : -1;
          }),
        );
      }
      for (const gone of removals) seen.updates.push(`-${type} ${gone}`);
    },
    onState: ({ kind }) => seen.states.push(kind),
  });
  onCleanup(() => client.close());
  return seen;
}
const at = (port: number, more: object = {}) => ({ host: '10.0.0.1', port, ...more });
// biome-ignore lint/suspicious/noExplicitAny: answers are looked into freely by tests
const idsOf = (body: any) => body.items.map((item: { id: string }) => item.id);

it('an endpoint is registered, changed, listed, read and taken out; Envoy is told of nothing else, and no release is made', async () => {
  const seen = node(admin);
  await until(() => seen.states.includes('synced') && seen.ports?.length === 0, { what: 'in step, without endpoints' });
  seen.updates.length = 0;
  const releases = (await admin.call('GET', `${base}/releases`)).body.total;

  const made = await admin.call('PUT', `${pods}/a`, at(1, { region: 'east', room: 'e1', ttlSeconds: 600 }));
  expect(made.status).toBe(201);
  expect(made.body).toMatchObject({
    id: 'a',
    ...at(1),
    weight: 1,
    region: 'east',
    room: 'e1',
    ttlSeconds: 600,
    registeredBy: 'admin',
  });
  expect(Date.parse(made.body.expiresAt) - Date.parse(made.body.registeredAt)).toBe(600_000);
  await until(() => seen.ports?.join() === '1', { what: 'the endpoint at the node' });

  expect((await admin.call('PUT', `${pods}/a`, at(2))).status).toBe(200);
  expect((await admin.call('PUT', `${pods}/b`, at(3, { weight: 5 }))).status).toBe(201);
  await until(() => seen.ports?.join() === '2,3', { what: 'both at the node' });
  expect(idsOf((await admin.call('GET', pods)).body)).toEqual(['a', 'b']);
  expect((await admin.call('GET', `${pods}/b`)).body).toMatchObject({
    id: 'b',
    weight: 5,
    ttlSeconds: null,
    expiresAt: null,
  });

  // Under a new id, as an instance that was started anew: the address is taken over.
  expect((await admin.call('PUT', `${pods}/c`, at(3))).status).toBe(201);
  expect(idsOf((await admin.call('GET', pods)).body)).toEqual(['a', 'c']);
  expect((await admin.call('DELETE', `${pods}/a`)).status).toBe(204);
  await until(() => seen.ports?.join() === '3', { what: 'one left at the node' });
  expect((await admin.call('DELETE', `${pods}/a`)).status).toBe(404);
  expect((await admin.call('DELETE', pods)).status).toBe(204);
  expect((await admin.call('DELETE', pods)).status).toBe(204);
  await until(() => seen.ports?.length === 0, { what: 'none at the node' });

  expect(new Set(seen.updates)).toEqual(new Set([`${TYPE.endpoint} ${deriveId('shop', 'cluster', 'pods')}`]));
  expect((await admin.call('GET', `${base}/releases`)).body.total).toBe(releases);
  const audit = (await admin.call('GET', `${base}/audit?kind=cluster&name=pods&limit=6`)).body.items;
  expect(audit.map((entry: { action: string; changes: object }) => [entry.action, entry.changes])).toEqual([
    ['endpoints removed', { added: [], changed: [], removed: ['c'] }],
    ['endpoints removed', { added: [], changed: [], removed: ['a'] }],
    ['endpoints registered', { added: ['c'], changed: [], removed: ['b'] }],
    ['endpoints registered', { added: ['b'], changed: [], removed: [] }],
    ['endpoints registered', { added: [], changed: ['a'], removed: [] }],
    ['endpoints registered', { added: ['a'], changed: [], removed: [] }],
  ]);
});

it('a whole list takes the place of the one before, and repeated it changes nothing', async () => {
  const seen = node(admin, 'orders');
  const list = { endpoints: [at(1), at(2, { id: 'two' }), { host: '0:0::1', port: 3 }] };
  const answer = await admin.call('PUT', orders, list);
  expect([answer.status, idsOf(answer.body)]).toEqual([200, ['10.0.0.1:1', '::1:3', 'two']]);
  await until(() => seen.ports?.join() === '1,2,9000,3', { what: 'all at the node, beside the one of the definition' });
  const audit = async () => (await admin.call('GET', `${base}/audit?kind=cluster&name=orders`)).body.total;
  const before = await audit();
  seen.updates.length = 0;
  expect((await admin.call('PUT', orders, list)).body).toEqual(answer.body);
  // Two exchange their addresses.
  const swapped = { endpoints: [at(2, { id: 'one' }), at(1, { id: 'two' })] };
  expect(idsOf((await admin.call('PUT', orders, swapped)).body)).toEqual(['one', 'two']);
  await until(() => seen.ports?.join() === '1,2,9000', { what: 'the second list at the node' });
  expect([await audit(), seen.updates]).toEqual([
    before + 1,
    [`${TYPE.endpoint} ${deriveId('shop', 'cluster', 'orders')}`],
  ]);
  expect((await admin.call('PUT', orders, { endpoints: [] })).body).toEqual({ items: [], total: 0 });
  await until(() => seen.ports?.join() === '9000', { what: 'only the one of the definition at the node' });
});

it('faults are told all at once, and nothing is stored', async () => {
  const bad = { endpoints: [at(0), { host: 'orders.internal', port: 80 }, at(5), at(5), { ...at(6), ttl: 1 }] };
  const refused = await admin.call('PUT', pods, bad);
  expect([refused.status, refused.body.errors.map((e: { pointer: string }) => e.pointer).sort()]).toEqual([
    422,
    ['/endpoints/0/port', '/endpoints/1/host', '/endpoints/3', '/endpoints/4/ttl'],
  ]);
  const one = await admin.call('PUT', `${pods}/x`, { host: '0.0.0.0', port: 80, weight: 0, room: 'a' });
  expect([one.status, one.body.errors.map((e: { pointer: string }) => e.pointer).sort()]).toEqual([
    422,
    ['/host', '/room', '/weight'],
  ]);
  expect((await admin.call('GET', pods)).body.total).toBe(0);
  for (const [method, path] of [
    ['PUT', `${base}/clusters/none/endpoints/a`],
    ['GET', `${base}/clusters/none/endpoints`],
    ['GET', `${pods}/none`],
    ['DELETE', `${base}/clusters/none/endpoints`],
    ['PUT', `${pods}/a%20b`],
    ['PUT', '/api/v1/workspaces/none/clusters/pods/endpoints/a'],
  ] as const)
    expect([path, (await admin.call(method, path, method === 'PUT' ? at(1) : undefined)).status]).toEqual([path, 404]);
});

it('a cluster of DNS names refuses with the reason', async () => {
  const refused = await admin.call('PUT', `${base}/clusters/names/endpoints/a`, at(1));
  expect([refused.status, refused.body.errors[0].code]).toEqual([409, 'dns-cluster']);
  expect(refused.body.detail).toContain('DNS names');
});

it('a cluster has 1,000 registered endpoints at most', async () => {
  const endpoints = Array.from({ length: 1000 }, (_, i) => at(i + 1));
  expect((await admin.call('PUT', pods, { endpoints: [...endpoints, at(2000)] })).status).toBe(422);
  expect((await admin.call('PUT', pods, { endpoints })).body.total).toBe(1000);
  const refused = await admin.call('PUT', `${pods}/more`, at(2000));
  expect([refused.status, refused.body.errors[0].code]).toEqual([409, 'limit']);
  // Neither an old one again nor an old address under a new id is one more.
  expect((await admin.call('PUT', `${pods}/10.0.0.1:7`, at(7))).status).toBe(200);
  expect((await admin.call('PUT', `${pods}/seven`, at(7))).status).toBe(201);
  expect((await admin.call('DELETE', pods)).status).toBe(204);
});

it('one that does not come again is taken out in time, one that does stays', async () => {
  const seen = node(admin);
  await admin.call('PUT', pods, {
    endpoints: [at(1, { id: 'beats', ttlSeconds: 2 }), at(2, { id: 'silent', ttlSeconds: 2 }), at(3)],
  });
  await until(() => seen.ports?.join() === '1,2,3', { what: 'all three at the node' });
  seen.updates.length = 0;
  const beat = () => admin.call('PUT', `${pods}/beats`, at(1, { ttlSeconds: 2 }));
  await until(async () => (await beat()).status === 200 && seen.ports?.join() === '1,3', {
    what: 'the silent one gone',
    within: 20_000,
  });
  expect(seen.updates).toHaveLength(1);
  expect(idsOf((await admin.call('GET', pods)).body)).toEqual(['10.0.0.1:3', 'beats']);
  const [last] = (await admin.call('GET', `${base}/audit?kind=cluster&name=pods&limit=1`)).body.items;
  expect(last).toMatchObject({ action: 'endpoints expired', author: 'paifang', changes: { removed: ['silent'] } });
  expect((await admin.call('DELETE', pods)).status).toBe(204);
});

it('endpoints go with their cluster, and do not come back with one of its name', async () => {
  await admin.call('POST', `${base}/clusters?publish=true`, { name: 'gone', endpoints: [] });
  expect((await admin.call('PUT', `${base}/clusters/gone/endpoints/a`, at(1))).status).toBe(201);
  const removed = await admin.call('DELETE', `${base}/clusters/gone?publish=true`, undefined, { 'if-match': '*' });
  expect(removed.status).toBe(200);
  expect((await admin.call('GET', `${base}/clusters/gone/endpoints`)).status).toBe(404);
  await admin.call('POST', `${base}/clusters?publish=true`, { name: 'gone', endpoints: [] });
  expect((await admin.call('GET', `${base}/clusters/gone/endpoints`)).body.total).toBe(0);
});

describe('two controllers', () => {
  it('see each other’s endpoints at once, serve the same bytes, and know them after a restart', async () => {
    const database = await postgres.database();
    const a = await shop(database);
    const b = await testController(database, { pollMs: 60_000 });
    const [na, nb] = [node(a), node(b)];
    await until(() => na.states.includes('synced') && nb.states.includes('synced'), { what: 'both nodes in step' });
    await a.call('PUT', `${pods}/a`, at(1));
    await until(() => nb.ports?.join() === '1', { what: 'what a was told, at the node of b' });
    await b.call('PUT', `${pods}/b`, at(2));
    await until(() => na.ports?.join() === '1,2', { what: 'what b was told, at the node of a' });
    // Both at once, while a release is made.
    const writes = Array.from({ length: 10 }, (_, i) => (i % 2 ? a : b).call('PUT', `${pods}/n${i}`, at(10 + i)));
    writes.push(a.call('PATCH', `${base}/clusters/pods?publish=true`, { connectTimeoutMs: 7 }, { 'if-match': '*' }));
    expect((await Promise.all(writes)).map(({ status }) => status)).toEqual([...Array(10).fill(201), 200]);
    const all = [1, 2, ...Array.from({ length: 10 }, (_, i) => 10 + i)].join();
    await until(() => na.ports?.join() === all && nb.ports?.join() === all, { what: 'all at both nodes' });
    await a.close();
    const c = await testController(database);
    const nc = node(c);
    await until(() => nc.ports?.join() === all, { what: 'all at the node of a controller started later' });
  });

  it('take nothing out for having been without the database', async () => {
    const own = await testPostgres();
    const c = await shop(await own.database());
    const seen = node(c);
    const { expiresAt } = (await c.call('PUT', `${pods}/a`, at(1, { ttlSeconds: 3 }))).body;
    await until(() => seen.ports?.join() === '1', { what: 'the endpoint at the node' });
    await own.stop();
    await until(async () => (await c.call('PUT', `${pods}/a`, at(1, { ttlSeconds: 3 }))).status === 503, {
      what: 'heartbeats refused',
    });
    await until(() => Date.now() > Date.parse(expiresAt), { what: 'its time to run out' });
    await own.start();
    await until(async () => (await c.call('PUT', `${pods}/a`, at(1, { ttlSeconds: 3 }))).status === 200, {
      what: 'a heartbeat taken',
    });
    expect(seen.ports).toEqual([1]);
    // And silent from now on, it goes.
    await until(() => seen.ports?.length === 0, { what: 'the endpoint taken out', within: 20_000 });
  });
});
