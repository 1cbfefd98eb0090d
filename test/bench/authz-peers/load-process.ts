// The load of the bench, in a process of its own: closed loop over kept connections. Told what to do by messages.
import { connect as connectHttp2 } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { signRequest } from '../../../src/core/decision/sign-request.js';
import { CHECK_METHOD } from '../../../src/edge/authz/authz.js';
import { framedCheckRequest } from '../../../src/edge/authz/warm-up.js';
import { IDS } from '../../support/edge-envoy.js';
import { KEYS, keyOf } from './keys.js';

export interface Order {
  readonly kind: 'plain' | 'signed' | 'body' | 'unsigned' | 'sidecar';
  readonly ms: number;
  readonly port: number;
  readonly socket: string;
}
export interface Done {
  readonly requests: number;
  /** Answers with a status other than the one that is right for the order. */
  readonly wrong: number;
  readonly ms: number;
  /** Median time from request to answer, in ms. */
  readonly p50: number;
}

const CONNECTIONS = 32;
const DIFFERENT = 2000;
const HOST = 'bench.example.com';
const BODY = Buffer.alloc(1024, 'b');
const agent = ['user-agent: bench/1', 'accept: */*', 'cookie: session=0123456789abcdef0123456789abcdef'];

process.on('disconnect', () => process.exit());
const requests = new Map<Order['kind'], Buffer[]>();
process.on('message', (order: Order) => {
  const run = order.kind === 'sidecar' ? sidecar(order) : http(order);
  run.then((done) => process.send?.(done));
});
process.send?.('ready');

function signedHeaders(n: number, method: string, target: string, body?: Buffer) {
  const { accessKey, secret } = keyOf((n * 7919) % KEYS);
  const cover = body ? ['(request-target)', 'host', 'date', 'digest'] : ['(request-target)', 'host', 'date'];
  return signRequest({ method, target, headers: [['host', HOST]], body, accessKey, secret, cover, nowMs: Date.now() })
    .headers;
}

/** Different requests, made once. Signatures stay good for 15 minutes; the bench takes less than two. */
function prepared(kind: Order['kind']): Buffer[] {
  let made = requests.get(kind);
  if (!made) {
    made = Array.from({ length: DIFFERENT }, (_, n) => oneRequest(kind, n));
    requests.set(kind, made);
  }
  return made;
}

function oneRequest(kind: Order['kind'], n: number): Buffer {
  const target = kind === 'plain' ? '/plain-backend' : `/orders/${n}?page=${n % 10}&size=20`;
  const body = kind === 'body' ? BODY : undefined;
  const method = body ? 'POST' : 'GET';
  const own = kind === 'signed' || kind === 'body' ? signedHeaders(n, method, target, body) : [];
  const lines = [
    `${method} ${target} HTTP/1.1`,
    `host: ${HOST}`,
    ...agent,
    ...own.map(([name, value]) => `${name}: ${value}`),
  ];
  if (body) lines.push(`content-length: ${body.length}`, 'content-type: application/json');
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`), body ?? Buffer.alloc(0)]);
}

async function http(order: Order): Promise<Done> {
  const made = prepared(order.kind);
  const right = order.kind === 'unsigned' ? '400' : '200';
  const times: number[] = [];
  let sent = 0;
  let wrong = 0;
  let over = false;
  const one = () =>
    new Promise<void>((resolve, reject) => {
      const socket = connect(order.port, '127.0.0.1');
      let began = 0;
      const next = () => {
        if (over) {
          socket.destroy();
          resolve();
          return;
        }
        began = performance.now();
        socket.write(made[sent++ % made.length] as Buffer);
      };
      socket.setNoDelay(true);
      socket.on('connect', next).on('error', reject);
      answers(socket, (status) => {
        times.push(performance.now() - began);
        if (status !== right) wrong++;
        next();
      });
    });
  const began = performance.now();
  setTimeout(() => {
    over = true;
  }, order.ms);
  await Promise.all(Array.from({ length: CONNECTIONS }, one));
  return { requests: times.length, wrong, ms: performance.now() - began, p50: median(times) };
}

/** Calls `answered` with the status of each whole answer; answers have a content-length. */
function answers(socket: Socket, answered: (status: string) => void): void {
  let rest = '';
  socket.on('data', (chunk) => {
    rest += chunk.toString('latin1');
    const head = rest.indexOf('\r\n\r\n');
    if (head < 0) return;
    const length = /\r\ncontent-length: (\d+)/i.exec(rest.slice(0, head))?.[1] ?? '0';
    if (rest.length < head + 4 + Number(length)) return;
    const status = rest.slice(9, 12);
    rest = rest.slice(head + 4 + Number(length));
    answered(status);
  });
}

/** Checks straight at the edge, over one HTTP/2 connection as Envoy holds it. */
async function sidecar(order: Order): Promise<Done> {
  const context = { policy: IDS.policy, api: IDS.api, group: IDS.group };
  const checks = Array.from({ length: DIFFERENT }, (_, n) =>
    framedCheckRequest('GET', `/orders/${n}`, HOST, signedHeaders(n, 'GET', `/orders/${n}`), undefined, context),
  );
  const session = connectHttp2('http://edge', { path: order.socket });
  const times: number[] = [];
  let wrong = 0;
  let over = false;
  let sent = 0;
  const one = async () => {
    while (!over) {
      const began = performance.now();
      if ((await check(checks[sent++ % checks.length] as Buffer)) !== '0') wrong++;
      times.push(performance.now() - began);
    }
  };
  const check = (message: Buffer) =>
    new Promise<string>((resolve) => {
      const stream = session.request({
        ':method': 'POST',
        ':path': CHECK_METHOD,
        'content-type': 'application/grpc',
        te: 'trailers',
      });
      let status = '';
      stream.on('trailers', (trailers) => {
        status = String(trailers['grpc-status']);
      });
      stream.on('close', () => resolve(status)).resume();
      stream.end(message);
    });
  const began = performance.now();
  setTimeout(() => {
    over = true;
  }, order.ms);
  await Promise.all(Array.from({ length: CONNECTIONS }, one));
  const ms = performance.now() - began;
  session.close();
  return { requests: times.length, wrong, ms, p50: median(times) };
}

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}
