/**
 * `npm run bench fanout [-- --clients 50,500] [--routes 5000] [--edits 200]`: one change to many nodes.
 *
 * PostgreSQL, controller and one Envoy run as in production; beside the Envoy, simulated delta xDS clients in a process of
 * their own hold everything, over a connection each. One API is edited by REST again and again; each edit is timed until the
 * last client has acknowledged it, as the release's receipt tells.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { closeScope, onCleanup } from '../support/cleanup.js';
import { type Stack, startStack, WORKSPACE } from '../support/stack.js';
import { cpuMs, figures, machine, rssMiB } from './process-cost.js';
import { startLoad } from './traffic/load.js';
import { answer, definitions, EDITED, GROUPS } from './traffic/shape.js';
import type { Fan, FanReport } from './traffic/xds-clients.js';

const { values } = parseArgs({
  options: {
    clients: { type: 'string', default: '50,500' },
    routes: { type: 'string', default: '5000' },
    edits: { type: 'string', default: '200' },
  },
});
const routes = Number(values.routes);
const edits = Number(values.edits);
/** Goal of the controller's memory with 5,000 routes and 50 clients, in MiB. */
const GOAL_MIB = 400;
const WARM_UP = 20;

/** Simulated clients that have everything; resolves with the MiB they received. */
async function clients(fan: Fan): Promise<number> {
  const child = fork(join(import.meta.dirname, 'traffic/xds-clients.js'));
  onCleanup(async () => {
    child.disconnect();
    if (child.exitCode === null) await once(child, 'exit');
  });
  child.send(fan);
  const [report] = (await once(child, 'message')) as [FanReport];
  if (report.kind === 'lost') throw new Error(`a client lost its stream: ${report.reason}`);
  child.on('message', (later: FanReport) => {
    if (later.kind === 'lost') console.log(`a client lost its stream: ${later.reason}`);
  });
  return report.bytes / 2 ** 20;
}

/** Bytes of living objects in the controller, in MiB. */
async function heapMiB(stack: Stack): Promise<number> {
  const headers = { authorization: `Bearer ${stack.adminToken}` };
  const text = await (await fetch(`${stack.adminUrl}/metrics`, { headers })).text();
  return Number(/^nodejs_heap_size_used_bytes (\S+)$/m.exec(text)?.[1]) / 2 ** 20;
}

async function measure(stack: Stack, count: number): Promise<void> {
  const began = performance.now();
  const received = await clients({
    address: `127.0.0.1:${stack.adsPort}`,
    fleet: 'default/default',
    clients: count,
    tables: GROUPS,
  });
  const seconds = (performance.now() - began) / 1000;
  const path = `${WORKSPACE}/apis/${EDITED.name}`;
  const { body } = await stack.admin('GET', path);
  const pushed: number[] = [];
  const acked: number[] = [];
  let cpu = 0;
  for (let n = 1; n <= WARM_UP + edits; n++) {
    if (n === WARM_UP + 1) cpu = cpuMs(stack.pids.controller);
    const spec = { ...body.spec, upstream: answer(n + count) };
    const done = await stack.admin('PUT', `${path}?publish=true&wait=acked`, spec, { 'if-match': '*' });
    const receipt = done.body.outcome?.receipt;
    if (done.status !== 200 || receipt?.acked !== true)
      throw new Error(`edit ${n}: ${done.status} ${JSON.stringify(done.body)}`);
    if (receipt.nodes.length !== count + 1) throw new Error(`edit ${n} tells of ${receipt.nodes.length} nodes`);
    if (n <= WARM_UP) continue;
    acked.push(receipt.timeline.acknowledgedMs);
    pushed.push(receipt.timeline.acknowledgedMs - receipt.timeline.storedMs);
  }
  const perEdit = (cpuMs(stack.pids.controller) - cpu) / edits;
  const rss = rssMiB(stack.pids.controller);
  console.log(`\n${count} clients; all had everything after ${seconds.toFixed(1)} s (${received.toFixed(0)} MiB)`);
  console.log(`  PUT → last ACK     ms  ${figures(acked)}`);
  console.log(`  commit → last ACK  ms  ${figures(pushed)}`);
  console.log(
    `  CPU of controller  ms  ${perEdit.toFixed(1)} per change, ${(perEdit / (count + 1)).toFixed(3)} per change and stream`,
  );
  const goal =
    count === 50 && routes === 5000 ? `; goal ${GOAL_MIB} or less: ${rss <= GOAL_MIB ? 'met' : 'missed'}` : '';
  console.log(
    `  memory            MiB  controller ${rss.toFixed(0)} (heap ${(await heapMiB(stack)).toFixed(0)}${goal})`,
  );
  console.log(`  machine                ${machine()}`);
}

console.log(`fanout: ${routes} routes in ${GROUPS} groups, ${edits} edits of one API`);
console.log(`machine: ${machine()}`);
for (const count of values.clients.split(',').map(Number)) {
  try {
    const { backendPort } = await startLoad();
    const stack = await startStack({ definitions: definitions(routes, backendPort), edge: false, durable: true });
    await measure(stack, count);
  } finally {
    await closeScope();
  }
}
