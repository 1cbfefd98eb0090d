import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** One path of the endpoints. Rejections become 500 with the message. */
export interface Endpoint {
  readonly methods: readonly string[];
  answer(query: URLSearchParams): Promise<EndpointAnswer> | EndpointAnswer;
}

export interface EndpointAnswer {
  /** Default 200. */
  readonly status?: number;
  /** Objects are sent as JSON, texts as they are. */
  readonly body: object | string;
}

export interface NodeEndpoints {
  /** In the order of the ports asked for. */
  readonly ports: readonly number[];
  close(): Promise<void>;
}

const HOST = '127.0.0.1';
const LOOPBACK = /^(?:127\.\d+\.\d+\.\d+|localhost|\[::1\])(?::\d+)?$/i;

/**
 * Operators' endpoints of one node, on loopback only. All paths are served on every port: the two ports are where the
 * operations handbook looks for them. Requests that a web page could have made (foreign Host, cross-site) are refused.
 * @param ports with the name of the setting that chose each, for the error when a port is taken; 0 takes any.
 */
export async function startNodeEndpoints(
  ports: readonly { readonly port: number; readonly setting: string }[],
  endpoints: ReadonlyMap<string, Endpoint>,
): Promise<NodeEndpoints> {
  const servers: Server[] = [];
  const close = async () => {
    await Promise.all(
      servers.map(
        (server) =>
          new Promise<void>((resolve) => {
            server.close(() => resolve());
            server.closeAllConnections();
          }),
      ),
    );
  };
  try {
    for (const { port, setting } of ports) {
      const server = createServer((request, response) => void serve(endpoints, request, response));
      await listen(server, port, setting);
      servers.push(server);
    }
  } catch (error) {
    await close();
    throw error;
  }
  return { ports: servers.map((server) => (server.address() as AddressInfo).port), close };
}

function listen(server: Server, port: number, setting: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const taken = error.code === 'EADDRINUSE';
      reject(
        taken
          ? new Error(`Port ${port} on ${HOST} is in use. Free it, or choose another with ${setting} (0: any).`)
          : error,
      );
    });
    server.listen(port, HOST, resolve);
  });
}

async function serve(
  endpoints: ReadonlyMap<string, Endpoint>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  request.resume();
  const url = URL.parse(request.url ?? '/', 'http://node');
  const endpoint = url ? endpoints.get(url.pathname) : undefined;
  if (!LOOPBACK.test(request.headers.host ?? '') || request.headers['sec-fetch-site'] === 'cross-site') {
    return send(response, {
      status: 403,
      body: { error: 'Only for this machine: call it as 127.0.0.1 or localhost.' },
    });
  }
  if (!url || !endpoint) {
    return send(response, { status: 404, body: { error: 'No such path.', paths: [...endpoints.keys()] } });
  }
  if (!endpoint.methods.includes(request.method ?? '')) {
    response.setHeader('allow', endpoint.methods.join(', '));
    return send(response, { status: 405, body: { error: `Use ${endpoint.methods.join(' or ')}.` } });
  }
  try {
    send(response, await endpoint.answer(url.searchParams));
  } catch (error) {
    send(response, { status: 500, body: { error: error instanceof Error ? error.message : String(error) } });
  }
}

function send(response: ServerResponse, { status = 200, body }: EndpointAnswer): void {
  const text = typeof body === 'string';
  response.writeHead(status, {
    'content-type': text ? 'text/plain; version=0.0.4; charset=utf-8' : 'application/json',
    'cache-control': 'no-store',
  });
  response.end(text ? body : `${JSON.stringify(body, undefined, 2)}\n`);
}
