import { expect, it } from 'vitest';
import { TYPE } from '../../src/core/ads/resource.js';
import { SHOP, testController } from '../support/admin.js';
import { fleetNode } from '../support/fleet-nodes.js';
import { testPostgres } from '../support/postgres.js';
import { until } from '../support/until.js';

const base = '/api/v1/workspaces/shop';

it('a node that comes and refuses something is in step as soon as it accepts what takes its place', async () => {
  const admin = await testController(await (await testPostgres()).database());
  await admin.call('POST', '/api/v1/workspaces', { name: 'shop' });
  await admin.call('POST', `${base}/changesets`, { definitions: SHOP });
  let refusing = true;
  const node = fleetNode(admin, 'picky', {
    refuse: ({ type, upserts }) => {
      if (refusing && type === TYPE.route && upserts.length > 0) throw new Error('no such timeout');
    },
  });
  const told = async () =>
    (await admin.call('GET', `${base}/nodes`)).body.items.find((n: { node: string }) => n.node === 'picky');
  await until(async () => (await told())?.state === 'refusing', { what: 'it refuses' });
  expect(await told()).toMatchObject({ release: null });
  refusing = false;
  const edit = { timeoutMs: 1234 };
  await admin.call('PATCH', `${base}/apis/list-orders?publish=true`, edit, { 'if-match': '*' });
  await until(async () => (await told())?.state === 'in-step', { what: 'it is in step' });
  expect(await told()).toMatchObject({ release: 2 });
  await node.synced();
});
