// The load of a bench, and the backend it ends at, in a process of their own, so that neither waits for the bench.
import { type AddressInfo, createServer } from 'node:net';
import { Connection } from './connection.js';

/** What may be asked for. */
export interface Target {
  readonly path: string;
  readonly host: string;
}

export type Order =
  | { readonly kind: 'start'; readonly port: number; readonly rate: number; readonly targets: readonly Target[] }
  /** Targets by key: those in `remove` are not asked for any more once the answer `changed` has come. */
  | { readonly kind: 'change'; readonly add: readonly Target[]; readonly remove: readonly Target[] }
  | { readonly kind: 'stop' };

export type Report =
  | { readonly kind: 'ready'; readonly backendPort: number }
  | { readonly kind: 'changed' }
  | { readonly kind: 'stopped'; readonly result: LoadResult };

export interface LoadResult {
  readonly sent: number;
  /** Due, but not sent when the load was stopped, because all connections were busy. */
  readonly unsent: number;
  readonly failed: number;
  /** What failed answers were, with their count. */
  readonly failures: Readonly<Record<string, number>>;
  /** From the time a request was due to its answer, in ms. */
  readonly p50: number;
  readonly p99: number;
}

const CONNECTIONS = 32;
const MOST_EXAMPLES = 200;

const keyOf = ({ host, path }: Target) => `${host}${path}`;
const targets: Target[] = [];
const places = new Map<string, number>();
const failures: Record<string, number> = {};
const took: number[] = [];
const idle: Connection[] = [];
const busy = new Map<Target, number>();
const waiting: { due: number }[] = [];
let whenQuiet: (() => void) | undefined;
let sent = 0;
let failed = 0;
let open = 0;
let timer: NodeJS.Timeout | undefined;

function add(target: Target): void {
  if (places.has(keyOf(target))) return;
  places.set(keyOf(target), targets.push(target) - 1);
}

function remove(target: Target): void {
  const at = places.get(keyOf(target));
  if (at === undefined) return;
  places.delete(keyOf(target));
  const last = targets.pop() as Target;
  if (at === targets.length) return;
  targets[at] = last;
  places.set(keyOf(last), at);
}

function fail(why: string, target: Target): void {
  failed++;
  const known = Object.keys(failures).length < MOST_EXAMPLES;
  const line = known ? `${why} ${keyOf(target)}` : why;
  failures[line] = (failures[line] ?? 0) + 1;
}

function send(due: number): void {
  const connection = idle.pop();
  if (!connection) {
    waiting.push({ due });
    return;
  }
  // A fixed stride: every target is asked for, in an order that is none.
  const target = targets[(sent++ * 7919) % targets.length] as Target;
  open++;
  busy.set(target, (busy.get(target) ?? 0) + 1);
  connection
    .get(target.path, target.host)
    .then(
      ({ status, code }) => {
        took.push(performance.now() - due);
        if (status !== 200) fail(`${status} ${code}`, target);
      },
      (error: Error) => fail(error.message, target),
    )
    .finally(() => {
      open--;
      const left = (busy.get(target) ?? 1) - 1;
      if (left > 0) busy.set(target, left);
      else busy.delete(target);
      idle.push(connection);
      const next = waiting.shift();
      if (next) send(next.due);
      whenQuiet?.();
    });
}

/** Resolves when no request for any of `gone` is under way. */
function quiet(gone: readonly Target[]): Promise<void> {
  return new Promise((resolve) => {
    const names = new Set(gone.map(keyOf));
    const look = () => {
      for (const target of busy.keys()) if (names.has(keyOf(target))) return;
      whenQuiet = undefined;
      resolve();
    };
    whenQuiet = look;
    look();
  });
}

function start(port: number, rate: number): void {
  for (let i = 0; i < CONNECTIONS; i++) idle.push(new Connection(port));
  const began = performance.now();
  let due = 0;
  timer = setInterval(() => {
    const elapsed = performance.now() - began;
    for (; due < (elapsed * rate) / 1000; due++) send(began + (due * 1000) / rate);
  }, 2);
}

async function stop(): Promise<void> {
  clearInterval(timer);
  const unsent = waiting.splice(0).length;
  while (open > 0) await new Promise((resolve) => setTimeout(resolve, 5));
  took.sort((a, b) => a - b);
  const at = (p: number) => took[Math.min(took.length - 1, Math.floor(took.length * p))] ?? Number.NaN;
  tell({ kind: 'stopped', result: { sent, unsent, failed, failures, p50: at(0.5), p99: at(0.99) } });
}

function tell(report: Report): void {
  process.send?.(report);
}

process.on('disconnect', () => process.exit());
process.on('message', (order: Order) => {
  if (order.kind === 'start') {
    for (const target of order.targets) add(target);
    start(order.port, order.rate);
  } else if (order.kind === 'change') {
    for (const target of order.add) add(target);
    for (const target of order.remove) remove(target);
    void quiet(order.remove).then(() => tell({ kind: 'changed' }));
  } else void stop();
});
const ANSWER = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok';
// Requests have no body, so each ends with an empty line.
const server = createServer((socket) => {
  let left = '';
  socket.setNoDelay(true);
  socket.setEncoding('latin1').on('data', (chunk: string) => {
    const parts = (left + chunk).split('\r\n\r\n');
    left = parts.pop() as string;
    if (parts.length > 0) socket.write(ANSWER.repeat(parts.length));
  });
  socket.on('error', () => {}); // Envoy's to tell, as a failed request
});
server.listen(0, '127.0.0.1', () => tell({ kind: 'ready', backendPort: (server.address() as AddressInfo).port }));
