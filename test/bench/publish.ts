/**
 * `npm run bench publish [-- --routes 1000,5000,10000] [--edits 500] [--rate 300] [--peers] [--profile DIR]`: how long a
 * written change takes to be in force.
 *
 * The whole product runs as in production (PostgreSQL that syncs to disk, controller, Envoy with two workers). One API is
 * edited again and again by REST while requests run; each edit is timed from before the PUT until the last of four
 * connections, two on each worker, has seen it. `--peers` gives the same resources to go-control-plane's snapshot cache and
 * times its edits, which begin in its memory, with the same probes. `--profile`: CPU profile of the controller.
 */
import { parseArgs } from 'node:util';
import { TYPE } from '../../src/core/ads/resource.js';
import { compile } from '../../src/core/compile.js';
import type { Definitions } from '../../src/core/model/definitions.js';
import { bootstrap } from '../../src/core/xds/bootstrap.js';
import { closeScope } from '../support/cleanup.js';
import { startEnvoy } from '../support/envoy.js';
import { freePort } from '../support/ports.js';
import { type Stack, startStack, WORKSPACE } from '../support/stack.js';
import { tmpDir } from '../support/tmp.js';
import { until } from '../support/until.js';
import { buildGocp, startGocp } from './peers/gocp.js';
import { cpuMs, figures, machine, quantile, rssMiB, steal, threadCpuMs } from './process-cost.js';
import { Connection } from './traffic/connection.js';
import { type Load, type LoadResult, startLoad } from './traffic/load.js';
import { POLL_MS, Probes } from './traffic/probes.js';
import { answer, definitions, EDITED, GROUPS, target } from './traffic/shape.js';

const WORKERS = 2;
const WITHIN_MS = 30_000;
/** Edits before the clock runs: code is compiled, plans are made. */
const WARM_UP = 50;
/** Releases whose steps are told; the controller keeps the receipts of 500. */
const LATEST = 100;

const { values } = parseArgs({
  options: {
    routes: { type: 'string', default: '1000,5000,10000' },
    edits: { type: 'string', default: '500' },
    rate: { type: 'string', default: '300' },
    peers: { type: 'boolean', default: false },
    profile: { type: 'string' },
  },
});
const sizes = values.routes.split(',').map(Number);
const edits = Number(values.edits);
const rate = Number(values.rate);

/** A control plane with its Envoy, ready to be edited. */
interface Subject {
  readonly what: string;
  readonly port: number;
  readonly pids: { readonly control: number; readonly envoy: number };
  readonly admin: (path: string) => Promise<string>;
  /** Makes edit `n`; resolves when the control plane has answered. */
  edit(n: number): Promise<void>;
  /** Where the time of the latest edits went. */
  readonly stages?: () => Promise<string>;
}

async function ours(routes: number, load: Load): Promise<Subject> {
  const stack = await startStack({
    definitions: definitions(routes, load.backendPort),
    edge: false,
    concurrency: WORKERS,
    durable: true,
    ...(values.profile && { controllerArgs: ['--cpu-prof', `--cpu-prof-dir=${values.profile}`] }),
  });
  const path = `${WORKSPACE}/apis/${EDITED.name}`;
  const first = await stack.admin('GET', path);
  let etag = first.headers.get('etag') as string;
  const verdicts: number[] = [];
  return {
    what: 'Paifang, from the PUT',
    port: stack.gatewayPort,
    pids: { control: stack.pids.controller, envoy: stack.pids.envoy },
    admin: adminOf(stack.envoyAdminPort),
    edit: async (n) => {
      const spec = { ...first.body.spec, upstream: answer(n) };
      const done = await stack.admin('PUT', `${path}?publish=true`, spec, { 'if-match': etag });
      if (done.status !== 200) throw new Error(`edit ${n}: ${done.status} ${JSON.stringify(done.body)}`);
      etag = done.headers.get('etag') as string;
      verdicts.push(done.body.outcome.judgement.ms);
    },
    stages: async () =>
      `${await stages(stack)}; verdict of the canary ${quantile(verdicts, 0.5).toFixed(1)} after the begin`,
  };
}

/** Medians of the steps of the latest releases, as their receipts tell them. */
async function stages(stack: Stack): Promise<string> {
  const { body } = await stack.admin('GET', `${WORKSPACE}/releases?limit=${LATEST}`);
  const steps = new Map<string, number[]>();
  for (const { number } of body.items) {
    const receipt = await stack.admin('GET', `${WORKSPACE}/releases/${number}/receipt`);
    let before = 0;
    for (const [step, at] of Object.entries(receipt.body.timeline as Record<string, number | null>)) {
      if (at === null) continue;
      steps.set(step, [...(steps.get(step) ?? []), at - before]);
      before = at;
    }
  }
  return [...steps].map(([step, list]) => `${step.replace('Ms', '')} +${quantile(list, 0.5).toFixed(1)}`).join(', ');
}

async function gocp(routes: number, load: Load, program: string): Promise<Subject> {
  const port = await freePort();
  const fleets = [{ name: 'default', listeners: [{ name: 'http', address: '127.0.0.1', port }] }];
  const all = { fleets, ...definitions(routes, load.backendPort) } as unknown as Definitions;
  const { compiler, diagnostics } = compile(all);
  if (diagnostics.length > 0) throw new Error(JSON.stringify(diagnostics));
  const group = compiler.find('group', EDITED.group)?.id as string;
  const api = compiler.find('api', EDITED.name)?.id as string;
  const known: ReadonlySet<string> = new Set([TYPE.cluster, TYPE.endpoint, TYPE.listener, TYPE.route, TYPE.scope]);
  const resources = [...compiler.resources('default/default')].filter(({ type }) => known.has(type));
  const peer = await startGocp({ program, resources, node: 'node-1', table: group, route: api });
  const adminPort = await freePort();
  const envoy = await startEnvoy({
    bootstrapYaml: bootstrap({
      nodeId: 'node-1',
      nodeCluster: 'default/default',
      adsAddress: '127.0.0.1',
      adsPort: peer.adsPort,
      edgeSocket: 'authz.sock',
      adminAddress: '127.0.0.1',
      adminPort,
    }),
    cwd: tmpDir(),
    concurrency: WORKERS,
  });
  const edit = async (n: number) => void (await peer.edit(n));
  const pids = { control: peer.pid, envoy: envoy.pid };
  return { what: 'go-control-plane, from its memory', port, pids, admin: envoy.admin, edit };
}

async function answers(port: number): Promise<boolean> {
  const connection = new Connection(port);
  const { status } = await connection.get(EDITED.path, EDITED.host).finally(() => connection.close());
  return status === 200;
}

const adminOf = (port: number) => async (path: string) => (await fetch(`http://127.0.0.1:${port}${path}`)).text();

/** Bytes Envoy received from its control plane. */
async function received(admin: (path: string) => Promise<string>): Promise<number> {
  const text = await admin('/stats?filter=^cluster.paifang_ads.upstream_cx_rx_bytes_total$');
  return Number(/: (\d+)/.exec(text)?.[1] ?? Number.NaN);
}

async function measure(subject: Subject, routes: number, load: Load): Promise<boolean> {
  const { pids, admin } = subject;
  await until(() => answers(subject.port), { within: WITHIN_MS, what: 'the first answer' });
  const probes = await Probes.start({ port: subject.port, workers: WORKERS, target: EDITED, admin });
  load.start(
    subject.port,
    rate,
    Array.from({ length: routes - 1 }, (_, n) => target(n + 1)),
  );
  const change = async (n: number) => {
    const start = performance.now();
    const inForce = probes.all(n, WITHIN_MS).then(() => performance.now() - start);
    const [answered] = await Promise.all([subject.edit(n).then(() => performance.now() - start), inForce]);
    return { answered, effective: await inForce };
  };
  for (let n = 1; n <= WARM_UP; n++) await change(n);
  const snapshot = async () => ({
    control: cpuMs(pids.control),
    main: threadCpuMs(pids.envoy, pids.envoy),
    bytes: await received(admin),
    steal: steal(),
  });
  const before = await snapshot();
  const made: { answered: number; effective: number }[] = [];
  for (let n = WARM_UP + 1; n <= WARM_UP + edits; n++) made.push(await change(n));
  const after = await snapshot();
  const result = await load.stop();
  await probes.stop();
  const steps = await subject.stages?.();
  const each = (total: number) => (total / edits).toFixed(1);
  console.log(`\n${routes} routes, ${subject.what}`);
  console.log(`  answered        ms  ${figures(made.map(({ answered }) => answered))}`);
  console.log(
    `  in force        ms  ${figures(made.map(({ effective }) => effective))}   last of ${probes.count} connections, asked every ${POLL_MS} ms`,
  );
  if (steps) console.log(`  steps           ms  ${steps} (medians)`);
  console.log(
    `  CPU per change  ms  control plane ${each(after.control - before.control)}, Envoy's main thread ${each(after.main - before.main)}`,
  );
  console.log(`  to Envoy            ${((after.bytes - before.bytes) / edits / 1024).toFixed(1)} KiB per change`);
  console.log(
    `  memory         MiB  control plane ${rssMiB(pids.control).toFixed(0)}, Envoy ${rssMiB(pids.envoy).toFixed(0)}`,
  );
  console.log(`  requests            ${told(result)}; probes: ${probes.failed} failed of ${probes.asked}`);
  console.log(
    `  machine             ${machine()}, stolen ${((100 * (after.steal.stolen - before.steal.stolen)) / (after.steal.all - before.steal.all)).toFixed(1)} %`,
  );
  return result.failed + probes.failed === 0;
}

function told({ sent, unsent, failed, failures, p50, p99 }: LoadResult): string {
  const why = Object.entries(failures).map(([what, count]) => `\n    ${count} × ${what}`);
  return `${failed} failed of ${sent} sent, ${unsent} due and not sent (p50 ${p50.toFixed(1)}, p99 ${p99.toFixed(1)} ms)${why.slice(0, 10).join('')}`;
}

console.log(`publish: ${GROUPS} groups, ${edits} edits of one API, ${rate} requests a second meanwhile`);
console.log(`machine: ${machine()}`);
const peer = values.peers ? await buildGocp() : { missing: '' };
if ('missing' in peer && peer.missing !== '') console.log(peer.missing);
for (const routes of sizes) {
  const subjects = [ours, ...('program' in peer ? [(n: number, load: Load) => gocp(n, load, peer.program)] : [])];
  for (const start of subjects) {
    try {
      const load = await startLoad();
      if (!(await measure(await start(routes, load), routes, load))) process.exitCode = 1;
    } finally {
      await closeScope();
    }
  }
}
