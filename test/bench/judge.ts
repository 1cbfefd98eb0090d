/**
 * `npm run bench judge [--rounds 300] [--routes 50]`: how long the resident canary takes to say whether Envoy accepts a
 * resource, by type and verdict, and a whole edit of a group; beside it `envoy --mode validate` on the same group.
 */
import { parseArgs } from 'node:util';
import { Canary } from '../../src/canary/canary.js';
import type { Resource } from '../../src/core/ads/resource.js';
import { clusterResources, fleetResources, groupResources } from '../../src/core/xds/resources.js';
import { closeScope } from '../support/cleanup.js';
import { envoyPath, validate } from '../support/envoy.js';
import { badCluster, badEndpoints, badListener, badRoutes, badScope } from '../support/hostile.js';
import { clusterIr, fleetIr, forward, groupIr, routeIr } from '../support/ir.js';
import { staticBootstrap } from '../support/static-gateway.js';
import { cpuMs, machine, quantile, rssMiB } from './process-cost.js';

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '300' }, routes: { type: 'string', default: '50' } },
});
const rounds = Number(values.rounds);
const VALIDATIONS = 10;

const endpointsOf = (i: number) => [{ host: '10.255.0.1', port: 80 + i, weight: 1 }];
const group = (i: number) => {
  const routes = Array.from({ length: Number(values.routes) }, (_, n) => routeIr(`/r${n}/v${i}`, forward('backend')));
  return groupIr(['bench.example'], routes, { id: 'bench' });
};
const good = (i: number): Resource[] => [
  ...clusterResources(clusterIr('backend', { endpoints: endpointsOf(i + 1), connectTimeoutMs: 1000 + i })),
  ...groupResources(group(i), fleetIr()).slice(0, 1),
  ...fleetResources(fleetIr({ docsUrl: `/codes/${i}/` })),
];
const bad = (i: number): Resource[] => [
  badCluster(`bad-${i}`),
  badEndpoints(`bad-${i}`),
  badRoutes('bad', `${i}`),
  badScope(`bad-${i}`),
  badListener(`bad-${i}`),
];

const times = new Map<string, number[]>();
const note = (what: string, ms: number) => times.set(what, [...(times.get(what) ?? []), ms]);

try {
  const canary = Canary.start({ binary: envoyPath(), log: console as never });
  const timed = async (what: string, resources: readonly Resource[]) => {
    const began = performance.now();
    const verdicts = await canary.judge(resources, 30_000);
    const kinds = [...new Set(verdicts.map(({ kind }) => kind))].join(' ');
    note(`${what}, ${kinds}`, performance.now() - began);
  };
  await canary.judge(good(-1), 30_000);
  const pid = canary.state.pid ?? 0;
  const cpuBefore = cpuMs(pid);
  for (let i = 0; i < rounds; i++) {
    for (const resource of [...good(i), ...bad(i)])
      await timed(resource.type.slice(resource.type.lastIndexOf('.') + 1), [resource]);
  }
  const judged = rounds * (good(0).length + bad(0).length);
  const cpu = (cpuMs(pid) - cpuBefore) / judged;
  for (let i = 0; i < rounds; i++)
    await timed(`edit of a group of ${values.routes} routes and its cluster`, good(i + rounds).slice(0, 3));
  for (let i = 0; i < VALIDATIONS; i++) {
    const gateway = {
      fleet: fleetIr(),
      groups: [group(i)],
      clusters: [clusterIr('backend', { endpoints: endpointsOf(0) })],
    };
    const bootstrap = staticBootstrap(gateway);
    const began = performance.now();
    const { ok } = await validate(bootstrap);
    note(`peer: envoy --mode validate, ${ok ? 'accepted' : 'refused'}`, performance.now() - began);
  }
  console.log(`${machine()}\n\nms until the verdict${' '.repeat(40)}n      p50      p99      max`);
  for (const [what, all] of times) {
    const figures = [quantile(all, 0.5), quantile(all, 0.99), Math.max(...all)].map((ms) => ms.toFixed(2).padStart(9));
    console.log(`${what.padEnd(56)}${String(all.length).padStart(5)}${figures.join('')}`);
  }
  console.log(
    `\ncanary Envoy: ${cpu.toFixed(2)} ms CPU a resource, ${rssMiB(pid).toFixed(0)} MiB after ${judged} of them`,
  );
  await canary.close();
} finally {
  await closeScope();
}
