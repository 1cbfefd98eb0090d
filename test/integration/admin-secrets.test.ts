import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fromBinary } from '@bufbuild/protobuf';
import pg from 'pg';
import { beforeAll, expect, it } from 'vitest';
import { TYPE } from '../../src/core/ads/resource.js';
import { AppSchema, ServiceKeySchema } from '../../src/gen/paifang/v1/policy_pb.js';
import { AdsClient } from '../../src/wire/ads-client.js';
import { type AdminClient, SHOP, testController } from '../support/admin.js';
import { onCleanup } from '../support/cleanup.js';
import { testPostgres } from '../support/postgres.js';
import { tmpDir } from '../support/tmp.js';
import { until } from '../support/until.js';

let admin: AdminClient;
let url: string;
const base = '/api/v1/workspaces/shop';
const CREDENTIALS = `${base}/apps/mobile/credentials`;

beforeAll(async () => {
  url = await (await testPostgres()).database();
  admin = await testController(url);
  await admin.call('POST', '/api/v1/workspaces', { name: 'shop' });
  await admin.call('POST', `${base}/changesets`, { definitions: SHOP });
});

/** Every row of every table as text. */
async function wholeDatabase(): Promise<string> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const tables = await client.query("select tablename from pg_tables where schemaname = 'public'");
    let text = '';
    for (const { tablename } of tables.rows) {
      const { rows } = await client.query(`select t::text as row, row_to_json(t)::text as json from "${tablename}" t`);
      for (const { row, json } of rows) text += `${row}\n${json}\n`;
    }
    return text;
  } finally {
    await client.end();
  }
}

/** What an edge of the fleet is told, by type and name. */
function edge(token?: string): Map<string, Uint8Array> {
  const held = new Map<string, Uint8Array>();
  const client = AdsClient.start({
    address: `127.0.0.1:${admin.adsPort}`,
    node: { id: `edge-${Math.random()}`, cluster: 'shop/edge' },
    ...(token === undefined ? {} : { token }),
    subscriptions: [TYPE.app, TYPE.serviceKey, TYPE.policy].map((type) => ({ type, wildcard: true })),
    onUpdate: ({ type, upserts, removals }) => {
      for (const { name, bytes } of upserts) held.set(`${type} ${name}`, bytes);
      for (const name of removals) held.delete(`${type} ${name}`);
    },
  });
  onCleanup(() => client.close());
  return held;
}
const appIn = (held: Map<string, Uint8Array>) => {
  const bytes = [...held].find(([key]) => key.startsWith(TYPE.app))?.[1];
  return bytes && fromBinary(AppSchema, bytes);
};

it('tells a secret key once, and keeps it out of database, answers, audit and log', async () => {
  const made = await admin.call('POST', CREDENTIALS);
  expect(made.status).toBe(201);
  expect(made.headers.get('cache-control')).toBe('no-store');
  const { accessKey, secretKey } = made.body;
  expect(secretKey).toMatch(/^[\w-]{43}$/);
  const imported = await admin.call('POST', CREDENTIALS, { accessKey: 'AK.old', secretKey: 'an-old-secret-key' });
  expect(imported.body).toMatchObject({
    accessKey: 'AK.old',
    secretKey: 'an-old-secret-key',
    enabled: true,
    expiresAt: null,
  });
  const service = await admin.call('PUT', `${base}/clusters/orders/credential`, { secretKey: 'the-service-secret' });
  expect(service.status).toBe(201);

  const database = await wholeDatabase();
  expect(database).toContain(accessKey);
  const answers = await Promise.all(
    [
      CREDENTIALS,
      `${base}/clusters/orders/credential`,
      `${base}/audit`,
      `${base}/definitions`,
      `${base}/apps/mobile`,
      '/api/v1/status',
      '/metrics',
    ].map((path) => admin.call('GET', path)),
  );
  const places = { database, answers: answers.map(({ text }) => text).join(), log: admin.log.lines.join('\n') };
  for (const secret of [
    secretKey,
    'an-old-secret-key',
    'the-service-secret',
    '11'.repeat(32),
    url.split(':')[2]?.split('@')[0] as string,
    'pf_an-admin-token-for-tests',
  ]) {
    for (const form of [
      secret,
      Buffer.from(secret).toString('hex'),
      Buffer.from(secret).toString('base64').slice(0, -3),
    ]) {
      for (const [place, text] of Object.entries(places)) expect([place, text.includes(form)]).toEqual([place, false]);
    }
  }
  expect(answers[0]?.body.items.map((c: object) => Object.keys(c))).toEqual([
    ['accessKey', 'enabled', 'expiresAt', 'createdAt', 'createdBy'],
    ['accessKey', 'enabled', 'expiresAt', 'createdAt', 'createdBy'],
  ]);
});

it('brings keys to edges at once and without a release, and only to those that show the node token', async () => {
  const trusted = edge(admin.nodeToken);
  const stranger = edge();
  const { body } = await admin.call('POST', CREDENTIALS, { accessKey: 'ak-live', secretKey: 'secret-live' });
  expect(body.accessKey).toBe('ak-live');
  const has = async (check: (enabled: boolean) => boolean, what: string) =>
    until(() => appIn(trusted)?.credentials.find((c) => c.accessKey === 'ak-live' && check(c.enabled)), { what });
  const got = await has((enabled) => enabled, 'the edge has the key');
  expect(Buffer.from(got.secretKey).toString()).toBe('secret-live');
  await admin.call('PATCH', `${CREDENTIALS}/ak-live`, { enabled: false, expiresAt: '2030-01-01T00:00:00Z' });
  const off = await has((enabled) => !enabled, 'the edge has it switched off');
  expect(Number(off.expiresAt)).toBe(Date.UTC(2030, 0, 1) / 1000);
  expect((await admin.call('DELETE', `${CREDENTIALS}/ak-live`)).status).toBe(204);
  await until(() => appIn(trusted)?.credentials.every((c) => c.accessKey !== 'ak-live'), { what: 'the key is gone' });
  expect([...stranger.keys()].filter((key) => !key.startsWith(TYPE.policy))).toEqual([]);
  expect((await admin.call('GET', `${base}/releases`)).body.total).toBe(1);

  await admin.call('PATCH', `${base}/clusters/orders?publish=true`, { authentication: 'secret' }, { 'if-match': '*' });
  await admin.call('PUT', `${base}/clusters/orders/credential`, { accessKey: 'svc', secretKey: 'service-two' });
  const key = await until(
    () => {
      const bytes = [...trusted].find(([name]) => name.startsWith(TYPE.serviceKey))?.[1];
      const found = bytes && fromBinary(ServiceKeySchema, bytes);
      return found?.accessKey === 'svc' && found;
    },
    { what: 'the service key' },
  );
  expect(Buffer.from(key.secretKey).toString()).toBe('service-two');
});

it('refuses keys that are taken, owners and keys that are not there, and values that cannot be signed with', async () => {
  await admin.call('POST', CREDENTIALS, { accessKey: 'taken', secretKey: '12345678' });
  await admin.call('POST', `${base}/apps`, { name: 'other' });
  const twice = await admin.call('POST', `${base}/apps/other/credentials`, {
    accessKey: 'taken',
    secretKey: '12345678',
  });
  expect([twice.status, twice.body.errors[0].code]).toEqual([409, 'duplicate-access-key']);
  expect(twice.text).not.toContain('12345678');
  expect((await admin.call('POST', `${base}/apps/nobody/credentials`)).status).toBe(404);
  expect((await admin.call('PATCH', `${CREDENTIALS}/nothing`, { enabled: true })).status).toBe(404);
  expect((await admin.call('DELETE', `${base}/apps/other/credentials/taken`)).status).toBe(404);
  expect((await admin.call('PATCH', `${CREDENTIALS}/taken`, {})).status).toBe(422);
  const bad = await admin.call('POST', CREDENTIALS, {
    accessKey: 'a b',
    secretKey: 'short',
    expiresAt: 'soon',
    extra: 1,
  });
  expect(bad.body.errors.map((e: { pointer: string }) => e.pointer).sort()).toEqual([
    '/accessKey',
    '/expiresAt',
    '/extra',
    '/secretKey',
  ]);
  expect((await admin.call('POST', CREDENTIALS, { expiresAt: '2026-02-31T00:00:00Z' })).status).toBe(201);
});

it('makes tokens and keys at first start in files nobody else may read, tells the admin token once, and refuses another master key', async () => {
  const dataDir = tmpDir();
  const fresh = await (await testPostgres()).database();
  const options = { dataDir, masterKey: undefined, nodeToken: undefined, adminToken: undefined };
  const first = await testController(fresh, options);
  expect(first.adminToken).toMatch(/^pf_[\w-]{43}$/);
  const authorization = `Bearer ${first.adminToken}`;
  expect((await first.call('GET', '/api/v1/workspaces', undefined, { authorization })).status).toBe(200);
  for (const file of ['master.key', 'node.token']) expect((await stat(join(dataDir, file))).mode & 0o777).toBe(0o600);
  expect((await readFile(join(dataDir, 'node.token'), 'utf8')).trim()).toBe(first.nodeToken);
  await first.close();
  const second = await testController(fresh, options);
  expect([second.adminToken, second.nodeToken]).toEqual([undefined, first.nodeToken]);
  expect((await second.call('GET', '/api/v1/workspaces', undefined, { authorization })).status).toBe(200);
  await second.close();
  await expect(testController(fresh, { ...options, masterKey: '22'.repeat(32) })).rejects.toThrow(
    /master key is not the one.*PAIFANG_MASTER_KEY/s,
  );
  await expect(testController(fresh, { ...options, masterKey: 'tooshort' })).rejects.toThrow(
    /PAIFANG_MASTER_KEY holds no master key: 32 random bytes/,
  );
});
