import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Backend {
  readonly port: number;
  close(): Promise<void>;
}

/**
 * The demo's backend: answers every request with what it received as JSON; `/status/{n}` answers with that status and
 * `/delay/{ms}` waits at most ten seconds. Listens on loopback only.
 *
 * @throws when the port is taken.
 */
export async function startBackend(port: number): Promise<Backend> {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    let length = 0;
    request.on('data', (chunk: Buffer) => {
      length += chunk.length;
      if (length <= 65_536) chunks.push(chunk);
    });
    request.on('end', () => {
      const path = request.url ?? '/';
      const [, verb, argument] = /^\/(status|delay)\/(\d+)/.exec(path) ?? [];
      const status = verb === 'status' ? Math.min(Math.max(Number(argument), 200), 599) : 200;
      const answer = () => {
        response.writeHead(status, { 'content-type': 'application/json' });
        const body = Buffer.concat(chunks).toString('utf8');
        const seen = {
          method: request.method,
          path,
          app: request.headers['x-gateway-app-id'],
          requestId: request.headers['x-request-id'],
          bytes: length,
        };
        response.end(
          `${JSON.stringify({ message: 'Hello from the backend behind Paifang.', ...seen, ...(body ? { body } : {}) })}\n`,
        );
      };
      if (verb === 'delay') setTimeout(answer, Math.min(Number(argument), 10_000));
      else answer();
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
