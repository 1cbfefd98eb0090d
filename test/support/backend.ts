import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { onCleanup } from './cleanup.js';

/** What a backend saw of a request; it answers with this as JSON. */
export interface Seen {
  readonly backend: string;
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

export interface Backend {
  readonly port: number;
  /** All requests so far, oldest first. */
  readonly seen: readonly Seen[];
}

/**
 * An HTTP server that tells in its answer what it was asked. Stopped when the test (or the file) ends.
 *
 * @param answer writes another answer; returns false to leave it to the usual one.
 */
export async function startBackend(
  name: string,
  answer?: (seen: Seen, response: ServerResponse, request: IncomingMessage) => boolean,
): Promise<Backend> {
  const seen: Seen[] = [];
  const server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (chunk: string) => {
      body += chunk;
    });
    request.on('end', () => {
      const { method = '', url = '', headers } = request;
      const entry = { backend: name, method, path: url, headers, body };
      seen.push(entry);
      if (answer?.(entry, response, request)) return;
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify(entry));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onCleanup(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(() => resolve()));
  });
  return { port: (server.address() as AddressInfo).port, seen };
}
