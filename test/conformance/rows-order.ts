import { status } from '@grpc/grpc-js';
import { expect } from 'vitest';
import { TYPE } from '../../src/core/ads/resource.js';
import { type Bench, BOTH, clusters, endpoints, FLEET, made, names, type Row } from './row.js';
import type { Response, XdsClient } from './xds-client.js';

const row = (id: string, what: string, run: Row['run']): Row => ({ id, what, variants: BOTH, run });

/** A client that has asked for clusters, endpoints of `eds`, listeners and route tables `rds`, and has acknowledged `count` responses. */
async function four(
  t: Bench,
  eds: string[],
  rds: string[],
  count: number,
): Promise<[XdsClient, (r: Response) => void]> {
  const client = t.client();
  const wanted: Record<string, string[]> = { [TYPE.endpoint]: eds, [TYPE.route]: rds };
  const ack = (response: Response) => client.ack(response, wanted[response.type] ?? []);
  client.send({ type: TYPE.cluster });
  client.send({ type: TYPE.endpoint, names: eds });
  client.send({ type: TYPE.listener });
  client.send({ type: TYPE.route, names: rds });
  for (let i = 0; i < count; i++) ack(await client.next());
  await t.idle(client);
  return [client, ack];
}

const uses = (name: string) => [{ type: TYPE.cluster, name }];

/** Order, and the load of many streams. */
export const ORDER_ROWS: readonly Row[] = [
  row(
    'X79',
    'a new state is sent as clusters, endpoints, listeners, routes; routes after the endpoints are acknowledged',
    async (t) => {
      t.publish([
        ...clusters('a'),
        ...endpoints('a'),
        made(TYPE.listener, 'l', '1'),
        made(TYPE.route, 'r', '1', uses('a')),
      ]);
      const [client, ack] = await four(t, ['a', 'b'], ['r'], t.variant === 'delta' ? 5 : 4);
      t.publish([
        made(TYPE.route, 'r', '2', uses('b')),
        made(TYPE.listener, 'l', '2'),
        ...endpoints('b'),
        ...clusters('b'),
      ]);
      const first = [
        await client.next(TYPE.cluster),
        await client.next(TYPE.endpoint),
        await client.next(TYPE.listener),
      ];
      await t.idle(client);
      expect(t.server.streams()[0]?.held).toMatchObject([{ type: TYPE.route, name: 'r', why: 'warming' }]);
      ack(first[1] as Response);
      expect(names(await client.next(TYPE.route))).toEqual(['r']);
    },
  ),
  row('X80', 'routes let go of a cluster before it is removed', async (t) => {
    t.publish([
      ...clusters('a', 'b'),
      ...endpoints('a', 'b'),
      made(TYPE.route, 'r', '1', [...uses('a'), ...uses('b')]),
    ]);
    const [client, ack] = await four(t, ['a', 'b'], ['r'], 5);
    const gone = [TYPE.cluster, TYPE.endpoint].map((type) => ({ type, name: 'b' }));
    t.publish([made(TYPE.route, 'r', '2', uses('a'))], gone);
    const route = await client.next(TYPE.route);
    await t.idle(client);
    ack(route);
    const after = await client.next(TYPE.cluster);
    if (t.variant === 'delta') expect(after.removed).toEqual(['b']);
    else expect(names(after)).toEqual(['a']);
  }),
  row('X81', 'what was queued for a name that is unsubscribed meanwhile is dropped', async (t) => {
    const client = t.client({ paused: true });
    t.publish([...clusters('a'), ...endpoints('a', 'b'), made(TYPE.cluster, 'filler', 'x'.repeat(2 << 20))]);
    client.send({ type: TYPE.cluster });
    client.send({ type: TYPE.endpoint, names: ['a', 'b'] });
    await t.idle(t.client({ node: 'probe' }));
    client.send(
      t.variant === 'delta' ? { type: TYPE.endpoint, unsubscribe: ['b'] } : { type: TYPE.endpoint, names: ['a'] },
    );
    await t.idle(t.client({ node: 'probe-2' }));
    client.read();
    const got = [await client.next(TYPE.cluster)];
    if (t.variant === 'delta') got.push(await client.next());
    await client.until(() => client.responses.length > 0 || got.some((r) => r.type === TYPE.endpoint), 'endpoints');
    const seen = [...got, ...client.responses].filter((r) => r.type === TYPE.endpoint);
    expect(names(...seen)).toEqual(['a']);
  }),
  row('X82', 'the endpoints of a changed cluster are sent again', async (t) => {
    t.publish([...clusters('c', 'd'), ...endpoints('c', 'd')]);
    const [client] = await four(t, ['c', 'd'], ['none'], t.variant === 'delta' ? 5 : 4);
    t.publish([made(TYPE.cluster, 'c', '2')]);
    expect(names(await client.next(TYPE.cluster))).toContain('c');
    expect(names(await client.next(TYPE.endpoint))).toEqual(['c']);
    await t.idle(client);
  }),
  row('X97', 'one publish reaches 100 streams, encoded once', async (t) => {
    const clients = Array.from({ length: 100 }, (_, i) => t.client({ node: `n${i}` }));
    for (const client of clients) client.send({ type: TYPE.cluster });
    for (const client of clients) await client.next(TYPE.cluster);
    t.publish([made(TYPE.cluster, 'a', 'x'.repeat(100_000))]);
    for (const client of clients) expect(names(await client.next(TYPE.cluster))).toEqual(['a']);
  }),
  row(
    'X98',
    'a stream that the server ends has been answered, and its client comes back to the same state',
    async (t) => {
      t.publish(clusters('a'));
      const [client, [first]] = await t.subscribed(TYPE.cluster, [], 1);
      t.server.removeFleet(FLEET);
      expect((await client.end()).code).toBe(status.NOT_FOUND);
      t.publish(clusters('a'));
      const again = t.client();
      const a = first?.resources[0]?.version ?? '';
      again.send({ type: TYPE.cluster, initial: { a } });
      if (t.variant === 'sotw') expect(names(await again.next(TYPE.cluster))).toEqual(['a']);
      await t.idle(again);
    },
  ),
];
