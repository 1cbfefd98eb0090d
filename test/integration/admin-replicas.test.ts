import { expect, it } from 'vitest';
import { TYPE } from '../../src/core/ads/resource.js';
import { AdsClient } from '../../src/wire/ads-client.js';
import { type AdminClient, SHOP, testController } from '../support/admin.js';
import { onCleanup } from '../support/cleanup.js';
import { testPostgres } from '../support/postgres.js';
import { until } from '../support/until.js';

const base = '/api/v1/workspaces/shop';
const TYPES = [TYPE.policy, TYPE.app, TYPE.cluster, TYPE.endpoint, TYPE.listener, TYPE.route, TYPE.scope];

/** Version of everything a node of the fleet is told by this controller. */
function node(controller: { adsPort: number; nodeToken: string }, cluster = 'shop/edge') {
  const held = new Map<string, string>();
  const states: string[] = [];
  const client = AdsClient.start({
    address: `127.0.0.1:${controller.adsPort}`,
    node: { id: `node-${Math.random()}`, cluster },
    token: controller.nodeToken,
    subscriptions: TYPES.map((type) => ({ type, wildcard: true })),
    onUpdate: ({ type, upserts, removals }) => {
      for (const { name, version } of upserts) held.set(`${type} ${name}`, version);
      for (const name of removals) held.delete(`${type} ${name}`);
    },
    onState: (state) => states.push(state.kind === 'disconnected' ? `disconnected: ${state.reason}` : state.kind),
  });
  onCleanup(() => client.close());
  return { held, states, sorted: () => [...held].sort().map(String) };
}

const releaseOf = async (admin: AdminClient) =>
  (await admin.call('GET', '/api/v1/status')).body.workspaces.find((w: { workspace: string }) => w.workspace === 'shop')
    ?.release;

it('two controllers on one database see each other’s workspaces, releases and keys, and serve the same bytes', async () => {
  const url = await (await testPostgres()).database();
  const [a, b] = await Promise.all([testController(url, { pollMs: 60_000 }), testController(url, { pollMs: 60_000 })]);
  await a.call('POST', '/api/v1/workspaces', { name: 'shop' });
  await a.call('POST', `${base}/changesets`, { definitions: SHOP });
  await until(async () => (await releaseOf(b)) === 1, { what: 'b has release 1' });
  const [na, nb] = [node(a), node(b)];
  await until(() => na.states.includes('synced') && nb.states.includes('synced') && na.held.size > 4, {
    what: 'both nodes in step',
  });

  // Writes at either, one after the other and at once.
  expect(
    (await b.call('PATCH', `${base}/apis/list-orders?publish=true`, { timeoutMs: 5 }, { 'if-match': '*' })).body.outcome
      .release,
  ).toBe(2);
  expect(
    (await a.call('PATCH', `${base}/clusters/orders?publish=true`, { connectTimeoutMs: 5 }, { 'if-match': '*' })).body
      .outcome.release,
  ).toBe(3);
  const writes = Array.from({ length: 12 }, (_, i) =>
    (i % 2 ? a : b).call('POST', `${base}/apis?publish=true`, {
      name: `r${i}`,
      group: 'shop',
      match: { path: `/r${i}` },
      upstream: { kind: 'mock' },
      auth: { type: 'signature' },
    }),
  );
  expect((await Promise.all(writes)).map((r) => r.status)).toEqual(writes.map(() => 201));
  await b.call('POST', `${base}/apps/mobile/credentials`, { accessKey: 'ak' });
  await a.call('DELETE', `${base}/apis/r3?publish=true`, undefined, { 'if-match': '*' });
  await until(async () => (await releaseOf(a)) === 16 && (await releaseOf(b)) === 16, { what: 'both have release 16' });
  await until(() => na.sorted().join() === nb.sorted().join() && na.held.size > 5, {
    what: 'both nodes hold the same versions',
  });

  // A replica that starts later loads to the same bytes as those that followed every step.
  const c = await testController(url);
  const nc = node(c);
  await until(() => nc.states.includes('synced') && nc.held.size === na.held.size, { what: 'the third node in step' });
  expect(nc.sorted()).toEqual(na.sorted());
});

it('a restart keeps everything, and a workspace that is deleted elsewhere goes', async () => {
  const url = await (await testPostgres()).database();
  const first = await testController(url);
  await first.call('POST', '/api/v1/workspaces', { name: 'shop' });
  await first.call('POST', `${base}/changesets`, { definitions: SHOP });
  await first.call('PATCH', `${base}/apis/list-orders`, { timeoutMs: 5 }, { 'if-match': '*' });
  const before = await Promise.all(
    ['/apis', '/apps', '/releases', '/audit', '/definitions'].map((path) => first.call('GET', base + path)),
  );
  const held = node(first);
  await until(() => held.states.includes('synced'), { what: 'in step' });
  await first.close();
  const second = await testController(url);
  const after = await Promise.all(
    ['/apis', '/apps', '/releases', '/audit', '/definitions'].map((path) => second.call('GET', base + path)),
  );
  expect(after.map(({ body }) => body)).toEqual(before.map(({ body }) => body));
  const again = node(second);
  await until(() => again.states.includes('synced'), { what: 'in step again' });
  expect(again.sorted()).toEqual(held.sorted());

  const third = await testController(url);
  expect((await third.call('POST', `${base}/changesets`, { definitions: {}, prune: true })).body.release).toBe(2);
  expect((await third.call('DELETE', base)).status).toBe(204);
  await until(async () => (await second.call('GET', '/api/v1/status')).body.workspaces.length === 0, {
    what: 'the workspace is gone',
  });
  expect((await second.call('GET', base)).status).toBe(404);
});

it('without the database: nodes are served, changes answer 503 with the reason, and all recovers by itself', async () => {
  const postgres = await testPostgres();
  const url = await postgres.database();
  const admin = await testController(url, { pollMs: 100 });
  await admin.call('POST', '/api/v1/workspaces', { name: 'shop' });
  await admin.call('POST', `${base}/changesets`, { definitions: SHOP });
  await postgres.stop();

  const refused = await admin.call(
    'PATCH',
    `${base}/apis/list-orders?publish=true`,
    { timeoutMs: 5 },
    { 'if-match': '*' },
  );
  expect(refused.status).toBe(503);
  expect(refused.body).toMatchObject({
    type: 'urn:paifang:problem:database-away',
    detail: expect.stringMatching(/PostgreSQL at paifang@127\.0\.0\.1:\d+\/test_1 cannot be used: /),
  });
  expect(refused.text).not.toContain(new URL(url).password);
  expect(refused.headers.get('retry-after')).toBe('1');
  expect((await admin.call('GET', '/actuator/health')).status).toBe(503);
  const ready = await until(
    async () => {
      const reply = await admin.call('GET', '/actuator/readiness');
      return reply.body.components.database.status === 'DOWN' && reply;
    },
    { what: 'the outage is noticed' },
  );
  expect([ready.status, ready.body.status]).toEqual([200, 'UP']);
  const late = node(admin);
  await until(() => late.states.includes('synced') && late.held.size > 4, {
    what: 'a node that comes during the outage is served',
  });
  expect((await admin.call('GET', '/api/v1/status')).body.workspaces).toMatchObject([
    { workspace: 'shop', release: 1 },
  ]);

  await postgres.start();
  const made = await until(
    async () => {
      const reply = await admin.call(
        'PATCH',
        `${base}/apis/list-orders?publish=true`,
        { timeoutMs: 5 },
        { 'if-match': '*' },
      );
      return reply.status === 200 && reply;
    },
    { what: 'changes are possible again' },
  );
  expect(made.body.outcome.release).toBe(2);
  await until(async () => (await admin.call('GET', '/actuator/health')).status === 200, { what: 'healthy again' });
  expect(admin.log.lines.filter((line) => line.startsWith('error'))).toEqual([]);
});

it('does not start without the database, and says what it tried, without the password', async () => {
  const started = testController('postgres://someone:hidden@127.0.0.1:1/nowhere');
  await expect(started).rejects.toThrow(/PostgreSQL at someone@127\.0\.0\.1:1\/nowhere cannot be used: .*ECONNREFUSED/);
  await expect(started).rejects.not.toThrow(/hidden/);
  const url = new URL(await (await testPostgres()).database());
  url.password = 'wrong-one';
  await expect(testController(url.href)).rejects.toThrow(/cannot be used: password authentication failed/);
});
