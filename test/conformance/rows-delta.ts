import { expect } from 'vitest';
import { TYPE } from '../../src/core/ads/resource.js';
import { clusters, DELTA, endpoints, made, names, type Row } from './row.js';

const row = (id: string, what: string, run: Row['run']): Row => ({ id, what, variants: DELTA, run });
const VIRTUAL_HOST = 'type.googleapis.com/envoy.config.route.v3.VirtualHost';

/** Delta. */
export const DELTA_ROWS: readonly Row[] = [
  row('X52', 'a first request without names gets all, each with name and version', async (t) => {
    t.publish(clusters('a', 'b', 'c'));
    const [, [all]] = await t.subscribed(TYPE.cluster, [], 1);
    expect(all?.resources.map((r) => r.name).sort()).toEqual(['a', 'b', 'c']);
    for (const { version } of all?.resources ?? []) expect(version).toMatch(/^[0-9a-f]{16}$/);
  }),
  row('X53', 'a change sends what changed only', async (t) => {
    t.publish(clusters('a', 'b', 'c'));
    const [client] = await t.subscribed(TYPE.cluster, [], 1);
    t.publish([made(TYPE.cluster, 'b', '2')]);
    const response = await client.next(TYPE.cluster);
    expect([names(response), response.removed]).toEqual([['b'], []]);
  }),
  row('X54', 'a removal is told in removed_resources', async (t) => {
    t.publish(clusters('a', 'c'));
    const [client] = await t.subscribed(TYPE.cluster, [], 1);
    t.publish([], [{ type: TYPE.cluster, name: 'c' }]);
    const response = await client.next(TYPE.cluster);
    expect([names(response), response.removed]).toEqual([[], ['c']]);
  }),
  row('X55', 'removed and added again with equal content in between: never in both lists', async (t) => {
    const filler = 'x'.repeat(2 << 20);
    t.publish(clusters('a', 'c'));
    const client = t.client({ paused: true });
    client.send({ type: TYPE.cluster });
    await t.idle(t.client({ node: 'probe' }));
    t.publish([made(TYPE.cluster, 'a', filler)]); // closes the window
    t.publish([], [{ type: TYPE.cluster, name: 'c' }]);
    t.publish(clusters('c'));
    client.read();
    await client.until(() => client.responses.length >= 2, 'both responses');
    for (const { resources, removed } of client.responses)
      for (const { name } of resources) expect(removed).not.toContain(name);
    expect(client.responses.flatMap((r) => r.removed)).toEqual([]);
  }),
  row('X56', 'a reconnect gets what differs, and what is gone is removed', async (t) => {
    t.publish(clusters('a', 'b', 'c'));
    const [before, [all]] = await t.subscribed(TYPE.cluster, [], 1);
    before.close();
    const a = all?.resources.find((r) => r.name === 'a')?.version ?? '';
    const client = t.client();
    client.send({ type: TYPE.route, names: ['none'] }); // the routes are known, so nothing holds the removal back
    client.ack(await client.next(TYPE.route));
    client.send({ type: TYPE.cluster, initial: { a, b: 'old', x: 'gone' } });
    const got = [await client.next(TYPE.cluster), await client.next(TYPE.cluster)];
    expect(names(...got)).toEqual(['b', 'c']);
    expect(got.flatMap((r) => r.removed)).toEqual(['x']);
    await t.idle(client);
  }),
  row('X57', 'a name that the client has in this version may be met with silence', async (t) => {
    t.publish(endpoints('a'));
    const [before, [first]] = await t.subscribed(TYPE.endpoint, ['a'], 1);
    before.close();
    const client = t.client();
    client.send({ type: TYPE.endpoint, names: ['a'], initial: { a: first?.resources[0]?.version ?? '' } });
    await t.idle(client);
    t.publish([made(TYPE.endpoint, 'a', '2')]);
    expect(names(await client.next(TYPE.endpoint))).toEqual(['a']);
  }),
  row('X58', 'a name asked for again is sent again', async (t) => {
    t.publish(endpoints('a'));
    const [client] = await t.subscribed(TYPE.endpoint, ['a'], 1);
    client.send({ type: TYPE.endpoint, names: ['a'] });
    expect(names(await client.next(TYPE.endpoint))).toEqual(['a']);
  }),
  row('X59', 'nothing is sent of a name that was unsubscribed', async (t) => {
    t.publish(endpoints('a'));
    const [client] = await t.subscribed(TYPE.endpoint, ['a'], 1);
    client.send({ type: TYPE.endpoint, unsubscribe: ['a'] });
    await t.idle(client);
    t.publish([made(TYPE.endpoint, 'a', '2')]);
    await t.idle(client);
  }),
  row('X60', 'a name unsubscribed and asked for again is sent although unchanged', async (t) => {
    t.publish(endpoints('a'));
    const [client] = await t.subscribed(TYPE.endpoint, ['a'], 1);
    client.send({ type: TYPE.endpoint, unsubscribe: ['a'] });
    client.send({ type: TYPE.endpoint, names: ['a'] });
    expect(names(await client.next(TYPE.endpoint))).toEqual(['a']);
  }),
  row('X61', 'an unknown name is told as removed; an unknown route table as an empty one', async (t) => {
    const client = t.client();
    client.send({ type: TYPE.endpoint, names: ['zz'] });
    const endpointsOf = await client.next(TYPE.endpoint);
    expect([endpointsOf.resources, endpointsOf.removed]).toEqual([[], ['zz']]);
    client.send({ type: TYPE.route, names: ['zz'] });
    const route = await client.next(TYPE.route);
    expect([route.resources.map((r) => [r.name, r.text]), route.removed]).toEqual([[['zz', '\n\x02zz']], []]);
  }),
  row('X62', 'an unknown name is sent once it exists', async (t) => {
    for (const type of [TYPE.endpoint, TYPE.route]) {
      const [client] = await t.subscribed(type, ['zz'], 1);
      t.publish([made(type, 'zz', '1')]);
      expect(names(await client.next(type))).toEqual(['zz']);
    }
  }),
  row('X63', 'the subscription outlives a deletion', async (t) => {
    t.publish(endpoints('zz'));
    const [client] = await t.subscribed(TYPE.endpoint, ['zz'], 1);
    t.publish([], [{ type: TYPE.endpoint, name: 'zz' }]);
    const gone = await client.next(TYPE.endpoint);
    expect(gone.removed).toEqual(['zz']);
    client.ack(gone);
    t.publish(endpoints('zz'));
    expect(names(await client.next(TYPE.endpoint))).toEqual(['zz']);
  }),
  row('X64', 'a name asked for under the wildcard is answered, and the wildcard stays', async (t) => {
    t.publish(clusters('e0', 'e1'));
    const [client] = await t.subscribed(TYPE.cluster, [], 1);
    client.send({ type: TYPE.cluster, names: ['e0'] });
    const response = await client.next(TYPE.cluster);
    expect(names(response)).toEqual(['e0']);
    client.ack(response);
    t.publish([made(TYPE.cluster, 'e1', '2')]);
    expect(names(await client.next(TYPE.cluster))).toEqual(['e1']);
  }),
  row('X65', 'unsubscribing * leaves the names', async (t) => {
    t.publish(clusters('e0', 'e1'));
    const [client] = await t.subscribed(TYPE.cluster, [], 1);
    client.send({ type: TYPE.cluster, names: ['e0'] });
    client.ack(await client.next(TYPE.cluster));
    client.send({ type: TYPE.cluster, unsubscribe: ['*'] });
    await t.idle(client);
    t.publish([made(TYPE.cluster, 'e1', '2')]);
    await t.idle(client);
    t.publish([made(TYPE.cluster, 'e0', '2')]);
    expect(names(await client.next(TYPE.cluster))).toEqual(['e0']);
  }),
  row('X66', '* after a name sends all others', async (t) => {
    t.publish(clusters('e0', 'e1', 'e2'));
    const [client] = await t.subscribed(TYPE.cluster, ['e1'], 1);
    client.send({ type: TYPE.cluster, names: ['*'] });
    expect(names(await client.next(TYPE.cluster))).toEqual(['e0', 'e2']);
  }),
  row('X67', 'a name unsubscribed under the wildcard is told again', async (t) => {
    t.publish(clusters('e1', 'e2'));
    const client = t.client();
    client.send({ type: TYPE.cluster, names: ['*', 'e2', 'e4'] });
    client.ack(await client.next(TYPE.cluster));
    await t.complete(client);
    client.send({ type: TYPE.cluster, unsubscribe: ['e2', 'e4'] });
    const response = await client.next(TYPE.cluster);
    expect([names(response), response.removed]).toEqual([['e2'], ['e4']]);
  }),
  row('X68', 'unsubscribing everything leaves nothing, not the wildcard', async (t) => {
    t.publish(clusters('e0', 'e1'));
    const [client] = await t.subscribed(TYPE.cluster, ['*', 'e0'], 1);
    await t.complete(client);
    client.send({ type: TYPE.cluster, unsubscribe: ['*', 'e0'] });
    await t.idle(client);
    t.publish([made(TYPE.cluster, 'e0', '2'), made(TYPE.cluster, 'e1', '2')]);
    await t.idle(client);
    client.send({ type: TYPE.cluster });
    await t.idle(client);
  }),
  row('X69', 'unsubscribing what was not subscribed is ignored', async (t) => {
    t.publish(clusters('e0', 'e1'));
    const [client] = await t.subscribed(TYPE.cluster, ['e0'], 1);
    client.send({ type: TYPE.cluster, unsubscribe: ['*', 'never'] });
    await t.idle(client);
    t.publish([made(TYPE.cluster, 'e0', '2')]);
    expect(names(await client.next(TYPE.cluster))).toEqual(['e0']);
  }),
  row('X70', 'a name in both lists of one request is asked for', async (t) => {
    t.publish(endpoints('a'));
    const [client] = await t.subscribed(TYPE.endpoint, ['a'], 1);
    client.send({ type: TYPE.endpoint, names: ['a'], unsubscribe: ['a'] });
    expect(names(await client.next(TYPE.endpoint))).toEqual(['a']);
    t.publish([made(TYPE.endpoint, 'a', '2')]);
    expect(names(await client.next(TYPE.endpoint))).toEqual(['a']);
  }),
  row('X71', 'with two responses under way the older may be acknowledged', async (t) => {
    t.publish(endpoints('a', 'b'));
    const client = t.client();
    client.send({ type: TYPE.endpoint, names: ['a', 'b'] });
    const [first, second] = [await client.next(TYPE.endpoint), await client.next(TYPE.endpoint)];
    client.ack(first);
    await t.idle(client);
    expect(t.event('ack')).toMatchObject({ nonce: first.nonce });
    client.ack(second);
    await t.idle(client);
    expect(t.server.streams()[0]?.unanswered).toBe(2); // the fences
  }),
  row('X72', 'a NACK is recorded, its content is not sent again, the next is', async (t) => {
    t.publish(endpoints('a'));
    const client = t.client();
    client.send({ type: TYPE.endpoint, names: ['a'] });
    const response = await client.next(TYPE.endpoint);
    client.nack(response, 'bad port');
    await t.idle(client);
    expect(t.event('nack')).toMatchObject({ nonce: response.nonce, names: ['a'], error: 'bad port' });
    expect(t.server.streams()[0]?.refused).toMatchObject([{ name: 'a', error: 'bad port' }]);
    t.publish([made(TYPE.endpoint, 'a', '2')]);
    expect(names(await client.next(TYPE.endpoint))).toEqual(['a']);
  }),
  row('X73', 'after the NACK of a batch each of it comes alone once; the mended one is sent', async (t) => {
    t.publish([made(TYPE.cluster, 'a', '1'), made(TYPE.cluster, 'b', 'bad')]);
    const client = t.client();
    client.send({ type: TYPE.cluster });
    client.nack(await client.next(TYPE.cluster), 'Error adding/updating cluster(s) b');
    const alone = [await client.next(TYPE.cluster), await client.next(TYPE.cluster)];
    expect(alone.map((r) => names(r))).toEqual([['a'], ['b']]);
    client.ack(alone[0] as never);
    client.nack(alone[1] as never, 'b is bad');
    await t.idle(client);
    t.publish([made(TYPE.cluster, 'b', '2')]);
    expect(names(await client.next(TYPE.cluster))).toEqual(['b']);
  }),
  row('X74', 'a spontaneous request leaves the open response open', async (t) => {
    t.publish(endpoints('a', 'c'));
    const client = t.client();
    client.send({ type: TYPE.endpoint, names: ['a'] });
    const open = await client.next(TYPE.endpoint);
    client.send({ type: TYPE.endpoint, names: ['c'] });
    expect(names(await client.next(TYPE.endpoint))).toEqual(['c']);
    client.nack(open, 'late but heard');
    await t.idle(client);
    expect(t.event('nack')).toMatchObject({ nonce: open.nonce });
  }),
  row('X75', 'one request may acknowledge and subscribe', async (t) => {
    t.publish(endpoints('a', 'c'));
    const client = t.client();
    client.send({ type: TYPE.endpoint, names: ['a'] });
    const { nonce } = await client.next(TYPE.endpoint);
    client.send({ type: TYPE.endpoint, names: ['c'], nonce });
    expect(names(await client.next(TYPE.endpoint))).toEqual(['c']);
    expect(t.event('ack')).toMatchObject({ nonce });
  }),
  row('X76', 'an empty first request for virtual hosts is no wildcard', async (t) => {
    const client = t.client();
    client.send({ type: VIRTUAL_HOST });
    await t.idle(client);
  }),
  row('X77', 'changes while a stream is blocked arrive in their final versions', async (t) => {
    const client = t.client({ paused: true });
    client.send({ type: TYPE.cluster });
    await t.idle(t.client({ node: 'probe' }));
    const filler = 'x'.repeat(2 << 20);
    t.publish([made(TYPE.cluster, 'filler', filler)]); // closes the window
    for (let i = 1; i <= 20; i++) t.publish([made(TYPE.cluster, 'a', `${i}`), made(TYPE.cluster, 'b', `${i}`)]);
    client.read();
    const last = (name: string) => client.responses.flatMap((r) => r.resources).findLast((r) => r.name === name)?.text;
    await client.until(() => last('a') === 'a 20' && last('b') === 'b 20', 'the final versions');
    expect(client.responses.length).toBeLessThan(10);
  }),
  row('X78', 'delta and state-of-the-world clients at once are both right', async (t) => {
    t.publish(clusters('a', 'b'));
    const [delta, sotw] = [t.client(), t.client({ node: 'sotw', variant: 'sotw' })];
    for (const client of [delta, sotw]) {
      client.send({ type: TYPE.cluster });
      client.ack(await client.next(TYPE.cluster));
    }
    t.publish([made(TYPE.cluster, 'a', '2')]);
    expect(names(await delta.next(TYPE.cluster))).toEqual(['a']);
    expect(names(await sotw.next(TYPE.cluster))).toEqual(['a', 'b']);
  }),
];
