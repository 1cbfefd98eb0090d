/**
 * `npm run bench coldstart [--routes 5000] [--clusters 1000] [--runs 5]`: how long an Envoy takes from nothing to its first answer.
 *
 * The whole product runs as in production (PostgreSQL, controller, edge, Envoy). Then Envoy is killed and started again, run
 * by run: first beside its controller, then with the controller killed and the edge started anew from its disk. Timed from
 * before Envoy's process is made: until the first answer of a backend, until a signed request has passed the edge, and until
 * a route of every group answers.
 */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { signRequest } from '../../src/core/decision/sign-request.js';
import { bootstrap } from '../../src/core/xds/bootstrap.js';
import { startBackend } from '../support/backend.js';
import { closeScope } from '../support/cleanup.js';
import { startEnvoy } from '../support/envoy.js';
import { type Ask, httpClient } from '../support/http-client.js';
import { type Stack, startStack, WORKSPACE } from '../support/stack.js';
import { until } from '../support/until.js';
import { cpuMs, machine, quantile, rssMiB } from './process-cost.js';

const GROUPS = 200;
const WITHIN_MS = 60_000;

const { values } = parseArgs({
  options: {
    routes: { type: 'string', default: '5000' },
    clusters: { type: 'string', default: '1000' },
    runs: { type: 'string', default: '5' },
  },
});
const routes = Number(values.routes);
const clusters = Number(values.clusters);
const runs = Number(values.runs);

const hostOf = (n: number) => `g${n % GROUPS}.bench.example`;
const pathOf = (n: number) => `/service-${n}/items`;
const SIGNED = { host: hostOf(0), path: '/signed' };

function definitions(backendPort: number) {
  const apis: object[] = [
    {
      name: 'signed',
      group: 'g0',
      match: { path: SIGNED.path },
      auth: { type: 'signature' },
      upstream: { kind: 'cluster', cluster: 'c0' },
    },
  ];
  for (let n = 1; n < routes; n++) {
    apis.push({
      name: `api-${n}`,
      group: `g${n % GROUPS}`,
      match: { path: pathOf(n), methods: ['GET'] },
      upstream: { kind: 'cluster', cluster: `c${n % clusters}` },
    });
  }
  return {
    clusters: Array.from({ length: clusters }, (_, n) => ({
      name: `c${n}`,
      endpoints: [{ host: '127.0.0.1', port: backendPort }],
    })),
    groups: Array.from({ length: GROUPS }, (_, n) => ({ name: `g${n}`, hosts: [hostOf(n)] })),
    apis,
    apps: [{ name: 'caller', grants: { apis: ['signed'] } }],
  };
}

interface Start {
  readonly first: number;
  readonly signed: number;
  readonly all: number;
  readonly cpu: number;
  readonly rss: number;
}

/** Starts an Envoy, times its first answers, and kills it. */
async function start(stack: Stack, sign: () => Ask): Promise<Start> {
  const ask = httpClient(stack.gatewayPort);
  const began = performance.now();
  const since = () => performance.now() - began;
  const answered = (path: string, how: () => Ask, what: string) =>
    until(async () => (await ask(path, how())).status === 200, { within: WITHIN_MS, what }).then(since);
  const started = startEnvoy({
    cwd: stack.nodeDir,
    concurrency: 2,
    bootstrapYaml: bootstrap({
      nodeId: 'node-1',
      nodeCluster: 'default/default',
      adsAddress: '127.0.0.1',
      adsPort: stack.adsPort,
      edgeSocket: 'authz.sock',
      failoverSocket: 'failover.sock',
      adminAddress: '127.0.0.1',
      adminPort: stack.envoyAdminPort,
    }),
  });
  const get = (n: number) => answered(pathOf(n), () => ({ headers: { host: hostOf(n) } }), `an answer of API ${n}`);
  const [first, signed] = await Promise.all([get(1), answered(SIGNED.path, sign, 'a signed request to pass')]);
  let all = 0;
  for (let n = 1; n <= GROUPS; n++) all = await get(n);
  const envoy = await started;
  const cost = { cpu: cpuMs(envoy.pid), rss: rssMiB(envoy.pid) };
  process.kill(envoy.pid, 'SIGKILL');
  await envoy.stop();
  return { first, signed, all, ...cost };
}

async function measure(what: string, stack: Stack, sign: () => Ask): Promise<void> {
  const starts: Start[] = [];
  for (let run = 0; run < runs; run++) starts.push(await start(stack, sign));
  const line = (field: keyof Start, digits = 0) => {
    const of = starts.map((one) => one[field]);
    return `p50 ${quantile(of, 0.5).toFixed(digits)}, max ${Math.max(...of).toFixed(digits)}`;
  };
  console.log(`${what} (${runs} starts)`);
  console.log(`  first answer      ${line('first')} ms`);
  console.log(`  signed request    ${line('signed')} ms`);
  console.log(`  all ${GROUPS} groups    ${line('all')} ms`);
  console.log(`  Envoy CPU         ${line('cpu')} ms; RSS ${line('rss')} MiB`);
  console.log(`  load average now  ${machine()}`);
}

// Each start leaves a few behind until the end.
process.setMaxListeners(100);
console.log(`coldstart: ${routes} routes in ${GROUPS} groups, ${clusters} clusters; ${machine()}`);
const backend = await startBackend('backend');
const stack = await startStack({ definitions: definitions(backend.port) });
const key = await stack.admin('POST', `${WORKSPACE}/apps/caller/credentials`, {});
const { accessKey, secretKey: secret } = key.body as { accessKey: string; secretKey: string };
const sign = (): Ask => {
  const headers: [string, string][] = [['host', SIGNED.host]];
  const made = signRequest({ method: 'GET', target: SIGNED.path, headers, accessKey, secret, nowMs: Date.now() });
  return { headers: { host: SIGNED.host, ...Object.fromEntries(made.headers) } };
};
const folder = join(stack.nodeDir, 'last-good');
await until(() => readdirSync(folder).includes('config.journal'), { within: WITHIN_MS, what: 'the file of the edge' });
process.kill(stack.pids.envoy, 'SIGKILL');
await measure('with a controller', stack, sign);

process.kill(stack.pids.controller, 'SIGKILL');
await stack.stopEdge();
const began = performance.now();
await stack.startEdge();
const ready = performance.now() - began;
console.log(`the edge, started without controller: ready after ${ready.toFixed(0)} ms`);
console.log(`  file ${(statSync(join(folder, 'config.journal')).size / 2 ** 20).toFixed(1)} MiB`);
await measure("without a controller, from the edge's disk", stack, sign);
await closeScope();
