import { connect, createServer } from 'node:net';
import { beforeAll, expect, it } from 'vitest';
import { createLogClient } from '../../src/wire/log-service.js';
import { type AdminClient, testController } from '../support/admin.js';
import { onCleanup } from '../support/cleanup.js';
import { freePort } from '../support/ports.js';
import { testPostgres } from '../support/postgres.js';
import { tmpDir } from '../support/tmp.js';
import { until } from '../support/until.js';
import { embedded } from './logs/embedded.js';

const REQUESTS = '/api/v1/workspaces/shop/requests';
let admin: AdminClient;
let database: string;
let store: Awaited<ReturnType<typeof embedded>>;

beforeAll(async () => {
  database = await (await testPostgres()).database();
  store = await embedded(tmpDir());
  const { url, user, password } = store;
  admin = await testController(database, { logStore: { url, user, password, exclusive: true } });
});

const line = (change: object) =>
  `${JSON.stringify({ __time__: String(Date.now()), cluster_id: 'shop/edge', workspace: 'shop', method: 'GET', path: '/orders', response_code: 200, response_flags: '-', response_code_details: 'via_upstream', upstream_host: '127.0.0.1:9000', ...change })}\n`;

function client(token: string | undefined) {
  const made = createLogClient(`127.0.0.1:${admin.adsPort}`, token);
  onCleanup(() => made.close());
  return made;
}
const batch = (offset: number, text: string) => ({
  node: 'n1',
  cluster: 'shop/edge',
  file: 'f1',
  offset: BigInt(offset),
  lines: Buffer.from(text),
});

it('answers what edges shipped, by condition and page, and takes lines from edges only', async () => {
  const text =
    line({ request_id: 'one' }) +
    line({ request_id: 'two', response_code: 0, response_flags: 'NR', response_code_details: 'route_not_found' }) +
    'not a line\n';
  await expect(client('another token').ship(batch(0, text))).rejects.toThrow(/node token/);
  await expect(client(undefined).ship(batch(0, text))).rejects.toThrow(/node token/);
  expect(Number((await client(admin.nodeToken).ship(batch(0, text))).storedTo)).toBe(Buffer.byteLength(text));

  const all = await admin.call('GET', REQUESTS);
  expect([all.status, all.body.items.length, all.body.next]).toEqual([200, 3, undefined]);
  const one = await admin.call('GET', `${REQUESTS}?requestId=one&code=1000`);
  expect(one.body.items).toMatchObject([
    { kind: 'request', record: { code: '1000', success: true, line: { request_id: 'one' } } },
  ]);
  expect((await admin.call('GET', `${REQUESTS}?requestId=one&code=3000`)).body.items).toEqual([]);
  expect((await admin.call('GET', `${REQUESTS}?unparsed=true`)).body.items).toMatchObject([
    { kind: 'unparsed', line: { raw: 'not a line' } },
  ]);
  expect((await admin.call('GET', `${REQUESTS}?to=2020-01-01T00:00:00Z`)).body.items).toEqual([]);
  expect((await admin.call('GET', '/api/v1/workspaces/other/requests')).body.items).toEqual([]);

  const seen: unknown[] = [];
  for (let next: string | undefined = ''; next !== undefined; ) {
    const { body } = await admin.call('GET', `${REQUESTS}?limit=1${next ? `&cursor=${next}` : ''}`);
    seen.push(...body.items);
    next = body.next;
  }
  expect(seen).toEqual(all.body.items);
  const bad = await admin.call('GET', `${REQUESTS}?cursor=zzz`);
  expect([bad.status, bad.body.errors[0].pointer]).toEqual([400, 'query:/cursor']);
});

it('runs without the log store, says so, and uses it when it comes', async () => {
  const port = await freePort();
  const lonely = await testController(database, {
    logStore: { url: `http://127.0.0.1:${port}`, user: store.user, password: store.password },
  });
  const away = await lonely.call('GET', REQUESTS);
  expect([away.status, away.body.type]).toEqual([503, 'urn:paifang:problem:log-store-away']);
  expect((await lonely.call('GET', '/actuator/readiness')).body).toMatchObject({
    status: 'UP',
    components: { logStore: { status: 'DOWN' } },
  });
  expect((await lonely.call('GET', '/actuator/health')).status).toBe(503);
  const made = createLogClient(`127.0.0.1:${lonely.adsPort}`, lonely.nodeToken);
  onCleanup(() => made.close());
  await expect(made.ship(batch(0, line({})))).rejects.toThrow(/ECONNREFUSED|log store/);

  // A gate that leads to the real store opens where nothing was.
  const target = new URL(store.url);
  const gate = createServer((socket) => {
    const through = connect(Number(target.port), target.hostname);
    socket.pipe(through).pipe(socket);
    for (const end of [socket, through]) end.on('error', () => end.destroy());
  });
  await new Promise<void>((resolve) => gate.listen(port, '127.0.0.1', resolve));
  onCleanup(() => void gate.close());
  await until(async () => (await lonely.call('GET', '/actuator/health')).status === 200, { what: 'the store is used' });
  expect((await lonely.call('GET', `${REQUESTS}?requestId=one`)).body.items.length).toBe(1);
});
