import { expect, it } from 'vitest';
import { TYPE } from '../../src/core/ads/resource.js';
import { type AdminClient, SHOP, testController } from '../support/admin.js';
import { ENVOY_TYPES, fleetNode, muteNode } from '../support/fleet-nodes.js';
import { testPostgres } from '../support/postgres.js';
import { until } from '../support/until.js';

const base = '/api/v1/workspaces/shop';
const endpoints = `${base}/clusters/orders/endpoints`;
const wait = '?wait=acked&timeout=10s';
const register = (admin: AdminClient, id: string, port: number, query = wait) =>
  admin.call('PUT', `${endpoints}/${id}${query}`, { host: '127.0.0.1', port });

async function shop(url: string): Promise<AdminClient> {
  const admin = await testController(url);
  await admin.call('POST', '/api/v1/workspaces', { name: 'shop' });
  await admin.call('POST', `${base}/changesets`, { definitions: SHOP });
  return admin;
}
// biome-ignore lint/suspicious/noExplicitAny: answers are looked into freely
const states = (receipt: any) => receipt.nodes.map((n: any) => [n.node, n.state]);
const inStep = async (admin: AdminClient, id: string): Promise<boolean> =>
  (await admin.call('GET', `${base}/nodes`)).body.items.some(
    (n: { node: string; state: string }) => n.node === id && n.state === 'in-step',
  );

it('a registration tells which nodes have the endpoints in force, at all controllers', async () => {
  const url = await (await testPostgres()).database();
  const [a, b] = [await shop(url), await testController(url)];
  await Promise.all([fleetNode(a, 'at-a').synced(), fleetNode(b, 'at-b').synced()]);
  for (const admin of [a, b])
    for (const id of ['at-a', 'at-b']) await until(() => inStep(admin, id), { what: `${id} is known` });
  let port = 9100;
  for (const admin of [a, b, a]) {
    const { status, body } = await register(admin, `e${port}`, port++);
    expect([status, body.receipt.acked, body.receipt.timedOut, states(body.receipt)]).toEqual([
      201,
      true,
      false,
      [
        ['at-a', 'acked'],
        ['at-b', 'acked'],
      ],
    ]);
    expect(body.receipt.resources).toMatchObject([{ fleet: 'shop/edge', type: TYPE.endpoint }]);
    expect(body.receipt.resources[0].version).toMatch(/^[0-9a-f]{16}$/);
  }
  // What changes nothing tells of what is there, also when the other controller brought it.
  const again = await register(b, 'e9102', 9102);
  expect([again.status, again.body.receipt.acked, states(again.body.receipt).length]).toEqual([200, true, 2]);
  const whole = await a.call('PUT', endpoints + wait, { endpoints: [{ host: '127.0.0.1', port: 9200 }] });
  expect([whole.body.total, whole.body.receipt.acked]).toEqual([1, true]);
  const gone = await a.call('DELETE', endpoints + wait);
  expect([gone.status, gone.body.receipt.acked]).toEqual([200, true]);
  expect((await a.call('DELETE', endpoints)).status).toBe(204);

  // One that never answers, at the other controller.
  const mute = await muteNode(b, 'mute', () => inStep(b, 'mute'));
  await until(() => inStep(a, 'mute'), { what: 'a knows of it' });
  const late = (await register(a, 'late', 9300, '?wait=acked&timeout=700ms')).body.receipt;
  expect(late).toMatchObject({ acked: false, result: 'pending', timedOut: true });
  expect(states(late)).toEqual([
    ['at-a', 'acked'],
    ['at-b', 'acked'],
    ['mute', 'pending'],
  ]);
  mute.close();
}, 60_000);

it('one that refuses is named with what it said', async () => {
  const admin = await shop(await (await testPostgres()).database());
  let refusing = false;
  await fleetNode(admin, 'picky', {
    refuse: ({ type }) => {
      if (refusing && type === TYPE.endpoint) throw new Error('no such address');
    },
  }).synced();
  await until(() => inStep(admin, 'picky'), { what: 'it is in step' });
  refusing = true;
  const { receipt } = (await register(admin, 'e', 9100)).body;
  expect(receipt).toMatchObject({ acked: false, result: 'refused', timedOut: false });
  expect(receipt.nodes).toMatchObject([{ node: 'picky', state: 'refused', error: 'no such address' }]);
});

it('keys of Apps are waited for at edges, and are told without their secret', async () => {
  const admin = await shop(await (await testPostgres()).database());
  await Promise.all([
    fleetNode(admin, 'edge', { types: [TYPE.policy, TYPE.app, TYPE.serviceKey] }).synced(),
    fleetNode(admin, 'envoy', { types: ENVOY_TYPES }).synced(),
  ]);
  const made = await admin.call('POST', `${base}/apps/mobile/credentials${wait}`, { accessKey: 'ak' });
  expect([made.status, made.body.receipt.acked, made.headers.get('cache-control')]).toEqual([201, true, 'no-store']);
  expect(made.body.receipt.resources).toMatchObject([{ type: TYPE.app }]);
  expect(JSON.stringify(made.body.receipt)).not.toContain(made.body.secretKey);
  const off = await admin.call('PATCH', `${base}/apps/mobile/credentials/ak${wait}`, { enabled: false });
  expect(off.body).toMatchObject({ enabled: false, receipt: { acked: true } });
  expect(off.body.receipt.revision).toBeGreaterThan(made.body.receipt.revision);
  const gone = await admin.call('DELETE', `${base}/apps/mobile/credentials/ak${wait}`);
  expect([gone.status, gone.body.receipt.acked]).toEqual([200, true]);
});

/** Operations that write and change nothing that nodes have, with the reason. */
const TOUCHES_NO_NODE: Readonly<Record<string, string>> = {
  createWorkspace: 'it is empty',
  deleteWorkspace: 'it must be empty, and nodes keep what they have',
};

it('every operation that can change what nodes have takes wait and timeout', async () => {
  const admin = await testController(await (await testPostgres()).database());
  const { paths } = (await admin.call('GET', '/openapi.json')).body;
  const lacking: string[] = [];
  let waiting = 0;
  // biome-ignore lint/suspicious/noExplicitAny: a document that is walked freely
  for (const [path, methods] of Object.entries<any>(paths)) {
    // biome-ignore lint/suspicious/noExplicitAny: as above
    for (const [method, operation] of Object.entries<any>(methods)) {
      if (method === 'get' || !path.startsWith('/api/v1/')) continue;
      const names = operation.parameters.map((p: { name: string }) => p.name);
      const waits = names.includes('wait') && names.includes('timeout');
      if (waits) waiting++;
      if (waits === operation.operationId in TOUCHES_NO_NODE)
        lacking.push(`${operation.operationId}: ${method} ${path}`);
    }
  }
  expect(lacking).toEqual([]);
  expect(waiting).toBeGreaterThan(20);
});
