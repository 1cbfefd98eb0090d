import { fromBinary } from '@bufbuild/protobuf';
import { beforeAll, describe, expect, it } from 'vitest';
import { TYPE } from '../../src/core/ads/resource.js';
import { deriveId } from '../../src/core/model/name.js';
import { ClusterLoadAssignmentSchema } from '../../src/gen/envoy/config/endpoint/v3/endpoint_pb.js';
import { AdsClient } from '../../src/wire/ads-client.js';
import { type AdminClient, SHOP, testController } from '../support/admin.js';
import { onCleanup } from '../support/cleanup.js';
import { type DnsServer, startDnsServer } from '../support/dns-server.js';
import { type TestPostgres, testPostgres } from '../support/postgres.js';
import { until } from '../support/until.js';

const base = '/api/v1/workspaces/shop';
const names = `${base}/clusters/pods/names`;
const PODS = { name: 'pods', endpoints: [], discovery: { dns: [{ name: 'Pods.Internal.', port: 80 }] } };
const api = (cluster: string) => ({
  name: cluster,
  group: 'shop',
  match: { path: `/${cluster}` },
  upstream: { kind: 'cluster', cluster },
});
const definitions = (...clusters: { name: string }[]) => ({
  ...SHOP,
  clusters: [...SHOP.clusters, ...clusters],
  apis: [...SHOP.apis, ...clusters.map(({ name }) => api(name))],
});

let postgres: TestPostgres;
let dns: DnsServer;
beforeAll(async () => {
  postgres = await testPostgres();
  dns = await startDnsServer();
});

function controller(url: string, forgetMs?: number): Promise<AdminClient> {
  const pace = { leastMs: 50, mostMs: 200, otherMs: 100 };
  return testController(url, { pollMs: 60_000, dns: { servers: [dns.address], timeoutMs: 100, pace, forgetMs } });
}

async function shop(url: string, ...clusters: { name: string }[]): Promise<{ admin: AdminClient; told: unknown[] }> {
  const admin = await controller(url);
  await admin.call('POST', '/api/v1/workspaces', { name: 'shop' });
  const { status, body } = await admin.call('POST', `${base}/changesets`, { definitions: definitions(...clusters) });
  expect(status).toBe(200);
  return { admin, told: body.diagnostics };
}

/** What a node is told of the endpoints of a cluster; `updates` are all it was told, by type and name. */
function node({ adsPort, nodeToken }: AdminClient, cluster = 'pods') {
  const seen = { addresses: undefined as string[] | undefined, updates: [] as string[], states: [] as string[] };
  const client = AdsClient.start({
    address: `127.0.0.1:${adsPort}`,
    node: { id: `node-${Math.random()}`, cluster: 'shop/edge' },
    token: nodeToken,
    subscriptions: Object.values(TYPE).map((type) => ({ type, wildcard: true })),
    onUpdate: ({ type, upserts, removals }) => {
      for (const { name, bytes } of upserts) {
        seen.updates.push(`${type} ${name}`);
        if (type !== TYPE.endpoint || name !== deriveId('shop', 'cluster', cluster)) continue;
        seen.addresses = fromBinary(ClusterLoadAssignmentSchema, bytes).endpoints.flatMap(({ lbEndpoints }) =>
          lbEndpoints.map(({ hostIdentifier: { value } }) => {
            const address = typeof value === 'object' ? value.address?.address : undefined;
            return address?.case === 'socketAddress'
              ? `${address.value.address}:${address.value.portSpecifier.value}`
              : '';
          }),
        );
      }
      for (const gone of removals) seen.updates.push(`-${type} ${gone}`);
    },
    onState: ({ kind }) => seen.states.push(kind),
  });
  onCleanup(() => client.close());
  const has = (...addresses: string[]) =>
    until(() => seen.addresses?.join() === addresses.join(), { what: `endpoints ${addresses.join()}` });
  /** Forgets what it was told to come into step. */
  const inStep = async () => {
    await until(() => seen.states.includes('synced') && seen.updates.some((told) => told.startsWith(TYPE.scope)), {
      what: 'a node in step',
    });
    seen.updates.length = 0;
  };
  return Object.assign(seen, { has, inStep });
}
const only = (cluster: string) => new Set([`${TYPE.endpoint} ${deriveId('shop', 'cluster', cluster)}`]);
const asked = (question: string, times: number) => {
  const before = dns.asked.length;
  return until(() => dns.asked.slice(before).filter((q) => q.toLowerCase() === question).length >= times, {
    what: `${times} questions: ${question}`,
  });
};
const state = async (admin: AdminClient) => (await admin.call('GET', names)).body.items[0];

it('a cluster has its addresses from its first release on, and a changed answer reaches nodes as endpoints alone', async () => {
  dns.set('pods.internal', { a: ['10.0.0.2', '10.0.0.1'] });
  const url = await postgres.database();
  const { admin: a, told } = await shop(url, PODS);
  expect(told).toEqual([]);
  const b = await controller(url);
  const [na, nb] = [node(a), node(b)];
  await Promise.all([na.has('10.0.0.1:80', '10.0.0.2:80'), nb.has('10.0.0.1:80', '10.0.0.2:80')]);
  const before = (await a.call('GET', `${base}/releases`)).body.total;
  await Promise.all([na.inStep(), nb.inStep()]);

  dns.set('pods.internal', { a: ['10.0.0.1', '10.0.0.2'] });
  await asked('a pods.internal', 3);
  expect([na.updates, nb.updates]).toEqual([[], []]);

  dns.set('pods.internal', { a: ['10.0.0.3', '10.0.0.1'] });
  await Promise.all([na.has('10.0.0.1:80', '10.0.0.3:80'), nb.has('10.0.0.1:80', '10.0.0.3:80')]);
  expect([new Set(na.updates), new Set(nb.updates), na.updates.length]).toEqual([only('pods'), only('pods'), 1]);
  expect((await a.call('GET', `${base}/releases`)).body.total).toBe(before);
  expect(await state(b)).toMatchObject({
    name: 'pods.internal',
    type: 'address',
    state: 'good',
    addresses: [{ host: '10.0.0.1' }, { host: '10.0.0.3' }],
    omitted: 0,
    failure: null,
  });
  // One asks for both.
  const status = await Promise.all(
    [a, b].map(async (c) => (await c.call('GET', '/api/v1/status')).body.components.dns),
  );
  expect(new Set(status.map(({ details }) => details.asking)).size).toBe(1);
  expect(status.map(({ status }) => status)).toEqual(['UP', 'UP']);

  // What registers joins them.
  expect((await a.call('PUT', `${base}/clusters/pods/endpoints/x`, { host: '10.0.0.9', port: 81 })).status).toBe(201);
  await nb.has('10.0.0.1:80', '10.0.0.3:80', '10.0.0.9:81');
});

it('without a good answer the last one stays, and it is told since when and why', async () => {
  dns.set('pods.internal', { a: ['10.0.0.1'] });
  const url = await postgres.database();
  const { admin: a } = await shop(url, PODS);
  const b = await controller(url);
  const nb = node(b);
  await nb.has('10.0.0.1:80');
  await nb.inStep();
  for (const [zone, reason] of [
    [{ fault: 'SERVFAIL' }, /SERVFAIL/],
    [undefined, /no such name/],
    [{}, /no address/],
    [{ fault: 'silent' }, /in time/],
    [{ a: ['0.0.0.0'] }, /nothing can be sent/],
  ] as const) {
    dns.set('pods.internal', zone);
    const failing = await until(
      async () => {
        const now = await state(a);
        return reason.test(now.failure) && now;
      },
      { what: `told: ${reason}` },
    );
    expect(failing).toMatchObject({ state: 'stale', addresses: [{ host: '10.0.0.1' }] });
    expect(Date.parse(failing.failingSince)).toBeGreaterThan(Date.parse(failing.changedAt));
  }
  for (const admin of [a, b]) {
    const { components, names } = await until(
      async () => {
        const { body } = await admin.call('GET', '/api/v1/status');
        return body.components.dns.status === 'DEGRADED' && body;
      },
      { what: 'the status tells' },
    );
    expect(components.dns.details.reason).toContain('pods.internal');
    expect(names).toMatchObject([{ workspace: 'shop', name: 'pods.internal', state: 'stale' }]);
    expect((await admin.call('GET', '/actuator/health')).status).toBe(200);
  }
  dns.set('pods.internal', { a: ['10.0.0.1'] });
  const good = await until(
    async () => {
      const now = await state(a);
      return now.state === 'good' && now;
    },
    { what: 'good again' },
  );
  expect([nb.updates, good.failingSince]).toEqual([[], null]);
});

it('a name without an answer is warned of when it is published, and joins when it has one', async () => {
  const url = await postgres.database();
  dns.set('pods.internal', undefined);
  const { admin, told } = await shop(url, PODS);
  expect(told).toMatchObject([
    { code: 'unresolved-name', severity: 'warning', object: { kind: 'cluster', name: 'pods' } },
  ]);
  const warning = told[0] as { pointer: string; message: string };
  expect(warning.pointer).toMatch(/\/clusters\/1\/discovery\/dns\/0$/);
  expect(warning.message).toContain('NXDOMAIN');
  await until(async () => (await state(admin)).state === 'unresolved', { what: 'its state' });
  const seen = node(admin);
  await seen.has();
  dns.set('pods.internal', { aaaa: ['fd00::1'] });
  await seen.has('fd00::1:80');
  expect((await state(admin)).state).toBe('good');

  // A dry run asks too, and stores nothing.
  dns.set('more.internal', { a: ['10.0.0.8'] });
  const more = { name: 'more', endpoints: [], discovery: { dns: [{ name: 'more.internal', port: 80 }] } };
  const dry = await admin.call('POST', `${base}/clusters?dryRun=true&publish=true`, more);
  expect([dry.status, dry.body.outcome.diagnostics]).toEqual([200, []]);
  expect((await admin.call('POST', `${base}/clusters`, more)).status).toBe(201);
  const draft = await admin.call('GET', `${base}/clusters/more/names`);
  expect(draft.body.items).toMatchObject([{ name: 'more.internal', state: 'waiting' }]);
});

describe('SRV records', () => {
  it('tell ports; a target that cannot be looked up keeps its addresses', async () => {
    const name = '_http._tcp.pods.internal';
    const zone = (...targets: [string, number][]) => ({ srv: targets.map(([target, port]) => ({ target, port })) });
    dns.set(name, zone(['one.internal', 8080], ['two.internal', 8081]));
    dns.set('one.internal', { a: ['10.1.0.1'] });
    dns.set('two.internal', { a: ['10.1.0.2'] });
    const spec = { name: 'pods', endpoints: [], discovery: { dns: [{ name, type: 'srv' }] } };
    const { admin } = await shop(await postgres.database(), spec);
    const seen = node(admin);
    await seen.has('10.1.0.1:8080', '10.1.0.2:8081');
    dns.set('two.internal', { fault: 'SERVFAIL' });
    dns.set('one.internal', { a: ['10.1.0.7'] });
    await seen.has('10.1.0.2:8081', '10.1.0.7:8080');
    expect(await state(admin)).toMatchObject({ state: 'stale', failure: expect.stringContaining('two.internal') });
    // Gone from the records, it is gone.
    dns.set(name, zone(['one.internal', 9090]));
    await seen.has('10.1.0.7:9090');
    expect(await state(admin)).toMatchObject({ state: 'good', failure: null });
    // No such service: the last one stays.
    dns.set(name, zone(['.', 0]));
    await until(async () => /no such service/.test((await state(admin)).failure), { what: 'the reason' });
    expect(seen.addresses).toEqual(['10.1.0.7:9090']);
  });
});

describe('the controller that asks', () => {
  it('hands over when it is stopped; one that starts goes on with the last answers while DNS is away', async () => {
    dns.set('pods.internal', { a: ['10.0.0.1'] });
    const url = await postgres.database();
    const { admin: a } = await shop(url, PODS);
    await until(async () => (await a.call('GET', '/api/v1/status')).body.components.dns.details.asking !== 'none', {
      what: 'a asks',
    });
    const b = await controller(url);
    const nb = node(b);
    await nb.has('10.0.0.1:80');
    await a.close();
    dns.set('pods.internal', { a: ['10.0.0.2'] });
    await nb.has('10.0.0.2:80');
    await b.close();
    dns.mute(true);
    const c = await controller(url);
    const nc = node(c);
    await nc.has('10.0.0.2:80');
    await until(async () => (await state(c)).state === 'stale', { what: 'c tells that DNS is away' });
    dns.mute(false);
    dns.set('pods.internal', { a: ['10.0.0.3'] });
    await nc.has('10.0.0.3:80');
  });

  it('loses nothing while the database is away, and goes on after', async () => {
    dns.set('pods.internal', { a: ['10.0.0.1'] });
    const own = await testPostgres();
    const { admin } = await shop(await own.database(), PODS);
    const seen = node(admin);
    await seen.has('10.0.0.1:80');
    await own.stop();
    dns.set('pods.internal', { a: ['10.0.0.2'] });
    await until(async () => (await admin.call('GET', names)).status === 503, { what: 'the outage' });
    expect(seen.addresses).toEqual(['10.0.0.1:80']);
    await own.start();
    await until(() => seen.addresses?.join() === '10.0.0.2:80', { what: 'the new address', within: 20_000 });
  });
});

it('a name that no cluster wants any more is remembered for a while, then forgotten', async () => {
  dns.set('pods.internal', { a: ['10.0.0.1'] });
  const url = await postgres.database();
  const { admin: first } = await shop(url, PODS);
  const patch = (admin: AdminClient, spec: object, publish: string) =>
    admin.call('PATCH', `${base}/clusters/pods${publish}`, spec, { 'if-match': '*' });
  const seen = node(first);
  await seen.has('10.0.0.1:80');
  await patch(first, { discovery: null }, '?publish=true');
  await seen.has();
  // Back again it has its addresses at once, although DNS is away.
  dns.mute(true);
  const back = await patch(first, { discovery: PODS.discovery }, '?publish=true');
  expect(back.body.outcome.diagnostics).toEqual([]);
  await seen.has('10.0.0.1:80');
  dns.mute(false);
  await patch(first, { discovery: null }, '?publish=true');
  await first.close();
  const second = await controller(url, 500);
  await second.call('POST', `${base}/clusters?publish=true`, {
    ...PODS,
    name: 'other',
    discovery: { dns: [{ name: 'other.internal', port: 1 }] },
  });
  await patch(second, { discovery: PODS.discovery }, '');
  await until(async () => (await state(second)).state === 'waiting', { what: 'its answer forgotten', within: 20_000 });
});

it('many names, one of them hostile, are asked for side by side', async () => {
  const count = 200;
  const clusters = Array.from({ length: count / 10 }, (_, c) => ({
    name: `c${c}`,
    endpoints: [],
    discovery: { dns: Array.from({ length: 10 }, (_, i) => ({ name: `n${c * 10 + i}.internal`, port: 80 })) },
  }));
  for (let i = 0; i < count; i++) dns.set(`n${i}.internal`, { a: [`10.2.0.${i}`] });
  dns.set('n0.internal', { fault: 'silent' });
  const { admin, told } = await shop(await postgres.database(), ...clusters);
  expect(told).toMatchObject([{ code: 'unresolved-name' }]);
  const [first, last] = [node(admin, 'c0'), node(admin, 'c19')];
  await first.has(...Array.from({ length: 9 }, (_, i) => `10.2.0.${i + 1}:80`));
  await last.has(...Array.from({ length: 10 }, (_, i) => `10.2.0.${i + 190}:80`));
  for (let i = 190; i < count; i++) dns.set(`n${i}.internal`, { a: [`10.3.0.${i}`] });
  await last.has(...Array.from({ length: 10 }, (_, i) => `10.3.0.${i + 190}:80`));
  dns.set('n0.internal', { a: ['10.2.0.0'] });
  await first.has(...Array.from({ length: 10 }, (_, i) => `10.2.0.${i}:80`));
});
