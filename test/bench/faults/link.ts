import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { onCleanup } from '../../support/cleanup.js';

/** How a link is: whole; late by some milliseconds in both directions; cut; or open with nothing passing. */
export type LinkState =
  | { readonly kind: 'whole' | 'cut' | 'half-open' }
  | { readonly kind: 'slow'; readonly ms: number };

export interface Link {
  readonly name: string;
  readonly port: number;
  set(state: LinkState): void;
}

/**
 * A way from a node to the controllers, as a TCP load balancer would be: each connection goes to the next of `targets`
 * that takes it. Ended with the process.
 */
export async function startLink(name: string, targets: readonly number[]): Promise<Link> {
  let state: LinkState = { kind: 'whole' };
  let turn = 0;
  const sockets = new Set<Socket>();
  const hold = (socket: Socket) => {
    sockets.add(socket);
    socket.setNoDelay(true).on('error', () => {});
    socket.once('close', () => sockets.delete(socket));
    if (state.kind === 'half-open') socket.pause();
  };
  const pass = (from: Socket, to: Socket) => {
    // What is under way stays in order when a link becomes fast again.
    let lastDue = 0;
    from.on('data', (bytes) => {
      const due = Math.max(lastDue, performance.now() + (state.kind === 'slow' ? state.ms : 0));
      lastDue = due;
      const wait = due - performance.now();
      if (wait <= 0) to.write(bytes);
      else setTimeout(() => to.destroyed || to.write(bytes), wait);
    });
    from.once('close', () => to.destroy());
  };
  const join = (near: Socket, left: number) => {
    const far = connect(targets[turn++ % targets.length] as number, '127.0.0.1');
    let joined = false;
    hold(far);
    far.once('connect', () => {
      joined = true;
      pass(near, far);
      pass(far, near);
      if (near.destroyed) far.destroy();
    });
    far.once('close', () => {
      if (joined) return;
      if (left > 1 && !near.destroyed) join(near, left - 1);
      else near.destroy();
    });
  };
  const server = createServer((near) => {
    if (state.kind === 'cut') {
      near.destroy();
      return;
    }
    hold(near);
    join(near, targets.length);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onCleanup(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  return {
    name,
    port: (server.address() as AddressInfo).port,
    set(next) {
      state = next;
      for (const socket of sockets) {
        if (next.kind === 'cut') socket.destroy();
        else if (next.kind === 'half-open') socket.pause();
        else socket.resume();
      }
    },
  };
}
