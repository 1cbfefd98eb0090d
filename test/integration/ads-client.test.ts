import { status } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { resource, TYPE } from '../../src/core/ads/resource.js';
import { AdsClient, type AdsClientState, type AdsUpdate } from '../../src/wire/ads-client.js';
import type { AdsEvent } from '../../src/wire/ads-events.js';
import { AdsServer } from '../../src/wire/ads-server.js';
import { addLogService, createLogClient } from '../../src/wire/log-service.js';
import { onCleanup } from '../support/cleanup.js';
import { freePort } from '../support/ports.js';
import { until } from '../support/until.js';

const FLEET = 'acme/prod';
const policy = (name: string, text = name) => resource(TYPE.policy, name, Buffer.from(text));

async function startServer(port = 0, upserts = [policy('p1')], events: AdsEvent[] = []): Promise<AdsServer> {
  const server = await AdsServer.start({ host: '127.0.0.1', port, nodeToken: 'right', onEvent: (e) => events.push(e) });
  onCleanup(() => server.close());
  server.publish(FLEET, { upserts, removals: [] });
  return server;
}

function startClient(
  port: number,
  options: { token?: string; types?: string[]; refuse?: (update: AdsUpdate) => boolean } = {},
) {
  const updates: AdsUpdate[] = [];
  const states: AdsClientState[] = [];
  const client = AdsClient.start({
    address: `127.0.0.1:${port}`,
    node: { id: 'edge-1', cluster: FLEET },
    ...(options.token !== undefined && { token: options.token }),
    subscriptions: (options.types ?? [TYPE.policy]).map((type) => ({ type, wildcard: true })),
    onUpdate(update) {
      if (options.refuse?.(update)) throw new Error('cannot read it');
      updates.push(update);
    },
    onState: (state) => states.push(state),
  });
  onCleanup(() => client.close());
  const has = (kind: AdsClientState['kind']) => until(() => states.some((s) => s.kind === kind), { what: kind });
  return { client, updates, states, has };
}

const names = (updates: readonly AdsUpdate[]) =>
  updates.flatMap((u) => [...u.upserts.map((r) => r.name), ...u.removals.map((r) => `-${r}`)]);

describe('the ADS client', () => {
  it('gets what there is, is synced, follows changes and asks for names', async () => {
    const server = await startServer();
    const { client, updates, has } = startClient(server.port);
    await has('synced');
    expect(names(updates)).toEqual(['p1']);
    server.publish(FLEET, { upserts: [policy('p2')], removals: [] });
    await until(() => names(updates).includes('p2'), { what: 'the change' });
    client.request(TYPE.policy, ['p1', 'unknown']);
    await until(() => names(updates).includes('-unknown'), { what: 'the answer' });
    expect(names(updates).filter((name) => name === 'p1')).toHaveLength(2);
  });

  it('is synced with a fleet that has nothing for it', async () => {
    const server = await startServer(0, []);
    await startClient(server.port).has('synced');
  });

  it('comes back after a loss and gets only what differs', async () => {
    const port = await freePort();
    const first = await startServer(port, [policy('p1'), policy('p2')]);
    const { updates, states, has } = startClient(port);
    await has('synced');
    await first.close();
    await until(() => states.some((s) => s.kind === 'disconnected'), { what: 'the loss to be noticed' });
    const seen = updates.length;
    await startServer(port, [policy('p1'), policy('p3')]);
    await until(() => names(updates).includes('p3'), { what: 'the difference' });
    expect(names(updates.slice(seen))).not.toContain('p1');
  });

  it('refuses an update it cannot take, and the server knows', async () => {
    const events: AdsEvent[] = [];
    const server = await startServer(0, [policy('bad')], events);
    startClient(server.port, { refuse: (update) => update.upserts.some((r) => r.name === 'bad') });
    const nack = await until(() => events.find((e) => e.kind === 'nack'), { what: 'a NACK' });
    expect(nack).toMatchObject({ node: 'edge-1', type: TYPE.policy, names: ['bad'], error: 'cannot read it' });
  });

  it('gets types that hold secrets only with the node token', async () => {
    const app = resource(TYPE.app, 'app', Buffer.from('key'));
    const server = await startServer(0, [app]);
    const reason = async (token?: string) => {
      const { states } = startClient(server.port, { types: [TYPE.app], ...(token !== undefined && { token }) });
      const state = await until(() => states.find((s) => s.kind === 'disconnected'), { what: 'a refusal' });
      return state.kind === 'disconnected' ? state.reason : '';
    };
    expect(await reason()).toContain('PERMISSION_DENIED');
    expect(await reason('wrong')).toContain('UNAUTHENTICATED');
    const { updates, has } = startClient(server.port, { types: [TYPE.app], token: 'right' });
    await has('synced');
    expect(names(updates)).toEqual(['app']);
  });

  it('says which port when the server cannot listen', async () => {
    const server = await startServer();
    await expect(AdsServer.start({ host: '127.0.0.1', port: server.port })).rejects.toThrow(`127.0.0.1:${server.port}`);
  });
});

describe('the log collector', () => {
  async function collector(
    collect: Parameters<typeof addLogService>[1]['collect'],
    nodeToken: string | undefined = 'right',
  ) {
    const server = await AdsServer.start({
      host: '127.0.0.1',
      port: 0,
      services: (grpc) => addLogService(grpc, { collect, nodeToken }),
    });
    onCleanup(() => server.close());
    return (token?: string) => {
      const client = createLogClient(`127.0.0.1:${server.port}`, token);
      onCleanup(() => client.close());
      return client;
    };
  }
  const batch = { node: 'n', cluster: FLEET, file: 'f', offset: 7n, lines: Buffer.from('{}\n') };

  it('takes a batch and tells up to where it is stored', async () => {
    const got: string[] = [];
    const client = await collector(async ({ node, offset, lines }) => {
      got.push(`${node} ${offset} ${Buffer.from(lines)}`);
      return { storedTo: offset + BigInt(lines.length), unparsed: 1 };
    });
    expect(await client('right').ship(batch)).toMatchObject({ storedTo: 10n, unparsed: 1 });
    expect(got).toEqual(['n 7 {}\n']);
  });

  it('hears nobody without the token', async () => {
    const client = await collector(() => Promise.reject(new Error('must not be asked')));
    for (const token of [undefined, 'wrong'])
      await expect(client(token).ship(batch)).rejects.toMatchObject({ code: status.UNAUTHENTICATED });
    const open = await collector(() => Promise.reject(new Error('must not be asked')), '');
    await expect(open('').ship(batch)).rejects.toMatchObject({ code: status.UNAUTHENTICATED });
  });

  it('answers UNAVAILABLE with the reason when the store fails', async () => {
    const client = await collector(() => Promise.reject(new Error('the log store is away')));
    await expect(client('right').ship(batch)).rejects.toMatchObject({
      code: status.UNAVAILABLE,
      details: 'the log store is away',
    });
  });
});
