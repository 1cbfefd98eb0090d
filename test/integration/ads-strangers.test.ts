import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { connect as connectTcp, type Server, type Socket } from 'node:net';
import { Client, credentials, type ServiceError, status } from '@grpc/grpc-js';
import { beforeAll, describe, expect, it } from 'vitest';
import { AdsStream } from '../../src/wire/ads-stream.js';
import { addLogService, LOG_COLLECTOR } from '../../src/wire/log-service.js';
import { tokenMetadata } from '../../src/wire/node-token.js';
import { TlsListener } from '../../src/wire/tls-listener.js';
import { fleetUri } from '../support/authority.js';
import { onCleanup } from '../support/cleanup.js';
import {
  ask,
  authority,
  FLEET,
  files,
  guardedDir,
  OTHER,
  open,
  SERVER_NAMES,
  security,
  serve,
} from '../support/guarded-ads.js';
import { until } from '../support/until.js';

// What can be done to the port before anything is proved.

beforeAll(() => {
  guardedDir();
});

const silent = (port: number, say?: Buffer): Socket => {
  const socket = connectTcp(port, '127.0.0.1', () => say && socket.write(say));
  socket.on('error', () => {});
  onCleanup(() => void socket.destroy());
  return socket.resume();
};

describe('a handshake that is begun and not gone on with', () => {
  it.each([
    ['without a byte', undefined],
    ['in the middle of a ClientHello', Buffer.from('16030102000100', 'hex')],
  ])('%s ends with its connection', async (_, said) => {
    const issued = authority.issue({ name: 'controller', alternatives: SERVER_NAMES });
    const refused: string[] = [];
    const listener = await TlsListener.start({
      ...{ host: '127.0.0.1', port: 0, demand: true, handshakeMs: 100 },
      certificates: await open(files(`half-${Math.random()}`, issued)),
      onConnection: () => {},
      onRefused: (_peer, reason) => refused.push(reason),
    });
    onCleanup(() => listener.close());
    const sockets = Array.from({ length: 20 }, () => silent(listener.port, said));
    await until(() => sockets.every((socket) => socket.closed), { what: 'all to be disconnected' });
    expect(refused).toEqual(sockets.map(() => 'it did not finish the handshake in time'));
  });
});

it('connections that cannot be accepted are told, and end nothing', async () => {
  const servers: Server[] = [];
  const seen = (message: unknown) => servers.push((message as { server: Server }).server);
  subscribe('tracing:net.server.listen:asyncStart', seen);
  onCleanup(() => void unsubscribe('tracing:net.server.listen:asyncStart', seen));
  const { server, refused } = await serve();
  const [listening] = servers;
  // As Node.js does when there are no descriptors left.
  const lack = Object.assign(new Error('accept EMFILE'), { code: 'EMFILE' });
  for (let i = 0; i < 3; i++) listening?.emit('error', lack);
  expect(refused.map(({ at, message }) => [at, message])).toEqual(
    [1, 2, 3].map(() => ['handshake', 'it could not be accepted: EMFILE']),
  );
  const mine = await security(authority.issue({ name: 'n', alternatives: [fleetUri(FLEET)] }));
  expect((await ask(server.port, { security: mine })).names).toEqual(['p']);
});

it('a refusal does not look through what all streams have', async () => {
  const { server, refused } = await serve();
  const mine = await security(authority.issue({ name: 'n', alternatives: [fleetUri(FLEET, 'gw-1')] }));
  const held = await ask(server.port, { security: mine });
  const { info } = AdsStream.prototype;
  let looks = 0;
  AdsStream.prototype.info = function counted(this: AdsStream) {
    looks++;
    return info.call(this);
  };
  onCleanup(() => {
    AdsStream.prototype.info = info;
  });
  expect((await ask(server.port, { security: mine, fleet: OTHER })).ended).toBeDefined();
  expect(refused).toHaveLength(1);
  expect(looks).toBe(0);
  expect(held.ended).toBeUndefined();
});

it('no batch of log lines is read from who proves nothing', async () => {
  const collect = async () => ({ storedTo: 7n, unparsed: 0 });
  const { server } = await serve({ services: (grpc) => addLogService(grpc, { collect, nodeToken: 'shared' }) }, false);
  const client = new Client(`127.0.0.1:${server.port}`, credentials.createInsecure());
  onCleanup(() => client.close());
  const { path, requestSerialize, responseDeserialize } = LOG_COLLECTOR.ship;
  const call = (token?: string) => {
    const codes: (number | undefined)[] = [];
    const answer = (error: ServiceError | null) => void codes.push(error?.code);
    const metadata = tokenMetadata(token);
    const stream = client.makeClientStreamRequest(path, requestSerialize, responseDeserialize, metadata, answer);
    stream.on('error', () => {});
    return { stream, codes };
  };
  // It is refused although its message has not come yet.
  const stranger = call();
  expect(await until(() => stranger.codes[0], { what: 'the refusal' })).toBe(status.UNAUTHENTICATED);
  const empty = call('shared');
  empty.stream.end();
  expect(await until(() => empty.codes[0], { what: 'the refusal of nothing' })).toBe(status.INVALID_ARGUMENT);
});
