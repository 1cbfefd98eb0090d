import { expect, it } from 'vitest';
import { TYPE } from '../../src/core/ads/resource.js';
import { AdsClient } from '../../src/wire/ads-client.js';
import { ADMIN_TOKEN, type AdminClient, type Reply, SHOP, testController } from '../support/admin.js';
import { onCleanup } from '../support/cleanup.js';
import { paifang } from '../support/cli.js';
import { testPostgres } from '../support/postgres.js';
import { startStallingProxy } from '../support/stalling-proxy.js';
import { until } from '../support/until.js';

// A database that keeps its connections and says nothing: frozen, or behind a network that is cut.

const base = '/api/v1/workspaces/shop';
const EDITS = 10;
/** What everything is answered in; a statement would wait for 30 s, and each of those behind it as long again. */
const BOUND_MS = 15_000;

interface Away {
  readonly url: string;
  begin(): void;
  end(): void;
}

async function frozen(): Promise<Away> {
  const postgres = await testPostgres();
  return { url: await postgres.database(), begin: () => postgres.freeze(), end: () => postgres.thaw() };
}

async function cutOff(): Promise<Away> {
  const url = new URL(await (await testPostgres()).database());
  const proxy = await startStallingProxy(Number(url.port));
  url.port = String(proxy.port);
  return { url: url.href, begin: () => proxy.stall(), end: () => proxy.resume() };
}

const name = (i: number) => `api-${i}`;
const edit = (admin: AdminClient, i: number, timeoutMs: number) =>
  admin.call('PATCH', `${base}/apis/${name(i)}?publish=true`, { timeoutMs }, { 'if-match': '*' });
const timeoutOf = async (admin: AdminClient, i: number) =>
  (await admin.call('GET', `${base}/apis/${name(i)}`)).body.spec?.timeoutMs;
const components = async (admin: AdminClient, path: string) => (await admin.call('GET', path)).body.components;

/** A node that joins as one that has nothing. */
function node(admin: AdminClient): string[] {
  const states: string[] = [];
  const client = AdsClient.start({
    address: `127.0.0.1:${admin.adsPort}`,
    node: { id: 'late', cluster: 'shop/edge' },
    token: admin.nodeToken,
    subscriptions: [{ type: TYPE.cluster, wildcard: true }],
    onUpdate: () => {},
    onState: (state) => states.push(state.kind),
  });
  onCleanup(() => client.close());
  return states;
}

it.each([
  ['frozen', frozen],
  ['behind a network that is cut', cutOff],
])(
  'a database that is %s: all is answered soon, and told as it is; afterwards all is as it was told',
  {
    timeout: 60_000,
  },
  async (_, world) => {
    const away = await world();
    onCleanup(async () => away.end());
    const admin = await testController(away.url);
    await admin.call('POST', '/api/v1/workspaces', { name: 'shop' });
    const api = (i: number) => ({ ...SHOP.apis[0], name: name(i), match: { path: `/${i}` } });
    const definitions = { ...SHOP, apis: Array.from({ length: EDITS }, (_, i) => api(i)), apps: [] };
    expect((await admin.call('POST', `${base}/changesets`, { definitions })).status).toBe(200);

    // The first is answered, one is under way, the others wait for their turn.
    const edits: (Reply | undefined)[] = Array(EDITS).fill(undefined);
    const first = await new Promise<number>((resolve, reject) => {
      for (let i = 0; i < EDITS; i++)
        edit(admin, i, 100 + i).then((reply) => {
          edits[i] = reply;
          resolve(i);
        }, reject);
    });
    away.begin();
    expect(edits[first]?.status).toBe(200);
    const others: Reply[] = [];
    const asked: [string, string, unknown?][] = [
      ['GET', `${base}/apis`],
      ['GET', `${base}/releases`],
      ['GET', `${base}/audit`],
      ['POST', '/api/v1/workspaces', { name: 'another' }],
      ['PUT', `${base}/clusters/orders/endpoints/a`, { host: '127.0.0.1', port: 1 }],
    ];
    for (const [method, path, body] of asked) void admin.call(method, path, body).then((reply) => others.push(reply));

    // Told from memory, before anything is given up.
    const told = await until(
      async () => {
        const { database } = await components(admin, '/readyz');
        return database.status === 'DOWN' && database;
      },
      { within: BOUND_MS, what: 'the outage is told' },
    );
    expect(told.details.reason).toContain('no answer');
    expect((await components(admin, '/api/v1/status')).database).toMatchObject({ status: 'DOWN' });
    expect((await admin.call('GET', '/readyz')).status).toBe(200);
    const health = await admin.call('GET', '/actuator/health');
    expect([health.status, health.body.components.database.status]).toEqual([503, 'DOWN']);
    const env = { PAIFANG_SERVER: admin.adminUrl, PAIFANG_TOKEN: ADMIN_TOKEN };
    const status = paifang(['status'], { env });
    const late = node(admin);

    await until(() => edits.every(Boolean) && others.length === asked.length, {
      within: BOUND_MS,
      what: 'every request is answered',
    });
    for (const reply of [...edits.filter((reply) => reply?.status !== 200), ...others]) {
      expect(reply?.body).toMatchObject({
        status: 503,
        type: 'urn:paifang:problem:database-away',
        detail: expect.stringMatching(/cannot be used: .*no answer/),
      });
    }
    // Who comes later waits no longer.
    const [later, read] = await Promise.all([edit(admin, 0, 999), admin.call('GET', `${base}/apis`)]);
    expect([later.status, read.status]).toEqual([503, 503]);
    expect(later.body.detail).toContain('Nothing was stored.');
    expect(read.body.detail).not.toContain('stored');
    await until(() => late.includes('synced'), { within: BOUND_MS, what: 'a node is served meanwhile' });
    expect((await status).stdout).toMatch(/database +DOWN \(.*no answer/);

    away.end();
    await until(async () => (await components(admin, '/readyz')).database.status === 'UP', {
      what: 'the database is back',
    });
    const again = await until(
      async () => {
        const reply = await edit(admin, 0, 500);
        return reply.status === 200 && reply;
      },
      { what: 'changes are possible again' },
    );

    // What was answered 200 is there, what was said not to be stored is not, and nothing came twice.
    const unsure = edits.filter((reply) => reply?.body.detail?.includes('is not known'));
    expect(unsure.length).toBeLessThanOrEqual(1);
    let stored = 0;
    for (const [i, reply] of edits.entries()) {
      const now = i === 0 ? undefined : await timeoutOf(admin, i);
      if (reply?.status === 200) stored++;
      if (i === 0 || (reply && unsure.includes(reply))) continue;
      expect([i, now]).toEqual([i, reply?.status === 200 ? 100 + i : undefined]);
      if (reply?.status !== 200) expect(reply?.body.detail).toContain('Nothing was stored.');
    }
    const releases = (await admin.call('GET', `${base}/releases?limit=100`)).body.items.map(
      (r: { number: number }) => r.number,
    );
    expect(releases).toEqual(Array.from({ length: releases.length }, (_, i) => releases.length - i));
    expect(releases.length - (1 + stored + 1)).toBeLessThanOrEqual(unsure.length);
    expect(again.body.outcome.release).toBe(releases.length);
    expect(admin.log.lines.filter((line) => line.startsWith('error'))).toEqual([]);
  },
);

it('a commit whose answer is lost is told as unsure, and what it stored comes into force', {
  timeout: 60_000,
}, async () => {
  const url = new URL(await (await testPostgres()).database());
  const proxy = await startStallingProxy(Number(url.port));
  url.port = String(proxy.port);
  const admin = await testController(url.href);
  await admin.call('POST', '/api/v1/workspaces', { name: 'shop' });
  await admin.call('POST', `${base}/changesets`, { definitions: SHOP });
  const path = `${base}/apis/list-orders`;
  const before = await admin.call('GET', path);

  proxy.stallAfter('commit');
  const change = { timeoutMs: 77 };
  const reply = await admin.call('PATCH', `${path}?publish=true`, change, { 'if-match': before.etag });
  expect([reply.status, reply.body.detail]).toEqual([
    503,
    expect.stringMatching(/no answer.*Whether the change was stored is not known: read before you send it again/),
  ]);

  proxy.resume();
  await until(async () => (await admin.call('GET', '/api/v1/status')).body.workspaces[0].release === 2, {
    what: 'the release that was stored is in force',
  });
  expect((await admin.call('GET', path)).body.spec.timeoutMs).toBe(77);
  // Sent again, it is not made twice.
  expect((await admin.call('PATCH', `${path}?publish=true`, change, { 'if-match': before.etag })).status).toBe(412);
});
