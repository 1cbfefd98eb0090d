/**
 * `npm run bench authz [--rounds 10] [--ms 1000]`: what a signed request costs.
 *
 * One Envoy with one worker, our edge in a process of its own beside it (10,000 access keys), another Envoy as the backend.
 * Kinds of requests take turns, so that whatever else the machine does falls on all of them alike; CPU is read per process and
 * thread. Figures in microseconds and requests per second depend on the machine: quote the ratios to the plain route.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { closeScope, onCleanup } from '../support/cleanup.js';
import { envoyWithEdge } from '../support/edge-envoy.js';
import { startEnvoy } from '../support/envoy.js';
import { freePort } from '../support/ports.js';
import { tmpDir } from '../support/tmp.js';
import { until } from '../support/until.js';
import type { Done, Order } from './authz-peers/load-process.js';
import { cpuMs, machine, quantile } from './process-cost.js';

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '10' }, ms: { type: 'string', default: '1000' } },
});
const rounds = Number(values.rounds);
const ms = Number(values.ms);
const MOST_SECONDS = 85;

const KINDS = {
  plain: 'A  plain route',
  signed: 'signed GET',
  body: 'signed POST, 1 KiB and digest',
  unsigned: 'unsigned (2100)',
  sidecar: 'the edge alone, no Envoy',
} as const;
type Kind = keyof typeof KINDS;

interface Sample {
  readonly rps: number;
  /** Microseconds of CPU per request. */
  readonly envoy: number;
  readonly edge: number;
  readonly p50: number;
  readonly wrong: number;
  readonly requests: number;
}

async function main(): Promise<void> {
  const dir = tmpDir();
  const [listener, backend] = [await freePort(), await freePort()];
  const edge = await child(new URL('./authz-peers/edge-process.js', import.meta.url), join(dir, 'authz.sock'));
  const load = await child(new URL('./authz-peers/load-process.js', import.meta.url));
  await startEnvoy({ cwd: tmpDir(), bootstrapYaml: answering(backend) });
  const envoy = await startEnvoy({
    cwd: dir,
    bootstrapYaml: envoyWithEdge({ listener, socket: 'authz.sock', backend }),
  });
  await until(async () => (await fetch(`http://127.0.0.1:${listener}/plain-backend`)).status === 200, {
    what: 'Envoy',
  });
  const { pid } = edge;
  if (pid === undefined) throw new Error('the edge has no process');

  const run = async (kind: Kind, forMs: number): Promise<Sample> => {
    const before = [cpuMs(envoy.pid), cpuMs(pid)] as const;
    const order: Order = { kind, ms: forMs, port: listener, socket: join(dir, 'authz.sock') };
    load.send(order);
    const done = await message<Done>(load);
    const per = (used: number) => (used * 1000) / done.requests;
    return {
      rps: (done.requests * 1000) / done.ms,
      envoy: per(cpuMs(envoy.pid) - before[0]),
      edge: per(cpuMs(pid) - before[1]),
      p50: done.p50,
      wrong: done.wrong,
      requests: done.requests,
    };
  };

  console.log(`${machine()}; ${rounds} rounds of ${ms} ms each, 32 connections, Envoy with 1 worker\n`);
  for (const kind of Object.keys(KINDS) as Kind[]) await run(kind, ms / 2); // connections, caches, compiled code
  const samples: Record<Kind, Sample>[] = [];
  const began = performance.now();
  for (let round = 0; round < rounds && performance.now() - began < MOST_SECONDS * 1000; round++) {
    const taken: [Kind, Sample][] = [];
    const kinds = Object.keys(KINDS) as Kind[];
    for (const kind of round % 2 === 0 ? kinds : kinds.reverse()) taken.push([kind, await run(kind, ms)]);
    samples.push(Object.fromEntries(taken) as Record<Kind, Sample>);
  }
  print(samples);
  console.log(`\n${machine()}`);
}

function print(samples: readonly Record<Kind, Sample>[]): void {
  const row = (cells: readonly string[]) =>
    console.log(cells.map((cell, i) => (i === 0 ? cell.padEnd(32) : cell.padStart(i === 4 ? 18 : 11))).join(''));
  row(['', 'rps', 'Envoy µs', 'edge µs', 'sum x A', 'Envoy x A', 'p50 ms', 'wrong']);
  for (const kind of Object.keys(KINDS) as Kind[]) {
    const all = samples.map((round) => round[kind]);
    const median = (of: (sample: Sample) => number) => quantile(all.map(of), 0.5);
    const ratios = (of: (sample: Sample) => number) => samples.map((round) => of(round[kind]) / round.plain.envoy);
    const sum = ratios((sample) => sample.envoy + sample.edge);
    const alone = kind === 'sidecar';
    row([
      KINDS[kind],
      median((sample) => sample.rps).toFixed(0),
      alone ? '-' : median((sample) => sample.envoy).toFixed(0),
      kind === 'plain' ? '-' : median((sample) => sample.edge).toFixed(0),
      alone
        ? '-'
        : `${quantile(sum, 0.5).toFixed(2)} (${quantile(sum, 0.25).toFixed(2)}-${quantile(sum, 0.75).toFixed(2)})`,
      alone
        ? '-'
        : quantile(
            ratios((sample) => sample.envoy),
            0.5,
          ).toFixed(2),
      median((sample) => sample.p50).toFixed(2),
      `${all.reduce((total, sample) => total + sample.wrong, 0)}/${all.reduce((total, sample) => total + sample.requests, 0)}`,
    ]);
  }
  console.log(
    '\nx A: each sample divided by the plain route of the same round; median (quartiles). wrong: answers with another status than expected.',
  );
}

/** An Envoy that answers everything itself: a backend whose cost is nobody's measure. */
function answering(port: number): object {
  const route = { match: { prefix: '/' }, direct_response: { status: 200, body: { inline_string: '{"ok":true}' } } };
  const hcm = {
    '@type': 'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
    stat_prefix: 'backend',
    route_config: { name: 'r', virtual_hosts: [{ name: 'v', domains: ['*'], routes: [route] }] },
    http_filters: [
      {
        name: 'router',
        typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' },
      },
    ],
  };
  return {
    admin: { address: { socket_address: { address: '127.0.0.1', port_value: 0 } } },
    static_resources: {
      listeners: [
        {
          name: 'l',
          address: { socket_address: { address: '127.0.0.1', port_value: port } },
          filter_chains: [{ filters: [{ name: 'hcm', typed_config: hcm }] }],
        },
      ],
    },
  };
}

/** A process of the bench; ends with this one, however this one ends. */
async function child(file: URL, ...args: string[]): Promise<ChildProcess> {
  const started = fork(file, args, { stdio: 'inherit' });
  onCleanup(() => {
    started.kill();
  });
  await message(started);
  return started;
}

function message<T>(from: ChildProcess): Promise<T> {
  return new Promise((resolve, reject) => {
    from.once('message', (value) => {
      from.off('exit', ended);
      resolve(value as T);
    });
    const ended = () => reject(new Error('a process of the bench ended'));
    from.once('exit', ended);
  });
}

try {
  await main();
} finally {
  await closeScope();
}
