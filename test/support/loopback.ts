import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { onCleanup } from './cleanup.js';

/** Servers on one port of several loopback addresses; each answers with its address. Returns the port. */
export async function startOnLoopback(addresses: readonly string[]): Promise<number> {
  let port = 0;
  for (const address of addresses) {
    const server = createServer((_, response) => response.end(address));
    await new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, address, resolve));
    port = (server.address() as AddressInfo).port;
    onCleanup(() => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    });
  }
  return port;
}
