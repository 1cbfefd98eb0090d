import { status } from '@grpc/grpc-js';
import { expect } from 'vitest';
import { TYPE } from '../../src/core/ads/resource.js';
import { AdsServer } from '../../src/wire/ads-server.js';
import { KEEPALIVE } from '../../src/wire/ads-service.js';
import { onCleanup } from '../support/cleanup.js';
import { until } from '../support/until.js';
import { NODE_PING_MS } from './keepalive.js';
import { RawStream } from './raw-stream.js';
import { BOTH, clusters, endpoints, FLEET, made, names, type Row } from './row.js';

/** Streams and the handling of requests. */
export const STREAM_ROWS: readonly Row[] = [
  {
    id: 'X01',
    what: 'a request without type_url ends its stream with INVALID_ARGUMENT; others live on',
    variants: BOTH,
    async run(t) {
      const other = t.client({ node: 'other' });
      other.send({ type: TYPE.cluster });
      await other.next(TYPE.cluster);
      const client = t.client();
      client.send({ type: '' });
      expect((await client.end()).code).toBe(status.INVALID_ARGUMENT);
      await t.idle(other);
    },
  },
  {
    id: 'X02',
    what: 'a first request without node or node.id is refused with INVALID_ARGUMENT, an unknown fleet with NOT_FOUND',
    variants: BOTH,
    async run(t) {
      const nobody = t.client();
      nobody.send({ type: TYPE.cluster, node: null });
      expect((await nobody.end()).code).toBe(status.INVALID_ARGUMENT);
      const nameless = t.client();
      nameless.send({ type: TYPE.cluster, node: { id: '', cluster: FLEET } });
      expect((await nameless.end()).code).toBe(status.INVALID_ARGUMENT);
      const stranger = t.client({ fleet: 'acme/new' });
      stranger.send({ type: TYPE.cluster });
      const end = await stranger.end();
      expect(end.code).toBe(status.NOT_FOUND);
      expect(end.details).toContain('acme/new');
      t.publish(clusters('a'), [], 'acme/new');
      const again = t.client({ fleet: 'acme/new' });
      again.send({ type: TYPE.cluster });
      expect(names(await again.next(TYPE.cluster))).toEqual(['a']);
    },
  },
  {
    id: 'X03',
    what: 'a second request without node is answered for the same node',
    variants: BOTH,
    async run(t) {
      t.publish([...clusters('a'), ...endpoints('a')]);
      const client = t.client();
      client.send({ type: TYPE.cluster });
      await client.next(TYPE.cluster);
      client.send({ type: TYPE.endpoint, names: ['a'] });
      expect(names(await client.next(TYPE.endpoint))).toEqual(['a']);
      expect(t.server.streams().map((s) => [s.node, s.fleet])).toEqual([['node-1', FLEET]]);
    },
  },
  {
    id: 'X04',
    what: 'an unknown type is not answered, and the stream goes on',
    variants: BOTH,
    async run(t) {
      const client = t.client();
      client.send({ type: 'type.googleapis.com/example.Unknown', names: ['x'] });
      await t.idle(client);
    },
  },
  {
    id: 'X05',
    what: 'four types on one stream are each answered once with nonces of their own',
    variants: BOTH,
    async run(t) {
      t.publish([...clusters('a'), ...endpoints('a'), made(TYPE.listener, 'l', '1'), made(TYPE.route, 'r', '1')]);
      const client = t.client();
      client.send({ type: TYPE.route, names: ['r'] });
      client.send({ type: TYPE.cluster });
      client.send({ type: TYPE.endpoint, names: ['a'] });
      client.send({ type: TYPE.listener });
      const got = [await client.next(), await client.next(), await client.next(), await client.next()];
      expect(got.map((r) => r.type).sort()).toEqual([TYPE.cluster, TYPE.endpoint, TYPE.listener, TYPE.route].sort());
      expect(new Set(got.map((r) => r.nonce)).size).toBe(4);
      await t.idle(client);
    },
  },
  {
    id: 'X06',
    what: 'a change of one fleet reaches its nodes only',
    variants: BOTH,
    async run(t) {
      t.publish([], [], 'acme/other');
      const [one, two] = [t.client(), t.client({ node: 'two', fleet: 'acme/other' })];
      for (const client of [one, two]) {
        client.send({ type: TYPE.cluster });
        client.ack(await client.next(TYPE.cluster));
      }
      t.publish(clusters('a'));
      expect(names(await one.next(TYPE.cluster))).toEqual(['a']);
      t.publish([made(TYPE.policy, 'far', '1')], [], 'acme/other');
      two.send({ type: TYPE.policy, names: ['far'] });
      expect(names(await two.next(TYPE.policy))).toEqual(['far']);
    },
  },
  {
    id: 'X07',
    what: 'two streams of one node both get a change, with independent nonces',
    variants: BOTH,
    async run(t) {
      const [one, two] = [t.client(), t.client()];
      for (const client of [one, two]) {
        client.send({ type: TYPE.cluster });
        client.ack(await client.next(TYPE.cluster));
      }
      t.publish(clusters('a'));
      for (const client of [one, two]) {
        const response = await client.next(TYPE.cluster);
        expect([names(response), response.nonce]).toEqual([['a'], '2']);
        client.ack(response);
        await t.idle(client);
      }
    },
  },
  {
    id: 'X08',
    what: 'a stream that is cancelled or half-closed is forgotten',
    variants: BOTH,
    async run(t) {
      const [cancelled, halfClosed, stays] = [t.client(), t.client(), t.client({ node: 'stays' })];
      for (const client of [cancelled, halfClosed, stays]) {
        client.send({ type: TYPE.cluster });
        await client.next(TYPE.cluster);
      }
      expect(t.server.streams()).toHaveLength(3);
      cancelled.close();
      halfClosed.call.end();
      expect((await halfClosed.end()).code).toBe(status.OK);
      await until(() => t.server.streams().length === 1, { what: 'the other streams to be forgotten' });
      expect(t.server.streams().map((s) => s.node)).toEqual(['stays']);
    },
  },
  {
    id: 'X09',
    what: 'at shut-down every stream ends with UNAVAILABLE in bounded time',
    variants: BOTH,
    async run(t) {
      const clients = [t.client(), t.client({ node: 'two' })];
      for (const client of clients) {
        client.send({ type: TYPE.cluster });
        await client.next(TYPE.cluster);
      }
      await t.server.close();
      for (const client of clients) expect((await client.end()).code).toBe(status.UNAVAILABLE);
    },
  },
  {
    id: 'X10',
    what: 'a client that goes away during a push to many does not touch the others',
    variants: BOTH,
    async run(t) {
      const clients = Array.from({ length: 30 }, (_, i) => t.client({ node: `n${i}` }));
      for (const client of clients) client.send({ type: TYPE.cluster });
      for (const client of clients) await client.next(TYPE.cluster);
      clients[0]?.close();
      t.publish(clusters('a'));
      for (const client of clients.slice(1)) expect(names(await client.next(TYPE.cluster))).toEqual(['a']);
    },
  },
  {
    id: 'X11',
    what: 'a client that reads nothing costs bounded memory and gets the newest state when it reads',
    variants: BOTH,
    async run(t) {
      const client = t.client({ paused: true });
      client.send({ type: TYPE.cluster });
      const probe = t.client({ node: 'probe' });
      await t.idle(probe);
      const filler = 'x'.repeat(100_000);
      for (let i = 1; i <= 1_000; i++) t.publish([made(TYPE.cluster, 'a', `${i} ${filler}`)]);
      const sent = t.events.filter((e) => e.kind === 'sent' && e.node === 'node-1').length;
      expect(sent).toBeLessThan(50);
      client.read();
      await client.until(
        () => client.responses.at(-1)?.resources.at(-1)?.text.startsWith('a 1000 ') ?? false,
        'the newest',
      );
      expect(client.responses.length).toBeLessThan(60);
    },
  },
  {
    id: 'X12',
    what: 'malformed bytes end their stream with an error; the server lives',
    variants: BOTH,
    async run(t) {
      const hostile = t.client();
      hostile.raw(Buffer.from([0xff, 0xff, 0xff, 0xff, 0x01]));
      expect((await hostile.end()).code).toBe(status.INVALID_ARGUMENT);
      await t.idle(t.client());
    },
  },
  {
    id: 'X13',
    what: 'a stream without a word lives on: pings go both ways, more than in ten minutes, and nobody is told to go away',
    variants: BOTH,
    async run(t) {
      const server = await AdsServer.start({ host: '127.0.0.1', port: 0, keepaliveMs: 20 });
      onCleanup(() => server.close());
      server.publish(FLEET, { upserts: clusters('a'), removals: [] });
      const stream = new RawStream(server.port, t.variant, { id: 'silent', cluster: FLEET });
      stream.ask(TYPE.cluster);
      await until(() => stream.texts.includes('a 1'), { what: 'the first response' });
      const pings = 600_000 / Math.min(...NODE_PING_MS);
      for (let i = 0; i < pings; i++) await stream.ping();
      await until(() => stream.pings >= 600_000 / KEEPALIVE['grpc.keepalive_time_ms'], { what: "the server's pings" });
      expect([stream.goneAway, stream.closed]).toEqual([false, false]);
      server.publish(FLEET, { upserts: clusters('b'), removals: [] });
      await until(() => stream.texts.includes('b 1'), { what: 'a change, after all that silence' });
    },
  },
  {
    id: 'X14',
    what: 'a request of 5 MB is taken',
    variants: BOTH,
    async run(t) {
      t.publish(clusters('a'));
      const client = t.client();
      client.send({ type: TYPE.route, names: ['none'] }); // the routes are known, so nothing holds removals back
      if (t.variant === 'delta') client.ack(await client.next(TYPE.route));
      const many = Array.from({ length: 60_000 }, (_, i) => `${'n'.repeat(70)}${i}`);
      const initial = Object.fromEntries(many.map((name) => [name, 'v']));
      client.send(t.variant === 'delta' ? { type: TYPE.cluster, initial } : { type: TYPE.endpoint, names: many });
      if (t.variant === 'delta') {
        expect(names(await client.next(TYPE.cluster))).toEqual(['a']);
        const removed = new Set<string>();
        while (removed.size < 60_000) for (const name of (await client.next(TYPE.cluster)).removed) removed.add(name);
      }
      await t.idle(client);
    },
  },
  {
    id: 'X15',
    what: 'a response larger than 4 MB is sent',
    variants: BOTH,
    async run(t) {
      t.publish([made(TYPE.route, 'big', 'x'.repeat(5 << 20))]);
      const client = t.client();
      client.send({ type: TYPE.route, names: ['big'] });
      const end = await client.end().catch(() => undefined);
      // gRPC's own default is 4 MB: the client refuses, the server did send (Envoy has no such limit).
      expect(end?.code).toBe(status.RESOURCE_EXHAUSTED);
      expect(t.events.some((e) => e.kind === 'sent' && e.names.includes('big'))).toBe(true);
    },
  },
  {
    id: 'X31',
    what: 'each response has a nonce of its own, also when the content returns to an earlier state',
    variants: BOTH,
    async run(t) {
      const nonces: string[] = [];
      t.publish([made(TYPE.cluster, 'a', '1')]);
      const [client, first] = await t.subscribed(TYPE.cluster, [], 1);
      nonces.push(...first.map((r) => r.nonce));
      for (const text of ['2', '1']) {
        t.publish([made(TYPE.cluster, 'a', text)]);
        const response = await client.next(TYPE.cluster);
        client.ack(response);
        nonces.push(response.nonce);
      }
      expect(new Set(nonces).size).toBe(3);
    },
  },
];
