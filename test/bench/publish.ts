/**
 * `npm run bench publish [--routes 1000] [--edits 1000] [--rate 200]`: how long a written change takes to be in force.
 *
 * The whole product runs as in production (PostgreSQL, controller, Envoy with two workers). One API is edited again and again
 * by REST while requests run; each edit is timed from before the PUT until the last of eight connections has seen it.
 */
import { Agent, request } from 'node:http';
import { parseArgs } from 'node:util';
import { startBackend } from '../support/backend.js';
import { closeScope } from '../support/cleanup.js';
import { type Stack, startStack, WORKSPACE } from '../support/stack.js';
import { startLoad } from './open-load.js';
import { cpuMs, machine, quantile, rssMiB } from './process-cost.js';

const GROUPS = 200;
const CONNECTIONS = 8;
const POLL_MS = 3;
const EDITED = { host: 'g0.bench.example', path: '/edited' };

const { values } = parseArgs({
  options: {
    routes: { type: 'string', default: '1000' },
    edits: { type: 'string', default: '1000' },
    rate: { type: 'string', default: '200' },
  },
});
const routes = Number(values.routes);
const edits = Number(values.edits);
const rate = Number(values.rate);

function definitions(backendPort: number) {
  const apis: object[] = [{ name: 'edited', group: 'g0', match: { path: EDITED.path }, upstream: mock(0) }];
  for (let n = 1; n < routes; n++) {
    const group = n % GROUPS;
    apis.push({
      name: `api-${n}`,
      group: `g${group}`,
      match: { path: `/service-${n}/items`, methods: ['GET'] },
      upstream: { kind: 'cluster', cluster: 'backend' },
      retry: { attempts: 1 },
    });
  }
  return {
    clusters: [{ name: 'backend', endpoints: [{ host: '127.0.0.1', port: backendPort }] }],
    groups: Array.from({ length: GROUPS }, (_, n) => ({ name: `g${n}`, hosts: [`g${n}.bench.example`] })),
    apis,
  };
}

const mock = (edit: number) => ({ kind: 'mock', body: `edit ${edit}` });

/** Connections that ask for the edited API every few milliseconds. */
class Probes {
  failed = 0;
  asked = 0;
  private readonly seen = new Array<number>(CONNECTIONS).fill(-1);
  private running = true;
  private readonly loops: Promise<void>[];
  private check: (() => void) | undefined;

  constructor(port: number) {
    this.loops = this.seen.map((_, index) => this.loop(port, index));
  }

  /** Resolves when every connection has been answered with edit `n` or a later one. */
  all(n: number, withinMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () =>
          reject(
            new Error(`edit ${n} was not in force after ${withinMs} ms; the connections saw ${this.seen.join(' ')}`),
          ),
        withinMs,
      );
      this.check = () => {
        if (!this.seen.every((edit) => edit >= n)) return;
        clearTimeout(timer);
        this.check = undefined;
        resolve();
      };
      this.check();
    });
  }

  async stop(): Promise<void> {
    this.running = false;
    await Promise.all(this.loops);
  }

  private async loop(port: number, index: number): Promise<void> {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    while (this.running) {
      const body = await ask(port, agent);
      this.asked++;
      const edit = /^edit (\d+)$/.exec(body ?? '')?.[1];
      if (edit === undefined) this.failed++;
      else this.seen[index] = Number(edit);
      this.check?.();
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    agent.destroy();
  }
}

function ask(port: number, agent: Agent): Promise<string | undefined> {
  return new Promise((resolve) => {
    const call = request(
      { host: '127.0.0.1', port, path: EDITED.path, headers: { host: EDITED.host }, agent },
      (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => {
          text += chunk;
        });
        response.on('end', () => resolve(response.statusCode === 200 ? text : undefined));
        response.on('error', () => resolve(undefined));
      },
    );
    call.on('error', () => resolve(undefined));
    call.end();
  });
}

async function measure(stack: Stack) {
  const path = `${WORKSPACE}/apis/edited`;
  const first = await stack.admin('GET', path);
  let etag = first.headers.get('etag') as string;
  const probes = new Probes(stack.gatewayPort);
  const load = startLoad(stack.gatewayPort, rate, (n) => {
    const api = 1 + ((n * 7919) % (routes - 1));
    return n % 2 === 0 ? EDITED : { host: `g${api % GROUPS}.bench.example`, path: `/service-${api}/items` };
  });
  await probes.all(0, 10_000);
  const stored: number[] = [];
  const effective: number[] = [];
  const before = { envoy: cpuMs(stack.pids.envoy), controller: cpuMs(stack.pids.controller) };
  const began = performance.now();
  for (let n = 1; n <= edits; n++) {
    const start = performance.now();
    const inForce = probes.all(n, 30_000).then(() => performance.now() - start);
    const answer = await stack.admin(
      'PUT',
      `${path}?publish=true`,
      { ...first.body.spec, upstream: mock(n) },
      { 'if-match': etag },
    );
    if (answer.status !== 200) throw new Error(`edit ${n}: ${answer.status} ${JSON.stringify(answer.body)}`);
    stored.push(performance.now() - start);
    etag = answer.headers.get('etag') as string;
    effective.push(await inForce);
  }
  const seconds = (performance.now() - began) / 1000;
  const cost = {
    envoy: cpuMs(stack.pids.envoy) - before.envoy,
    controller: cpuMs(stack.pids.controller) - before.controller,
  };
  const result = await load.stop();
  await probes.stop();
  return { stored, effective, seconds, cost, result, probes };
}

const figures = (list: readonly number[]) =>
  `p50 ${quantile(list, 0.5).toFixed(1)}  p99 ${quantile(list, 0.99).toFixed(1)}  max ${Math.max(...list).toFixed(1)}`;

try {
  const backend = await startBackend('bench', (_, response) => {
    response.writeHead(200).end('ok');
    return true;
  });
  console.log(
    `publish: ${routes} routes in ${GROUPS} groups, ${edits} edits of one API by REST, ${rate} requests a second meanwhile`,
  );
  console.log(`machine: ${machine()}`);
  const stack = await startStack({ definitions: definitions(backend.port), edge: false, concurrency: 2 });
  const { stored, effective, seconds, cost, result, probes } = await measure(stack);
  console.log(`write → answered by REST   ms  ${figures(stored)}`);
  console.log(
    `write → in force on Envoy  ms  ${figures(effective)}   (last of ${CONNECTIONS} connections, asked every ${POLL_MS} ms)`,
  );
  console.log(
    `CPU per edit               ms  controller ${(cost.controller / edits).toFixed(1)}  Envoy ${(cost.envoy / edits).toFixed(1)} (its load included)`,
  );
  console.log(
    `memory                     MiB controller ${rssMiB(stack.pids.controller).toFixed(0)}  Envoy ${rssMiB(stack.pids.envoy).toFixed(0)}`,
  );
  console.log(
    `requests: ${result.failed} failed of ${result.sent} sent (${(result.sent / seconds).toFixed(0)} a second); probes: ${probes.failed} failed of ${probes.asked}`,
  );
  for (const [why, count] of Object.entries(result.failures)) console.log(`  ${count} × ${why}`);
  console.log(`machine: ${machine()}`);
  if (result.failed + probes.failed > 0) process.exitCode = 1;
} finally {
  await closeScope();
}
