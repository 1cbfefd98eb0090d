/**
 * `npm run bench register [-- --routes 5000] [--moves 300]`: registration of an endpoint, by REST, until Envoy uses it.
 *
 * PostgreSQL, controller and Envoy run as in production. The one registered endpoint of a cluster moves to and fro between two
 * ports; each move is timed until connections to both workers have seen it. Heartbeats, which change nothing, are timed beside.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { parseArgs } from 'node:util';
import { closeScope, onCleanup } from '../support/cleanup.js';
import { type Answer, type Ask, httpClient } from '../support/http-client.js';
import { startStack, WORKSPACE } from '../support/stack.js';
import { cpuMs, figures, machine } from './process-cost.js';
import { api, definitions } from './traffic/shape.js';

const { values } = parseArgs({
  options: { routes: { type: 'string', default: '5000' }, moves: { type: 'string', default: '300' } },
});
const routes = Number(values.routes);
const moves = Number(values.moves);
const WARM_UP = 20;
/** Each a connection of its own; with so many, both workers have some. */
const PROBES = 6;
const ask: Ask = { headers: { host: 'g0.bench.example' } };

async function backend(name: string): Promise<number> {
  const server = createServer((_, response) => response.end(name));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onCleanup(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(() => resolve()));
  });
  return (server.address() as AddressInfo).port;
}

/** Resolves when the connection has been answered by `name`, asking without a pause. */
async function sees(probe: (path: string, ask?: Ask) => Promise<Answer>, name: string): Promise<number> {
  for (let failed = 0; ; ) {
    const { status, body } = await probe('/registered', ask);
    if (status !== 200) failed++;
    else if (body === name) return failed;
  }
}

async function measure(): Promise<void> {
  const ports = [await backend('0'), await backend('1')];
  const base = definitions(routes, ports[0] as number);
  const stack = await startStack({
    definitions: {
      ...base,
      clusters: [...base.clusters, { name: 'registered', endpoints: [] }],
      apis: [...base.apis, { ...api(0, 'registered'), name: 'registered', match: { path: '/registered' } }],
    },
    edge: false,
    concurrency: 2,
    durable: true,
  });
  const path = `${WORKSPACE}/clusters/registered/endpoints/one`;
  const register = async (n: number) => {
    const { status, body } = await stack.admin('PUT', path, { host: '127.0.0.1', port: ports[n], ttlSeconds: 600 });
    if (status >= 300) throw new Error(`${status} ${JSON.stringify(body)}`);
  };
  const probes = Array.from({ length: PROBES }, () => httpClient(stack.gatewayPort));
  const [answered, effective, beats]: [number[], number[], number[]] = [[], [], []];
  let [failed, cpu] = [0, 0];
  for (let n = 0; n < WARM_UP + moves; n++) {
    if (n === WARM_UP) cpu = cpuMs(stack.pids.controller);
    const began = performance.now();
    const told = register(n % 2).then(() => performance.now() - began);
    const failures = await Promise.all(probes.map((probe) => sees(probe, String(n % 2))));
    const seen = performance.now() - began;
    const answer = await told;
    if (n < WARM_UP) continue;
    answered.push(answer);
    effective.push(seen);
    failed += failures.reduce((sum, count) => sum + count, 0);
  }
  cpu = cpuMs(stack.pids.controller) - cpu;
  for (let n = 0; n < moves; n++) {
    const began = performance.now();
    await register((WARM_UP + moves - 1) % 2);
    beats.push(performance.now() - began);
  }
  console.log(`  register → effective   ms  ${figures(effective)}`);
  console.log(`  register → answered    ms  ${figures(answered)}`);
  console.log(`  heartbeat → answered   ms  ${figures(beats)}`);
  console.log(`  CPU of controller      ms  ${(cpu / moves).toFixed(1)} per registration`);
  console.log(`  failed requests            ${failed}`);
}

console.log(`register: ${routes} routes, ${moves} registrations`);
console.log(`machine: ${machine()}`);
try {
  await measure();
} finally {
  await closeScope();
}
