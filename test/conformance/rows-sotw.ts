import { expect } from 'vitest';
import { TYPE } from '../../src/core/ads/resource.js';
import { until } from '../support/until.js';
import { clusters, endpoints, made, names, type Row, SOTW } from './row.js';

type Check = Row['run'];
const row = (id: string, what: string, run: Check): Row => ({ id, what, variants: SOTW, run });

/** State of the world: versions, nonces, answers, subscriptions. */
export const SOTW_ROWS: readonly Row[] = [
  row('X16', 'a first request gets one response with version, nonce and all resources', async (t) => {
    t.publish(clusters('a', 'b'));
    const client = t.client();
    client.send({ type: TYPE.cluster });
    const response = await client.next(TYPE.cluster);
    expect(names(response)).toEqual(['a', 'b']);
    expect(response.version).toMatch(/^[0-9a-f]{16}$/);
    expect(response.nonce).not.toBe('');
  }),
  row('X17', 'an ACK is met with silence', async (t) => {
    t.publish(clusters('a'));
    const [client] = await t.subscribed(TYPE.cluster, [], 1);
    await t.idle(client);
  }),
  row('X18', 'a new version is sent exactly once with a new nonce', async (t) => {
    t.publish(clusters('a'));
    const [client, [first]] = await t.subscribed(TYPE.cluster, [], 1);
    t.publish([made(TYPE.cluster, 'a', '2')]);
    const response = await client.next(TYPE.cluster);
    expect(response.version).not.toBe(first?.version);
    expect(response.nonce).not.toBe(first?.nonce);
    client.ack(response);
    await t.idle(client);
  }),
  row('X19', 'equal content is not sent again', async (t) => {
    t.publish(clusters('a'));
    const [client] = await t.subscribed(TYPE.cluster, [], 1);
    t.publish(clusters('a'));
    await t.idle(client);
  }),
  row('X20', 'a request with a stale nonce is ignored', async (t) => {
    t.publish([...endpoints('a'), ...endpoints('b')]);
    const client = t.client();
    client.send({ type: TYPE.endpoint, names: ['a'] });
    const first = await client.next(TYPE.endpoint);
    t.publish([made(TYPE.endpoint, 'a', '2')]);
    const second = await client.next(TYPE.endpoint);
    client.ack(first, ['a', 'b']);
    await t.idle(client);
    client.ack(second, ['a']);
    await t.idle(client);
  }),
  row(
    'X21',
    'changed names in a stale request are answered once, after they come again with the newest nonce',
    async (t) => {
      t.publish([...endpoints('a'), ...endpoints('b')]);
      const client = t.client();
      client.send({ type: TYPE.endpoint, names: ['a'] });
      const first = await client.next(TYPE.endpoint);
      t.publish([made(TYPE.endpoint, 'a', '2')]);
      const second = await client.next(TYPE.endpoint);
      client.ack(first, ['a', 'b']);
      client.ack(second, ['a', 'b']);
      const third = await client.next(TYPE.endpoint);
      expect(names(third)).toEqual(['b']);
      client.ack(third, ['a', 'b']);
      await t.idle(client);
    },
  ),
  row('X22', 'a NACK is recorded with node, type, nonce and text, and nothing is sent again', async (t) => {
    t.publish(clusters('a'));
    const [client] = await t.subscribed(TYPE.cluster, [], 1);
    t.publish([made(TYPE.cluster, 'a', 'bad')]);
    const response = await client.next(TYPE.cluster);
    client.nack(response, 'no such thing');
    await t.idle(client);
    expect(t.event('nack')).toMatchObject({
      node: 'node-1',
      type: TYPE.cluster,
      nonce: response.nonce,
      error: 'no such thing',
      names: ['a'],
    });
  }),
  row('X23', 'after a NACK the next version is sent', async (t) => {
    t.publish(clusters('a'));
    const [client] = await t.subscribed(TYPE.cluster, [], 1);
    t.publish([made(TYPE.cluster, 'a', 'bad')]);
    const refused = await client.next(TYPE.cluster);
    client.nack(refused, 'bad');
    t.publish([made(TYPE.cluster, 'a', '3')]);
    const response = await client.next(TYPE.cluster);
    expect(response.resources[0]?.text).toBe('a 3');
    expect(response.nonce).not.toBe(refused.nonce);
  }),
  row('X24', 'refused content published again is not sent again', async (t) => {
    t.publish(endpoints('a'));
    const [client] = await t.subscribed(TYPE.endpoint, ['a'], 1);
    t.publish([made(TYPE.endpoint, 'a', 'bad')]);
    client.nack(await client.next(TYPE.endpoint), 'bad', ['a']);
    t.publish([made(TYPE.endpoint, 'a', 'bad')]);
    await t.idle(client);
  }),
  row('X25', 'a name added after a NACK is answered', async (t) => {
    t.publish(endpoints('a', 'b'));
    const client = t.client();
    client.send({ type: TYPE.endpoint, names: ['a'] });
    const response = await client.next(TYPE.endpoint);
    client.nack(response, 'bad', ['a']);
    client.send({ type: TYPE.endpoint, names: ['a', 'b'], nonce: response.nonce });
    expect(names(await client.next(TYPE.endpoint))).toEqual(['b']);
  }),
  row('X26', 'error_detail makes a NACK whatever the version', async (t) => {
    t.publish(endpoints('a'));
    const client = t.client();
    client.send({ type: TYPE.endpoint, names: ['a'] });
    const { nonce, version } = await client.next(TYPE.endpoint);
    client.send({ type: TYPE.endpoint, names: ['a'], nonce, version, error: 'bad' });
    await t.idle(client);
    expect(t.event('nack')).toMatchObject({ nonce, error: 'bad' });
  }),
  row('X27', 'the nonce with an old version and no error is an ACK', async (t) => {
    t.publish(endpoints('a'));
    const client = t.client();
    client.send({ type: TYPE.endpoint, names: ['a'] });
    const { nonce } = await client.next(TYPE.endpoint);
    client.send({ type: TYPE.endpoint, names: ['a'], nonce, version: 'older' });
    await t.idle(client);
    expect(t.event('ack')).toMatchObject({ nonce, names: ['a'] });
    expect(t.event('nack')).toBeUndefined();
  }),
  row('X28', 'a reconnect with the current version gets the current content', async (t) => {
    t.publish(clusters('a'));
    const [before, [first]] = await t.subscribed(TYPE.cluster, [], 1);
    before.close();
    const client = t.client();
    client.send({ type: TYPE.cluster, version: first?.version ?? '' });
    expect((await client.next(TYPE.cluster)).version).toBe(first?.version);
  }),
  row('X29', 'a reconnect with an unknown version gets the full state', async (t) => {
    t.publish(clusters('a', 'b'));
    const client = t.client();
    client.send({ type: TYPE.cluster, version: 'v57' });
    expect(names(await client.next(TYPE.cluster))).toEqual(['a', 'b']);
  }),
  row('X30', 'other content has another version, equal content the same, in whatever order it came', async (t) => {
    t.publish(clusters('a', 'b'));
    const [client, [first]] = await t.subscribed(TYPE.cluster, [], 1);
    t.publish([made(TYPE.cluster, 'a', '2')]);
    const second = await client.next(TYPE.cluster);
    client.ack(second);
    expect(second.version).not.toBe(first?.version);
    t.publish([], [{ type: TYPE.cluster, name: 'a' }]);
    client.ack(await client.next(TYPE.cluster));
    t.publish(clusters('a'));
    expect((await client.next(TYPE.cluster)).version).toBe(first?.version);
  }),
  row('X32', 'an empty first request for clusters means all', async (t) => {
    t.publish(clusters('a', 'b', 'c'));
    const [client, [all]] = await t.subscribed(TYPE.cluster, [], 1);
    expect(names(all as never)).toEqual(['a', 'b', 'c']);
    await t.idle(client);
  }),
  row('X33', 'an added cluster comes with all others', async (t) => {
    t.publish(clusters('a', 'b', 'c'));
    const [client] = await t.subscribed(TYPE.cluster, [], 1);
    t.publish(clusters('d'));
    expect(names(await client.next(TYPE.cluster))).toEqual(['a', 'b', 'c', 'd']);
  }),
  row('X34', 'a removed cluster is missing from the full state', async (t) => {
    t.publish(clusters('a', 'b', 'c', 'd'));
    const [client] = await t.subscribed(TYPE.cluster, [], 1);
    t.publish([], [{ type: TYPE.cluster, name: 'a' }]);
    expect(names(await client.next(TYPE.cluster))).toEqual(['b', 'c', 'd']);
  }),
  row('X35', 'removing all sends an empty response', async (t) => {
    t.publish(clusters('a', 'b'));
    const [client] = await t.subscribed(TYPE.cluster, [], 1);
    t.publish(
      [],
      ['a', 'b'].map((name) => ({ type: TYPE.cluster, name })),
    );
    expect((await client.next(TYPE.cluster)).resources).toEqual([]);
  }),
  row('X36', 'names after an empty first request end the wildcard', async (t) => {
    t.publish(clusters('b', 'c'));
    const [client, [first]] = await t.subscribed(TYPE.cluster, [], 1);
    client.send({ type: TYPE.cluster, names: ['b'], nonce: first?.nonce ?? '', version: first?.version ?? '' });
    const named = await client.next(TYPE.cluster);
    expect(names(named)).toEqual(['b']);
    client.ack(named, ['b']);
    t.publish([made(TYPE.cluster, 'c', '2')]);
    await t.idle(client);
  }),
  row('X37', 'an empty request after names means nothing, not all', async (t) => {
    t.publish(clusters('b', 'c'));
    const [client, [first]] = await t.subscribed(TYPE.cluster, ['b'], 1);
    client.send({ type: TYPE.cluster, names: [], nonce: first?.nonce ?? '', version: first?.version ?? '' });
    await t.idle(client);
    t.publish([made(TYPE.cluster, 'b', '2'), made(TYPE.cluster, 'c', '2')]);
    await t.idle(client);
  }),
  row('X38', '* means all', async (t) => {
    t.publish(clusters('a', 'b', 'c'));
    const client = t.client();
    client.send({ type: TYPE.cluster, names: ['*'] });
    expect(names(await client.next(TYPE.cluster))).toEqual(['a', 'b', 'c']);
  }),
  row('X39', 'leaving * out ends the wildcard', async (t) => {
    t.publish(clusters('b', 'c'));
    const [client, [first]] = await t.subscribed(TYPE.cluster, ['*', 'b'], 1);
    client.send({ type: TYPE.cluster, names: ['b'], nonce: first?.nonce ?? '', version: first?.version ?? '' });
    await t.idle(client);
    t.publish([made(TYPE.cluster, 'c', '2')]);
    await t.idle(client);
  }),
  row('X40', 'named endpoints come, others do not', async (t) => {
    t.publish(endpoints('a', 'b', 'c'));
    const [client, got] = await t.subscribed(TYPE.endpoint, ['a', 'b'], 2);
    expect(names(...got)).toEqual(['a', 'b']);
    await t.idle(client);
  }),
  row('X41', 'a change of an endpoint set nobody asked for is not sent', async (t) => {
    t.publish(endpoints('a', 'b', 'c'));
    const [client] = await t.subscribed(TYPE.endpoint, ['a', 'b'], 2);
    t.publish([made(TYPE.endpoint, 'c', '2')]);
    await t.idle(client);
  }),
  row('X42', 'a changed endpoint set is sent', async (t) => {
    t.publish(endpoints('a', 'b'));
    const [client] = await t.subscribed(TYPE.endpoint, ['a', 'b'], 2);
    t.publish([made(TYPE.endpoint, 'a', '2')]);
    expect((await client.next(TYPE.endpoint)).resources.map((r) => r.text)).toContain('a 2');
  }),
  row('X43', 'a newly named endpoint set is sent although nothing changed', async (t) => {
    t.publish(endpoints('a', 'b', 'c'));
    const [client, got] = await t.subscribed(TYPE.endpoint, ['a', 'b'], 2);
    client.send({ type: TYPE.endpoint, names: ['a', 'b', 'c'], nonce: got[1]?.nonce ?? '' });
    expect(names(await client.next(TYPE.endpoint))).toContain('c');
  }),
  row('X44', 'a name dropped and named again is sent again', async (t) => {
    t.publish(endpoints('a', 'c'));
    const [client, got] = await t.subscribed(TYPE.endpoint, ['a', 'c'], 2);
    const nonce = got[1]?.nonce ?? '';
    client.send({ type: TYPE.endpoint, names: ['a'], nonce });
    client.send({ type: TYPE.endpoint, names: ['a', 'c'], nonce });
    expect(names(await client.next(TYPE.endpoint))).toContain('c');
  }),
  row('X45', 'dropping a name is met with silence', async (t) => {
    t.publish(endpoints('a', 'b'));
    const [client, got] = await t.subscribed(TYPE.endpoint, ['a', 'b'], 2);
    client.send({ type: TYPE.endpoint, names: ['a'], nonce: got[1]?.nonce ?? '' });
    await t.idle(client);
    t.publish([made(TYPE.endpoint, 'b', '2')]);
    await t.idle(client);
  }),
  row('X46', 'an unknown name is met with silence', async (t) => {
    for (const type of [TYPE.endpoint, TYPE.route]) {
      const client = t.client();
      client.send({ type, names: ['zz'] });
      await t.idle(client);
    }
  }),
  row('X47', 'an unknown name is sent once it exists', async (t) => {
    const client = t.client();
    client.send({ type: TYPE.route, names: ['zz'] });
    await t.idle(client);
    t.publish([made(TYPE.route, 'zz', '1')]);
    expect(names(await client.next(TYPE.route))).toEqual(['zz']);
  }),
  row('X48', 'what exists is sent at once, whatever else was asked for', async (t) => {
    t.publish(endpoints('a'));
    const client = t.client();
    client.send({ type: TYPE.endpoint, names: ['a', 'zz'] });
    expect(names(await client.next(TYPE.endpoint))).toEqual(['a']);
    t.publish(endpoints('zz'));
    expect(names(await client.next(TYPE.endpoint))).toEqual(['zz']);
  }),
  row('X49', 'no response has a name twice, and each resource has the type of the response', async (t) => {
    t.publish([...clusters('a', 'b'), ...endpoints('a', 'b')]);
    const client = t.client();
    client.send({ type: TYPE.cluster, names: ['*', 'a'] });
    client.send({ type: TYPE.endpoint, names: ['a', 'b', 'a'] });
    const got = [await client.next(), await client.next(), await client.next()];
    for (const response of got) {
      expect(new Set(names(response)).size).toBe(response.resources.length);
      for (const resource of response.resources) expect(resource.type).toBe(response.type);
    }
  }),
  row('X50', 'a name asked for twice in one request is one', async (t) => {
    t.publish(endpoints('a'));
    const client = t.client();
    client.send({ type: TYPE.endpoint, names: ['a', 'a'] });
    expect(names(await client.next(TYPE.endpoint))).toEqual(['a']);
    await t.idle(client);
  }),
  row('X51', 'versions published before the ACK: the last one arrives, no more responses than states', async (t) => {
    t.publish([made(TYPE.cluster, 'a', '1')]);
    const client = t.client();
    client.send({ type: TYPE.cluster });
    const first = await client.next(TYPE.cluster);
    for (const text of ['2', '3', '4']) t.publish([made(TYPE.cluster, 'a', text)]);
    client.ack(first);
    const texts: string[] = [];
    while (texts.at(-1) !== 'a 4') {
      const response = await client.next(TYPE.cluster);
      client.ack(response);
      texts.push(response.resources[0]?.text ?? '');
    }
    expect(texts.length).toBeLessThanOrEqual(3);
    await t.idle(client);
  }),
  row('X95', 'no heartbeats and no wrapped resources', async (t) => {
    t.publish(clusters('a'));
    const [client, [first]] = await t.subscribed(TYPE.cluster, [], 1);
    expect(first?.resources[0]?.type).toBe(TYPE.cluster);
    await t.idle(client);
  }),
  {
    id: 'X99',
    what: 'a client that comes back keeps what it had until what takes its place is there, and one that was started anew does not',
    variants: SOTW,
    async run(t) {
      const to = (table: string) => made(TYPE.scope, 'host', `to ${table}`, [{ type: TYPE.route, name: table }]);
      t.publish([made(TYPE.route, 'old', '1'), to('old')]);
      const first = t.client();
      first.send({ type: TYPE.scope });
      const scopes = await first.next(TYPE.scope);
      first.ack(scopes);
      first.send({ type: TYPE.route, names: ['old'] });
      first.ack(await first.next(TYPE.route), ['old']);
      await t.idle(first);
      first.close();
      await until(() => t.server.streams().length === 0, { what: 'the stream to end' });
      // Moved while nobody was there.
      t.publish([made(TYPE.route, 'new', '1'), to('new')]);
      const back = t.client();
      back.send({ type: TYPE.scope, version: scopes.version });
      back.send({ type: TYPE.route, names: ['old'], version: '1' });
      back.ack(await back.next(TYPE.route), ['old']);
      const kept = await back.next(TYPE.scope);
      expect(kept.resources.map((r) => r.text).filter((text) => text.startsWith('host'))).toEqual(['host to old']);
      const anew = t.client();
      anew.send({ type: TYPE.scope });
      expect((await anew.next(TYPE.scope)).resources.map((r) => r.text)).toEqual(['host to new']);
      // The table is introduced, taken, and only then the host moves.
      back.ack(kept);
      back.send({ type: TYPE.route, names: ['new', 'old'], version: '1' });
      back.ack(await back.next(TYPE.route), ['new', 'old']);
      expect((await back.next(TYPE.scope)).resources.map((r) => r.text)).toContain('host to new');
    },
  },
];
