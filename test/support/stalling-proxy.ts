import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { onCleanup } from './cleanup.js';

/** A way to a server that can become silent: connections stay open, new ones are taken, and nothing passes. */
export interface StallingProxy {
  readonly port: number;
  stall(): void;
  /** Becomes silent once `text` has passed to the server: it does what it was told, and its answer does not come. */
  stallAfter(text: string): void;
  /** Lets everything pass again, also what waits. */
  resume(): void;
}

/** Passes bytes between 127.0.0.1:`port` of its own and 127.0.0.1:`target`. Ended with the test. */
export async function startStallingProxy(target: number): Promise<StallingProxy> {
  let stalled = false;
  let last: string | undefined;
  const sockets = new Set<Socket>();
  const hold = (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.once('close', () => sockets.delete(socket));
    if (stalled) socket.pause();
  };
  const stall = () => {
    stalled = true;
    for (const socket of sockets) socket.pause();
  };
  const server = createServer((near) => {
    const far = connect(target, '127.0.0.1');
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      hold(from);
      from.on('data', (bytes) => {
        to.write(bytes);
        if (from === near && last !== undefined && bytes.includes(last)) stall();
      });
      from.once('close', () => to.destroy());
      if (stalled) from.pause();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onCleanup(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  return {
    port: (server.address() as AddressInfo).port,
    stall,
    stallAfter(text) {
      last = text;
    },
    resume() {
      stalled = false;
      last = undefined;
      for (const socket of sockets) socket.resume();
    },
  };
}
