import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { bootstrap } from '../../src/core/xds/bootstrap.js';
import { type AdminClient, SHOP, testController } from '../support/admin.js';
import { envoyPath, startEnvoy } from '../support/envoy.js';
import { type Ask, httpClient } from '../support/http-client.js';
import { freePort } from '../support/ports.js';
import { testPostgres } from '../support/postgres.js';
import { tmpDir } from '../support/tmp.js';
import { until } from '../support/until.js';

// What only the node can refuse: the canary has not the node's disk.

const base = '/api/v1/workspaces/shop';
let admin: AdminClient;
let databaseUrl: string;
let port: number;
let adsPort: number;
let nodeDir: string;
let ask: (path: string, ask?: Ask) => Promise<{ status: number; body: string }>;

const definitions = (changes: Record<string, unknown> = {}) => ({
  ...SHOP,
  fleets: [{ name: 'edge', listeners: [{ name: 'http', address: '127.0.0.1', port }], ...changes }],
  apis: [{ name: 'hello', group: 'shop', match: { path: '/hello' }, upstream: { kind: 'mock', body: 'one' } }],
  apps: [],
});
const publish = async (body: Record<string, unknown>) => {
  const reply = await admin.call('POST', `${base}/changesets`, { definitions: body });
  expect(reply.body).toMatchObject({ judgement: { verdict: 'accepted' } });
};
const quarantine = async () => (await admin.call('GET', `${base}/quarantine`)).body.items;
const hello = async (path = '/hello') => (await ask(path, { headers: { host: 'shop.example.com' } })).body;

beforeAll(async () => {
  databaseUrl = await (await testPostgres()).database();
  [port, adsPort] = [await freePort(), await freePort()];
  admin = await testController(databaseUrl, { canary: envoyPath(), ads: { host: '127.0.0.1', port: adsPort } });
  await admin.call('POST', '/api/v1/workspaces', { name: 'shop' });
  await publish(definitions());
  nodeDir = tmpDir();
  await startEnvoy({
    bootstrapYaml: bootstrap({
      nodeId: 'node-1',
      nodeCluster: 'shop/edge',
      adsAddress: '127.0.0.1',
      adsPort,
      edgeSocket: 'authz.sock',
      adminAddress: '127.0.0.1',
      adminPort: 0,
    }),
    cwd: nodeDir,
  });
  ask = httpClient(port);
  await until(async () => (await hello()) === 'one', { within: 20_000, what: 'an answer' });
});

describe('a definition that a node refuses', () => {
  it('is listed with object, field and Envoy’s reason, logged and counted; what was before stays in force', async () => {
    await publish(definitions({ accessLogPath: 'no/such/folder/access.log' }));
    const [entry] = await until(
      async () => {
        const items = await quarantine();
        return items.length > 0 && items;
      },
      { what: 'the refusal' },
    );
    expect(entry).toMatchObject({
      node: 'node-1',
      fleet: 'shop/edge',
      type: 'Listener',
      resource: 'http',
      version: expect.stringMatching(/^[0-9a-f]{16}$/),
      lastGood: expect.stringMatching(/^[0-9a-f]{16}$/),
      since: expect.stringMatching(/Z$/),
      error: expect.stringContaining('no/such/folder/access.log'),
      origins: [{ object: { kind: 'fleet', name: 'edge' }, field: '/accessLogPath' }],
    });
    expect(await hello()).toBe('one');
    expect((await admin.call('GET', '/metrics')).text).toContain('paifang_quarantined{fleet="shop/edge"} 1');
    const line = admin.log.lines.find((text) => text.includes('a node refuses a resource'));
    expect(line).toContain('"objects":["fleet/edge/accessLogPath"]');
  });

  it('holds nothing else back', async () => {
    await publish({ apis: [{ ...definitions().apis[0], upstream: { kind: 'mock', body: 'two' } }] });
    await until(async () => (await hello()) === 'two', { what: 'the edit' });
    expect(await quarantine()).toHaveLength(1);
  });

  it('leaves the list when a newer version is accepted', async () => {
    mkdirSync(join(nodeDir, 'logs'));
    await publish(definitions({ accessLogPath: 'logs/access.log' }));
    await until(async () => (await quarantine()).length === 0, { what: 'an empty quarantine' });
    expect((await admin.call('GET', '/metrics')).text).not.toContain('paifang_quarantined{fleet="shop/edge"} 1');
    await until(async () => (await hello()) === 'one', { what: 'the definitions as published' });
  });

  it('leaves the list when it is taken back', async () => {
    await publish(definitions({ accessLogPath: 'no/such/folder' }));
    await until(async () => (await quarantine()).length === 1, { what: 'the refusal' });
    await publish(definitions({ accessLogPath: 'logs/access.log' }));
    await until(async () => (await quarantine()).length === 0, { what: 'an empty quarantine' });
    expect(await hello()).toBe('one');
  });

  it('does not exist for a workspace that does not', async () => {
    expect((await admin.call('GET', '/api/v1/workspaces/nobody/quarantine')).status).toBe(404);
  });

  it('is known again when the controller is started again, after one more try', async () => {
    await publish(definitions({ accessLogPath: 'no/such/folder' }));
    await until(async () => (await quarantine()).length === 1, { what: 'the refusal' });
    await admin.close();
    expect(await hello()).toBe('one');
    admin = await testController(databaseUrl, { canary: envoyPath(), ads: { host: '127.0.0.1', port: adsPort } });
    await until(async () => (await quarantine()).length === 1, { within: 20_000, what: 'the refusal' });
    expect(await hello()).toBe('one');
    const refusals = () => admin.log.lines.filter((text) => text.includes('a node refuse'));
    expect(refusals()).toHaveLength(1);
  });
});
