import { beforeAll, expect, it } from 'vitest';
import { TYPE } from '../../src/core/ads/resource.js';
import { AdsClient, type AdsUpdate } from '../../src/wire/ads-client.js';
import { XdsClient } from '../conformance/xds-client.js';
import { type AdminClient, SHOP, testController } from '../support/admin.js';
import { onCleanup } from '../support/cleanup.js';
import { testPostgres } from '../support/postgres.js';
import { until } from '../support/until.js';

const base = '/api/v1/workspaces/shop';
const FLEET = 'shop/edge';
const TYPES = [TYPE.cluster, TYPE.endpoint, TYPE.listener, TYPE.route, TYPE.scope];

/** A node that takes everything, except what `refuse` throws at. */
function node(
  controller: { adsPort: number; nodeToken: string },
  id: string,
  options: { refuse?: (update: AdsUpdate) => void; types?: readonly string[]; metadata?: Record<string, string> } = {},
) {
  const states: string[] = [];
  const client = AdsClient.start({
    address: `127.0.0.1:${controller.adsPort}`,
    node: { id, cluster: FLEET, ...(options.metadata && { metadata: options.metadata }) },
    token: controller.nodeToken,
    subscriptions: (options.types ?? TYPES).map((type) => ({ type, wildcard: true })),
    onUpdate: (update) => options.refuse?.(update),
    onState: (state) => states.push(state.kind),
  });
  onCleanup(() => client.close());
  return {
    close: () => client.close(),
    synced: () => until(() => states.includes('synced'), { what: `${id} in step` }),
  };
}

/** A node that reads everything and acknowledges nothing after its first deliveries. */
async function mute(controller: { adsPort: number; nodeToken: string }, id: string) {
  const client = new XdsClient(controller.adsPort, 'delta', { id, cluster: FLEET }, { token: controller.nodeToken });
  for (const type of TYPES) client.send({ type, names: ['*'] });
  const first = new Set<string>(TYPES);
  while (first.size > 0) {
    const response = await client.next();
    client.ack(response);
    if (response.resources.length === 0) first.delete(response.type);
    else if (response.type !== TYPE.route) first.delete(response.type);
    else first.delete(TYPE.route);
  }
  return client;
}

async function shop(url: string, options: Parameters<typeof testController>[1] = {}): Promise<AdminClient> {
  const admin = await testController(url, options);
  await admin.call('POST', '/api/v1/workspaces', { name: 'shop' });
  await admin.call('POST', `${base}/changesets`, { definitions: SHOP });
  return admin;
}

const edit = (admin: AdminClient, timeoutMs: number, query = 'wait=acked&timeout=10s') =>
  admin.call('PATCH', `${base}/apis/list-orders?publish=true&${query}`, { timeoutMs }, { 'if-match': '*' });
// biome-ignore lint/suspicious/noExplicitAny: a receipt that is looked into freely
const at = (receipt: any, id: string) => receipt.nodes.find((n: any) => n.node === id);

let url: string;
beforeAll(async () => {
  url = await (await testPostgres()).database();
});

it('tells when every connected node has a release in force, with the way there', async () => {
  const admin = await shop(url);
  const [a, b] = [node(admin, 'a'), node(admin, 'b')];
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
