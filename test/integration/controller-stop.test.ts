import { expect, it } from 'vitest';
import { startController } from '../../src/controller/controller.js';
import { ADMIN_TOKEN, keptLog } from '../support/admin.js';
import { testPostgres } from '../support/postgres.js';
import { startStallingProxy } from '../support/stalling-proxy.js';
import { tmpDir } from '../support/tmp.js';

it('a controller stops although its database takes connections and says nothing', { timeout: 30_000 }, async () => {
  const url = new URL(await (await testPostgres()).database());
  const proxy = await startStallingProxy(Number(url.port));
  url.port = String(proxy.port);
  const controller = await startController({
    dataDir: tmpDir(),
    databaseUrl: url.href,
    masterKey: '11'.repeat(32),
    nodeToken: 'node-token-for-tests',
    adminToken: ADMIN_TOKEN,
    admin: { host: '127.0.0.1', port: 0 },
    ads: { host: '127.0.0.1', port: 0 },
    pollMs: 200,
    log: keptLog(),
  });
  proxy.stall();
  const { status } = await fetch(`${controller.adminUrl}/livez`);
  expect(status).toBe(200);
  // Without bounds it would wait until the database says good-bye.
  await controller.close();
  await expect(fetch(`${controller.adminUrl}/livez`)).rejects.toThrow();
});
