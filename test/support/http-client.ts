import { Agent, type IncomingHttpHeaders, request } from 'node:http';
import { onCleanup } from './cleanup.js';

/** An answer, whole. */
export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  /** Whether the connection had carried a request before. */
  readonly reused: boolean;
}

export interface Ask {
  readonly method?: string;
  /** Headers as they go out; several values of one name go out as several headers. */
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  readonly body?: string | Buffer;
}

/** A client of 127.0.0.1:`port` that sends exactly the path and headers it is given, and keeps connections open. */
export function httpClient(port: number): (path: string, ask?: Ask) => Promise<Answer> {
  const agent = new Agent({ keepAlive: true, maxSockets: 8 });
  onCleanup(() => agent.destroy());
  return (path, { method = 'GET', headers = {}, body } = {}) =>
    new Promise((resolve, reject) => {
      const outgoing = Object.fromEntries(
        Object.entries(headers).map(([k, v]) => [k, typeof v === 'string' ? v : [...v]]),
      );
      const call = request({ host: '127.0.0.1', port, path, method, headers: outgoing, agent }, (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          text += chunk;
        });
        response.on('error', reject);
        response.on('end', () => {
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            body: text,
            reused: call.reusedSocket,
          });
        });
      });
      call.on('error', reject);
      call.end(body);
    });
}
