/**
 * `npm run bench register [-- --routes 5000] [--moves 300] [--dns]`: registration of an endpoint, by REST, until Envoy uses it;
 * with --dns instead: a name that leads elsewhere, from the moment DNS says so until Envoy sends requests there.
 *
 * PostgreSQL, controller and Envoy run as in production. The one registered endpoint of a cluster moves to and fro between two
 * ports; each move is timed until connections to both workers have seen it. Heartbeats, which change nothing, are timed beside.
 * With --dns the one name of a cluster leads to another loopback address each time. The clock starts as the DNS server hands out the
 * new answer: how long the controller waits before it asks again is a setting (and the time to live), and is printed beside.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { parseArgs } from 'node:util';
import { closeScope, onCleanup } from '../support/cleanup.js';
import { startDnsServer } from '../support/dns-server.js';
import { type Answer, type Ask, httpClient } from '../support/http-client.js';
import { startOnLoopback } from '../support/loopback.js';
import { startStack, WORKSPACE } from '../support/stack.js';
import { cpuMs, figures, machine } from './process-cost.js';
import { api, definitions } from './traffic/shape.js';

const { values } = parseArgs({
  options: {
    routes: { type: 'string', default: '5000' },
    moves: { type: 'string', default: '300' },
    dns: { type: 'boolean', default: false },
  },
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
async function sees(
  probe: (path: string, ask?: Ask) => Promise<Answer>,
  name: string,
  path = '/registered',
): Promise<number> {
  for (let failed = 0; ; ) {
    const { status, body } = await probe(path, ask);
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

async function measureDns(): Promise<void> {
  const hosts = ['127.0.0.1', '127.0.0.2'] as const;
  const port = await startOnLoopback(hosts);
  const dns = await startDnsServer({ 'named.bench': { a: [hosts[0]] } });
  const leastMs = 50;
  const base = definitions(routes, port);
  const stack = await startStack({
    definitions: {
      ...base,
      clusters: [
        ...base.clusters,
        { name: 'named', endpoints: [], discovery: { dns: [{ name: 'named.bench', port }] } },
      ],
      apis: [...base.apis, { ...api(0, 'named'), name: 'named', match: { path: '/named' } }],
    },
    edge: false,
    concurrency: 2,
    durable: true,
    env: { PAIFANG_DNS_SERVERS: dns.address, PAIFANG_DNS_LEAST_REFRESH: String(leastMs) },
  });
  const probes = Array.from({ length: PROBES }, () => httpClient(stack.gatewayPort));
  const [waited, effective]: [number[], number[]] = [[], []];
  let [failed, cpu] = [0, 0];
  for (let n = 1; n <= WARM_UP + moves; n++) {
    if (n === WARM_UP) cpu = cpuMs(stack.pids.controller);
    const host = hosts[n % 2] as string;
    const question = dns.asked.length;
    const began = performance.now();
    dns.set('named.bench', { a: [host] });
    const failures = await Promise.all(probes.map((probe) => sees(probe, host, '/named')));
    const seen = performance.now();
    const told = dns.askedAt[question] ?? seen;
    failed += failures.reduce((sum, count) => sum + count, 0);
    if (n <= WARM_UP) continue;
    waited.push(told - began);
    effective.push(seen - told);
  }
  cpu = cpuMs(stack.pids.controller) - cpu;
  console.log(`  answer → effective     ms  ${figures(effective)}`);
  console.log(`  waited for a question  ms  ${figures(waited)}  (asked every ${leastMs} ms at most; time to live 0)`);
  console.log(`  CPU of controller      ms  ${(cpu / moves).toFixed(1)} per change, with its questions`);
  console.log(`  failed requests            ${failed}`);
}

console.log(`register: ${routes} routes, ${moves} ${values.dns ? 'changed answers of DNS' : 'registrations'}`);
console.log(`machine: ${machine()}`);
try {
  await (values.dns ? measureDns() : measure());
} finally {
  await closeScope();
}
