/**
 * `npm run bench faults [--minutes 15] [--rate 120] [--start N] [--quiet] [--logs DIRECTORY]`: the whole product under faults, and what they cost.
 *
 * PostgreSQL, two controllers on it, two nodes (Envoy and edge) run as processes and are started again as systemd would. While
 * requests run and APIs are edited through either controller, processes are killed, paused and asked to end, and the links
 * between nodes and controllers are cut, slowed and left half open, at random moments that follow from `--start`.
 * What counts as lost and as wrong is told in faults/traffic.ts. Exit status 1 unless nothing was.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { closeScope } from '../support/cleanup.js';
import { until } from '../support/until.js';
import { Chaos } from './faults/chaos.js';
import { Kept } from './faults/kept.js';
import { Ledger, Publisher } from './faults/publisher.js';
import { random } from './faults/random.js';
import { Traffic } from './faults/traffic.js';
import { MOCKS, startWorld, type World } from './faults/world.js';
import { machine, quantile } from './process-cost.js';

/** All that was accepted has to be in force this long after the last fault at the latest. */
const SETTLE_MS = 60_000;
const CALM_MS = 3_000;
/** A pause of this process that is worth telling, in ms: the machine was busy elsewhere. */
const STALL_MS = 500;

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '15' },
    rate: { type: 'string', default: '120' },
    start: { type: 'string', default: String(Date.now() % 1_000_000) },
    quiet: { type: 'boolean', default: false },
    logs: { type: 'string' },
  },
});
const minutes = Number(values.minutes);
const rate = Number(values.rate);
const start = Number(values.start);

const figures = (list: readonly number[]) =>
  list.length === 0
    ? 'none'
    : `p50 ${quantile(list, 0.5).toFixed(0)}  p99 ${quantile(list, 0.99).toFixed(0)}  max ${Math.max(...list).toFixed(0)} ms`;

async function run(world: World): Promise<number> {
  const ledger = new Ledger();
  const traffic = new Traffic(world, ledger, rate, random(start + 1));
  const publisher = new Publisher(world, ledger, 400, random(start + 2), (api, n) => traffic.follow(api, n));
  const stalls: number[] = [];
  let looked = performance.now();
  const watch = setInterval(() => {
    const late = performance.now() - looked - 100;
    if (late > STALL_MS) stalls.push(late);
    looked = performance.now();
  }, 100);
  await delay(CALM_MS);
  const say = (line: string) => values.quiet || console.log(`  ${new Date().toISOString().slice(11, 23)} ${line}`);
  const chaos = new Chaos(world, traffic, random(start), say);
  await delay(minutes * 60_000);
  await chaos.stop();
  await publisher.stop();
  const inForce = await until(() => ledger.notInForce().length === 0, { within: SETTLE_MS, what: 'all edits' }).then(
    () => true,
    () => false,
  );
  await traffic.stop();
  clearInterval(watch);

  const stored = await publisher.stored();
  const lost = publisher.releases.filter((release) => !stored.has(release));
  const twice = publisher.releases.length - new Set(publisher.releases).size;
  const overwritten: string[] = [];
  for (let api = 0; api < MOCKS; api++) {
    const content = await publisher.contentOf(api);
    const accepted = ledger.accepted.get(api)?.n ?? 0;
    if (content < accepted) overwritten.push(`mock-${api} is at mark ${content}; ${accepted} was accepted`);
  }
  const notInForce = inForce ? [] : ledger.notInForce();
  const releasesLost = lost.length + twice + overwritten.length + notInForce.length;
  const { controllers, nodes } = world;
  const kepts = [...controllers.map(({ kept }) => kept), ...nodes.flatMap(({ edge, envoy }) => [edge, envoy])];
  // Without its database a controller does not start; it is started again until it can.
  const noDatabase = (words: string) => words.includes('StoreUnavailable');
  const died = kepts.flatMap((kept) => kept.died).filter((words) => !noDatabase(words));
  const early = kepts.flatMap((kept) => kept.died).filter(noDatabase).length;
  const counts = traffic.counts();
  const all = Object.values(counts.sent).reduce((sum, n) => sum + n, 0);

  console.log(`faults: ${Object.values(chaos.done).reduce((sum, n) => sum + n, 0)}`);
  for (const [what, n] of Object.entries(chaos.done).sort()) console.log(`  ${String(n).padStart(4)} × ${what}`);
  console.log('back to work after being started again or let go on');
  for (const [what, list] of Object.entries(chaos.recoveryMs).sort())
    console.log(`  ${what.padEnd(12)} ${figures(list)}`);
  console.log(
    `requests: ${all} (${Object.entries(counts.sent)
      .map(([kind, n]) => `${n} ${kind}`)
      .join(', ')}), ${counts.retried} of them sent again to the other node`,
  );
  console.log(
    `publications: ${publisher.releases.length} accepted, ${publisher.unsure} accepted whose answer was cut off, ${publisher.retried} tries repeated, ${publisher.refused} of them answered 503`,
  );
  console.log(`starts of a controller that found no database: ${early}`);
  console.log(`accepted → answered with by each node: ${figures(ledger.effectiveMs)} (outages included)`);
  console.log(
    `older answers after a start of Envoy from disk, until a controller answered: ${counts.olderAfterRestart}`,
  );
  console.log(`pauses of the bench itself over ${STALL_MS} ms: ${stalls.length === 0 ? 'none' : figures(stalls)}`);
  console.log(`requests lost by our fault   ${counts.lost}`);
  console.log(`releases lost                ${releasesLost}`);
  console.log(`wrong answers                ${counts.wrong}`);
  console.log(`publications that failed     ${publisher.faults.length}`);
  console.log(`parts that did not come back ${chaos.faults.length}`);
  console.log(`processes that died          ${died.length}`);
  for (const line of [...counts.words, ...lost.map((n) => `release ${n} is gone`), ...overwritten, ...notInForce])
    console.log(`  ${line}`);
  for (const line of [...publisher.faults, ...chaos.faults, ...died]) console.log(`  ${line}`);
  console.log(`machine: ${machine()}`);
  return counts.lost + releasesLost + counts.wrong + publisher.faults.length + chaos.faults.length + died.length;
}

Kept.logs = values.logs;
process.setMaxListeners(2000);
try {
  console.log(`faults: ${minutes} minutes, ${rate} requests a second, --start ${start}; ${machine()}`);
  if ((await run(await startWorld())) > 0) process.exitCode = 1;
} finally {
  await closeScope();
}
