import pg from 'pg';
import { expect, it } from 'vitest';
import { SHOP, testController } from '../support/admin.js';
import { onCleanup } from '../support/cleanup.js';
import { fleetNode } from '../support/fleet-nodes.js';
import { testPostgres } from '../support/postgres.js';
import { until } from '../support/until.js';

const base = '/api/v1/workspaces/shop';

it('a look at the database that an edit overtakes ends no stream and loads nothing anew', async () => {
  const admin = await testController(await (await testPostgres()).database(), { pollMs: 1 });
  await admin.call('POST', '/api/v1/workspaces', { name: 'shop' });
  await admin.call('POST', `${base}/changesets`, { definitions: SHOP });
  const node = fleetNode(admin, 'n');
  await node.synced();
  const loads = () => admin.log.lines.filter((line) => line.includes('workspace loaded')).length;
  const before = loads();
  for (let i = 1; i <= 150; i++) {
    const edit = { timeoutMs: 1000 + i };
    const reply = await admin.call('PATCH', `${base}/apis/list-orders?publish=true`, edit, { 'if-match': '*' });
    expect(reply.status).toBe(200);
  }
  expect(loads()).toBe(before);
  expect(node.states).not.toContain('disconnected');
});

it('a workspace that cannot be read holds up no other, and is not taken for an outage', async () => {
  const url = await (await testPostgres()).database();
  const [a, b] = [await testController(url, { pollMs: 50 }), await testController(url, { pollMs: 50 })];
  await a.call('POST', '/api/v1/workspaces', { name: 'awry' });
  const made = await a.call('POST', '/api/v1/workspaces/awry/changesets', { definitions: SHOP });
  expect(made.status).toBe(200);
  expect((await a.call('POST', '/api/v1/workspaces/awry/apps/mobile/credentials', {})).status).toBe(201);
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  onCleanup(() => client.end());
  // What no key opens, at a revision that nobody has seen: every look comes upon it.
  await client.query(`update credential set ciphertext = '\\x00' where workspace = 'awry'`);
  await client.query(`update workspace set credentials_revision = credentials_revision + 1 where name = 'awry'`);
  await client.query(`update credential_owner set revision = revision + 1 where workspace = 'awry'`);
  await until(
    () => b.log.lines.find((line) => line.includes('cannot be brought up to date') && line.includes('awry')),
    {
      what: 'the trouble is told',
    },
  );
  await a.call('POST', '/api/v1/workspaces', { name: 'zoo' });
  await until(async () => (await b.call('GET', '/api/v1/status')).text.includes('"zoo"'), {
    what: 'the other is loaded',
  });
  expect((await b.call('GET', '/readyz')).status).toBe(200);
});
