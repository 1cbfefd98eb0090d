/**
 * `npm run bench churn [-- --routes 5000] [--changes 2000] [--rate 1000] [--seed 1]`: random changes under load.
 *
 * The whole product runs as in production. APIs and clusters are added, edited, reordered and deleted by REST, several in one
 * change set, while requests go to every API: to one that shall be deleted until just before, to a new one as soon as every
 * node has acknowledged it. No request may fail, nothing may be refused; else the bench fails.
 */
import { parseArgs } from 'node:util';
import { closeScope } from '../support/cleanup.js';
import { type Stack, startStack, WORKSPACE } from '../support/stack.js';
import { until } from '../support/until.js';
import { cpuMs, figures, machine, rssMiB } from './process-cost.js';
import { ChurnPlan, type Step } from './traffic/churn-plan.js';
import { Connection } from './traffic/connection.js';
import { type Load, startLoad } from './traffic/load.js';
import { GROUPS } from './traffic/shape.js';

const { values } = parseArgs({
  options: {
    routes: { type: 'string', default: '5000' },
    changes: { type: 'string', default: '2000' },
    rate: { type: 'string', default: '1000' },
    seed: { type: 'string', default: '1' },
  },
});
const wanted = Number(values.changes);
const rate = Number(values.rate);
/** Longest a change may take until the last node has it. */
const ACKED_MS = 30_000;

/** Makes one step in force everywhere; returns ms from the request to the acknowledgement, and whether nobody refused. */
async function make(stack: Stack, load: Load, step: Step): Promise<{ ms: number; acked: boolean }> {
  if (step.leaving.length > 0) await load.change([], step.leaving);
  const wait = `wait=acked&timeout=${ACKED_MS}ms`;
  const began = performance.now();
  const { write, remove } = step;
  const answer = write
    ? await stack.admin('POST', `${WORKSPACE}/changesets?${wait}`, { definitions: write })
    : await stack.admin(
        'DELETE',
        `${WORKSPACE}/${remove?.collection}/${remove?.name}?publish=true&${wait}`,
        undefined,
        {
          'if-match': '*',
        },
      );
  const ms = performance.now() - began;
  if (answer.status !== 200)
    throw new Error(`${JSON.stringify(step)}: ${answer.status} ${JSON.stringify(answer.body)}`);
  const outcome = answer.body.outcome ?? answer.body;
  // A cluster nobody uses was told to no node: its deletion is no change of any.
  const acked = outcome.receipt === undefined || outcome.receipt.acked === true;
  if (!acked) console.log(`release ${outcome.release}: ${JSON.stringify(outcome.receipt)}`);
  if (step.coming.length > 0) await load.change(step.coming, []);
  return { ms, acked };
}

async function refusals(stack: Stack): Promise<number> {
  const text = await (await fetch(`${stack.adminUrl}/metrics`, { headers: authorization(stack) })).text();
  if (!/^paifang_ads_events_total\{.*kind="ack".*\} [1-9]/m.test(text))
    throw new Error('the metrics tell of no answers');
  const lines = text.matchAll(/^paifang_ads_events_total\{.*kind="nack".*\} (\d+)$/gm);
  return [...lines].reduce((sum, [, count]) => sum + Number(count), 0);
}

const authorization = (stack: Stack) => ({ authorization: `Bearer ${stack.adminToken}` });

try {
  const load = await startLoad();
  const plan = new ChurnPlan(Number(values.routes), load.backendPort, Number(values.seed));
  console.log(
    `churn: ${values.routes} routes in ${GROUPS} groups, ${wanted} changes, ${rate} requests a second, seed ${values.seed}`,
  );
  console.log(`machine: ${machine()}`);
  const groups = Array.from({ length: GROUPS }, (_, n) => ({ name: `g${n}`, hosts: [`g${n}.bench.example`] }));
  const definitions = { clusters: plan.clusters(), groups, apis: plan.apis() };
  const stack = await startStack({ definitions, edge: false, concurrency: 2, durable: true });
  const targets = plan.targets();
  const last = targets.at(-1) as (typeof targets)[number];
  const first = new Connection(stack.gatewayPort);
  await until(async () => (await first.get(last.path, last.host)).status === 200, {
    within: 60_000,
    what: 'an answer of the last API',
  });
  first.close();
  load.start(stack.gatewayPort, rate, targets);
  const before = { envoy: cpuMs(stack.pids.envoy), controller: cpuMs(stack.pids.controller) };
  const began = performance.now();
  const took: number[] = [];
  const counts: Record<string, number> = {};
  let made = 0;
  let unacknowledged = 0;
  while (made < wanted) {
    const step = plan.next();
    const { ms, acked } = await make(stack, load, step);
    took.push(ms);
    if (!acked) unacknowledged++;
    made += step.changes.length;
    for (const kind of step.changes) counts[kind] = (counts[kind] ?? 0) + 1;
  }
  const seconds = (performance.now() - began) / 1000;
  const result = await load.stop();
  const nacks = await refusals(stack);
  const each = (ms: number) => (ms / took.length).toFixed(1);
  console.log(
    `${made} changes in ${took.length} releases, ${seconds.toFixed(0)} s: ${Object.entries(counts)
      .map(([kind, count]) => `${kind} ${count}`)
      .join(', ')}`,
  );
  console.log(`publish → acknowledged  ms  ${figures(took)}`);
  console.log(
    `CPU per release         ms  controller ${each(cpuMs(stack.pids.controller) - before.controller)}, Envoy ${each(cpuMs(stack.pids.envoy) - before.envoy)} (its requests included)`,
  );
  console.log(
    `memory                 MiB  controller ${rssMiB(stack.pids.controller).toFixed(0)}, Envoy ${rssMiB(stack.pids.envoy).toFixed(0)}`,
  );
  console.log(
    `requests: ${result.failed} failed of ${result.sent} sent, ${result.unsent} due and not sent (${(result.sent / seconds).toFixed(0)} a second, p50 ${result.p50.toFixed(1)}, p99 ${result.p99.toFixed(1)} ms)`,
  );
  for (const [why, count] of Object.entries(result.failures).slice(0, 20)) console.log(`  ${count} × ${why}`);
  console.log(`refused by Envoy: ${nacks}; not acknowledged in ${ACKED_MS / 1000} s or refused: ${unacknowledged}`);
  console.log(`machine: ${machine()}`);
  // A second's worth may wait at the end; more was not the load that was promised.
  if (result.unsent > rate)
    console.log(
      `${result.unsent} requests were never sent: the gateway or this machine was too slow for ${rate} a second`,
    );
  if (result.failed + nacks + unacknowledged > 0 || result.unsent > rate) process.exitCode = 1;
} finally {
  await closeScope();
}
