import { expect, it } from 'vitest';
import { SHOP, testController } from '../support/admin.js';
import { testPostgres } from '../support/postgres.js';

const base = '/api/v1/workspaces/shop';
type Told = { code: string; pointer: string; message: string; hint: string };

it('X96 a change set with broken references is refused whole, with every one of them and its place', async () => {
  const admin = await testController(await (await testPostgres()).database());
  await admin.call('POST', '/api/v1/workspaces', { name: 'shop' });
  const api = (name: string, changes: object) => ({
    name,
    group: 'shop',
    match: { path: `/${name}` },
    upstream: { kind: 'cluster', cluster: 'orders' },
    ...changes,
  });
  const definitions = {
    ...SHOP,
    groups: [...SHOP.groups, { name: 'adrift', hosts: ['adrift.example.com'], fleets: ['no-fleet'] }],
    apis: [
      ...SHOP.apis,
      api('groupless', { group: 'no-group' }),
      api('nowhere', { upstream: { kind: 'cluster', cluster: 'no-cluster' } }),
      api('half', {
        upstream: {
          kind: 'weighted',
          clusters: [
            { cluster: 'orders', weight: 50 },
            { cluster: 'no-second-cluster', weight: 50 },
          ],
        },
      }),
    ],
    // A grant refers to what may come later: it breaks nothing.
    apps: [...SHOP.apps, { name: 'guest', grants: { apis: ['no-api-yet'] } }],
  };
  const refused = await admin.call('POST', `${base}/changesets`, { definitions });
  expect(refused.status).toBe(422);
  const errors = refused.body.errors as Told[];
  expect(errors.map(({ code, pointer }) => `${code} ${pointer}`).sort()).toEqual([
    'unknown-reference /definitions/apis/1/group',
    'unknown-reference /definitions/apis/2/upstream/cluster',
    'unknown-reference /definitions/apis/3/upstream/clusters/1/cluster',
    'unknown-reference /definitions/groups/1/fleets/0',
  ]);
  const names = ['no-group', 'no-cluster', 'no-second-cluster', 'no-fleet'];
  for (const name of names) expect(errors.filter(({ message }) => message.includes(`"${name}"`))).toHaveLength(1);
  for (const { hint } of errors) expect(hint).not.toBe('');
  // Nothing of it is stored or in force.
  expect((await admin.call('GET', `${base}/apis`)).body.total).toBe(0);
  expect((await admin.call('GET', `${base}/releases`)).body.items).toEqual([]);
  // What others need is not taken away from under them.
  expect((await admin.call('POST', `${base}/changesets`, { definitions: SHOP })).status).toBe(200);
  const away = await admin.call('DELETE', `${base}/clusters/orders?publish=true`, undefined, { 'if-match': '*' });
  expect([away.status, JSON.stringify(away.body)]).toEqual([409, expect.stringContaining('list-orders')]);
});
