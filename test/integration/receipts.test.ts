import { expect, it } from 'vitest';
import { TYPE } from '../../src/core/ads/resource.js';
import { type AdminClient, SHOP, testController } from '../support/admin.js';
import { ENVOY_TYPES, fleetNode, muteNode } from '../support/fleet-nodes.js';
import { testPostgres } from '../support/postgres.js';
import { until } from '../support/until.js';

const base = '/api/v1/workspaces/shop';
const FLEET = 'shop/edge';
const mute = (admin: AdminClient, id: string) =>
  muteNode(admin, id, async () => (await nodeOf(admin, id))?.state === 'in-step');

async function shop(url: string, options: Parameters<typeof testController>[1] = {}): Promise<AdminClient> {
  const admin = await testController(url, options);
  await admin.call('POST', '/api/v1/workspaces', { name: 'shop' });
  await admin.call('POST', `${base}/changesets`, { definitions: SHOP });
  return admin;
}

const edit = (admin: AdminClient, timeoutMs: number, query = 'wait=acked&timeout=10s') =>
  admin.call('PATCH', `${base}/apis/list-orders?publish=true&${query}`, { timeoutMs }, { 'if-match': '*' });
// biome-ignore-start lint/suspicious/noExplicitAny: answers are looked into freely
const at = (receipt: any, id: string) => receipt.nodes.find((n: any) => n.node === id);
const nodesOf = async (admin: AdminClient): Promise<any[]> => (await admin.call('GET', `${base}/nodes`)).body.items;
const nodeOf = async (admin: AdminClient, id: string) => (await nodesOf(admin)).find((n) => n.node === id);
// biome-ignore-end lint/suspicious/noExplicitAny: answers are looked into freely

it('tells when every connected node has a release in force, with the way there', async () => {
  const admin = await shop(await (await testPostgres()).database());
  const [a, b] = [fleetNode(admin, 'a'), fleetNode(admin, 'b')];
  await Promise.all([a.synced(), b.synced()]);
  const reply = await edit(admin, 10);
  expect(reply.status).toBe(200);
  const { receipt, release } = reply.body.outcome;
  expect(receipt).toMatchObject({ release, acked: true, result: 'acked', timedOut: false, fleets: [FLEET] });
  expect(receipt.nodes.map((n: { node: string; state: string }) => [n.node, n.state])).toEqual([
    ['a', 'acked'],
    ['b', 'acked'],
  ]);
  const { timeline } = receipt;
  const steps = [timeline.validatedMs, timeline.storedMs, timeline.compiledMs, timeline.pushedMs];
  expect(steps).toEqual([...steps].sort((x, y) => x - y));
  expect(steps.every((ms) => ms > 0 && ms <= timeline.acknowledgedMs)).toBe(true);
  expect(at(receipt, 'a').types).toEqual([
    {
      type: 'RouteConfiguration',
      changed: 1,
      waiting: 0,
      pushedMs: expect.any(Number),
      ackedMs: expect.any(Number),
    },
  ]);
  // What is asked later tells the same, and so does the release.
  const later = await admin.call('GET', `${base}/releases/${release}/receipt`);
  expect(later.body.timeline).toEqual(timeline);
  expect((await admin.call('GET', `${base}/releases/${release}`)).body.receipt.acked).toBe(true);
  // An edit that makes no release waits for nothing.
  const draft = await admin.call(
    'PATCH',
    `${base}/apis/list-orders?wait=acked`,
    { timeoutMs: 11 },
    { 'if-match': '*' },
  );
  expect(draft.body.outcome).toMatchObject({ release: null });
  expect(draft.body.outcome.receipt).toBeUndefined();
  expect((await admin.call('GET', `${base}/releases/99/receipt`)).status).toBe(404);
  expect((await edit(admin, 12, 'wait=acked&timeout=soon')).status).toBe(400);
});

it('names the node that refused and why, and a later release that helps takes its place', async () => {
  const admin = await shop(await (await testPostgres()).database());
  let refusing = false;
  const picky = fleetNode(admin, 'picky', {
    refuse: ({ type, upserts }) => {
      if (refusing && type === TYPE.route && upserts.length > 0) throw new Error('no such timeout');
    },
  });
  await Promise.all([picky.synced(), fleetNode(admin, 'good').synced()]);
  refusing = true;
  const reply = await edit(admin, 10);
  expect([reply.status, reply.body.outcome.release]).toEqual([200, 2]);
  const { receipt } = reply.body.outcome;
  expect(receipt).toMatchObject({ acked: false, result: 'refused', timedOut: false });
  expect(at(receipt, 'good').state).toBe('acked');
  expect(at(receipt, 'picky')).toMatchObject({
    state: 'refused',
    types: [{ type: 'RouteConfiguration', waiting: 1, refused: { error: 'no such timeout' } }],
  });
  const named = await nodeOf(admin, 'picky');
  expect(named).toMatchObject({ state: 'refusing', release: 1, why: expect.stringContaining('no such timeout') });
  refusing = false;
  const better = await edit(admin, 20);
  expect(better.body.outcome.receipt).toMatchObject({ release: 3, acked: true });
  expect(await nodeOf(admin, 'picky')).toMatchObject({ state: 'in-step', release: 3, drift: 0 });
  // It took what came after 2; that it refused 2 stays told.
  const second = (await admin.call('GET', `${base}/releases/2/receipt`)).body;
  expect(at(second, 'picky')).toMatchObject({ state: 'refused', ackedMs: expect.any(Number) });
});

it('a node that never answers is waited for until the timeout, is late, and is named as stuck', async () => {
  const admin = await shop(await (await testPostgres()).database());
  const client = await mute(admin, 'mute');
  await fleetNode(admin, 'good').synced();
  const reply = await edit(admin, 10, 'wait=acked&timeout=300ms');
  const { receipt } = reply.body.outcome;
  expect(reply.status).toBe(200);
  expect(receipt).toMatchObject({ acked: false, result: 'pending', timedOut: true });
  expect(receipt.waitedMs).toBeGreaterThanOrEqual(300);
  expect([at(receipt, 'mute').state, at(receipt, 'good').state]).toEqual(['pending', 'acked']);
  const late = await until(
    async () => ((r) => at(r, 'mute').late && r)((await admin.call('GET', `${base}/releases/2/receipt`)).body),
    { what: 'it is late', within: 15_000 },
  );
  expect(at(late, 'good').late).toBe(false);
  const stuck = await until(async () => ((n) => n?.state === 'stuck' && n)(await nodeOf(admin, 'mute')), {
    what: 'it is stuck',
    within: 20_000,
  });
  expect(stuck).toMatchObject({
    release: 1,
    drift: 1,
    why: expect.stringMatching(/^1 changes? not answered, for 1\d s/),
  });
  const detail = (await admin.call('GET', `${base}/nodes/mute`)).body;
  expect(detail.drifting).toMatchObject([{ type: TYPE.route, acked: expect.any(String) }]);
  expect(detail.drifting[0].desired).not.toBe(detail.drifting[0].acked);

  // Gone, it is not waited for any more, and is silent after a while.
  client.close();
  await until(async () => (await nodeOf(admin, 'mute')).state === 'away', { what: 'it is away' });
  const without = await edit(admin, 20);
  expect(without.body.outcome.receipt).toMatchObject({ acked: true, timedOut: false });
  expect((await admin.call('GET', `${base}/releases/2/receipt`)).body).toMatchObject({ acked: true });
  const silent = await until(async () => ((n) => n.state === 'silent' && n)(await nodeOf(admin, 'mute')), {
    what: 'it is silent',
    within: 25_000,
  });
  expect(silent.why).toMatch(/no controller has seen it for 1\d s/);
}, 90_000);

it('waits for nodes of other controllers, and each tells of all', async () => {
  const url = await (await testPostgres()).database();
  const a = await shop(url);
  const b = await testController(url, { masterKey: '11'.repeat(32) });
  await Promise.all([fleetNode(a, 'at-a').synced(), fleetNode(b, 'at-b').synced()]);
  for (const admin of [a, b])
    await until(async () => (await nodesOf(admin)).filter((n) => n.state === 'in-step').length === 2, {
      what: 'both nodes are known',
    });
  const [atA, atB] = await nodesOf(a);
  expect(atA.replica).not.toBe(atB.replica);
  for (const [admin, ms] of [
    [a, 10],
    [b, 20],
    [a, 30],
  ] as const) {
    const { receipt } = (await edit(admin, ms)).body.outcome;
    expect(receipt).toMatchObject({ acked: true, timedOut: false });
    expect(receipt.nodes.map((n: { node: string; state: string }) => [n.node, n.state])).toEqual([
      ['at-a', 'acked'],
      ['at-b', 'acked'],
    ]);
  }
  // A release made at one is waited for at the other.
  const { release } = (await edit(a, 40, '')).body.outcome;
  const elsewhere = await b.call('GET', `${base}/releases/${release}/receipt?wait=acked&timeout=10s`);
  expect(elsewhere.body).toMatchObject({ acked: true, timedOut: false, release });
  expect(elsewhere.body.timeline.storedMs).toEqual(expect.any(Number));

  // One that never answers at the other controller keeps the wait.
  const client = await mute(b, 'mute-b');
  await until(async () => (await nodeOf(a, 'mute-b'))?.state === 'in-step', { what: 'a knows of it' });
  const waited = (await edit(a, 50, 'wait=acked&timeout=1s')).body.outcome.receipt;
  expect(waited).toMatchObject({ acked: false, timedOut: true });
  expect(at(waited, 'mute-b').state).toBe('pending');
  client.close();

  // A controller that ends takes its nodes with it.
  await b.close();
  await until(async () => (await nodeOf(a, 'at-b')).connected === false, { what: 'its node is away' });
  expect((await edit(a, 60)).body.outcome.receipt).toMatchObject({ acked: true, timedOut: false });
}, 60_000);

it('receipts, nodes and their uptime outlive a restart', async () => {
  const url = await (await testPostgres()).database();
  const first = await shop(url);
  const before = fleetNode(first, 'a', { metadata: { role: 'edge', node: 'envoy-a' } });
  await before.synced();
  const { receipt } = (await edit(first, 10)).body.outcome;
  const known = await nodeOf(first, 'a');
  expect(known).toMatchObject({ role: 'edge', beside: 'envoy-a', release: 2 });
  before.close();
  await first.close();

  const second = await testController(url);
  const kept = (await second.call('GET', `${base}/releases/2/receipt`)).body;
  expect(kept.timeline).toEqual(receipt.timeline);
  expect(at(kept, 'a')).toMatchObject({ state: 'acked', connected: false, ackedMs: at(receipt, 'a').ackedMs });
  expect(await nodeOf(second, 'a')).toMatchObject({ connected: false, release: 2 });
  await fleetNode(second, 'a').synced();
  const again = await until(async () => ((n) => n.release === 2 && n.connected && n)(await nodeOf(second, 'a')), {
    what: 'it is back',
  });
  expect(again).toMatchObject({ firstSeenAt: known.firstSeenAt, upSince: known.upSince });
  expect(Date.parse(again.connectedAt)).toBeGreaterThan(Date.parse(known.connectedAt));
  // What was released before the restart can still be waited for.
  const wait = await second.call('GET', `${base}/releases/2/receipt?wait=acked&timeout=5s`);
  expect(wait.body).toMatchObject({ acked: true, timedOut: false });
});

it('a workspace that is made anew counts anew', async () => {
  const admin = await shop(await (await testPostgres()).database());
  await fleetNode(admin, 'a').synced();
  for (const ms of [10, 20, 30]) expect((await edit(admin, ms)).body.outcome.receipt.acked).toBe(true);
  await admin.call('POST', `${base}/changesets`, { definitions: {}, prune: true });
  expect((await admin.call('DELETE', base)).status).toBe(204);
  await until(async () => (await admin.call('GET', '/api/v1/status')).body.workspaces.length === 0, {
    what: 'it is gone',
  });
  await admin.call('POST', '/api/v1/workspaces', { name: 'shop' });
  await admin.call('POST', `${base}/changesets`, { definitions: SHOP });
  await until(async () => ((n) => n?.state === 'in-step' && n.release === 1)(await nodeOf(admin, 'a')), {
    what: 'the node is back',
    within: 20_000,
  });
  const { receipt } = (await edit(admin, 10)).body.outcome;
  expect(receipt).toMatchObject({ release: 2, acked: true });
  expect(at(receipt, 'a').types).toMatchObject([{ type: 'RouteConfiguration', changed: 1, waiting: 0 }]);
  expect((await admin.call('GET', `${base}/releases/4`)).status).toBe(404);
});

it('a node that takes nothing of what changed has the release in force', async () => {
  const admin = await shop(await (await testPostgres()).database());
  await fleetNode(admin, 'edge', { types: [TYPE.policy, TYPE.app, TYPE.serviceKey] }).synced();
  const { receipt } = (await edit(admin, 10)).body.outcome;
  expect(receipt).toMatchObject({ acked: true, nodes: [{ node: 'edge', state: 'acked', types: [] }] });
  // A key is no release: nothing that was in force is open again.
  await admin.call('POST', `${base}/apps/mobile/credentials`, { accessKey: 'ak' });
  await until(async () => ((n) => n.drift === 0 && n.release === 2)(await nodeOf(admin, 'edge')), {
    what: 'the key is there',
  });
  expect((await admin.call('GET', `${base}/releases/2/receipt`)).body.nodes[0].types).toEqual([]);
});

it('shows one object as desired, delivered and acknowledged at each node, without secrets', async () => {
  const admin = await shop(await (await testPostgres()).database());
  const secret = (await admin.call('POST', `${base}/apps/mobile/credentials`, { accessKey: 'ak' })).body.secretKey;
  await fleetNode(admin, 'all', { types: [...ENVOY_TYPES, TYPE.app, TYPE.policy] }).synced();
  const ask = (type: string, id: string) =>
    admin.call('GET', `/console/config?type=${type}&resourceId=${encodeURIComponent(id)}`);
  const id = async (kind: string, name: string) => (await admin.call('GET', `${base}/${kind}/${name}`)).body.id;
  const [api, group, cluster, app] = await Promise.all([
    id('apis', 'list-orders'),
    id('groups', 'shop'),
    id('clusters', 'orders'),
    id('apps', 'mobile'),
  ]);
  for (const [type, resourceId] of [
    ['Router', api],
    ['Router', `${group}|${api}`],
    ['Router', 'list-orders'],
    ['RouterGroup', group],
    ['Service', cluster],
    ['Server', cluster],
    ['Metadata', app],
  ] as const) {
    const { status, body, text } = await ask(type, resourceId);
    expect([type, resourceId, status]).toEqual([type, resourceId, 200]);
    const [fleet] = body.fleets;
    expect(fleet).toMatchObject({ fleet: FLEET, nodes: [{ node: 'all', inStep: true }] });
    expect(fleet.nodes[0]).toMatchObject({ delivered: fleet.desired.version, acknowledged: fleet.desired.version });
    expect(text).not.toContain(secret);
  }
  const router = (await ask('Router', api)).body.fleets[0].desired.content;
  expect(router).toHaveLength(1);
  expect(router[0]).toMatchObject({ name: api });
  expect((await ask('Router', 'nothing')).status).toBe(404);
  expect((await ask('Else', api)).status).toBe(400);
  const anyone = await admin.call('GET', `/console/config?type=Router&resourceId=${api}`, undefined, {
    authorization: '',
  });
  expect(anyone.status).toBe(401);
});
