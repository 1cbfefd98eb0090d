import { beforeAll, expect, it } from 'vitest';
import type { Resource } from '../../src/core/ads/resource.js';
import { AdsWorld } from '../support/ads-world.js';
import { type Backend, startBackend } from '../support/backend.js';
import { badCluster, badEndpoints, badListener, badRoutes, badScope } from '../support/hostile.js';
import { forward, groupIr, mock, routeIr } from '../support/ir.js';
import { until } from '../support/until.js';

// A thousand good objects and a thousand hostile ones among them, put straight into the table of a fleet: the front door
// refuses them. A real Envoy serves meanwhile.

const GROUPS = 800;
const CLUSTERS = 200;
const HOSTILE = 1000;

let world: AdsWorld;
let backend: Backend;
beforeAll(async () => {
  backend = await startBackend('backend');
  world = await AdsWorld.start();
});

const host = (i: number) => `good-${i}.test`;
const goodGroup = (i: number, text = 'one'): Resource[] =>
  world.group(
    groupIr(
      [host(i)],
      [routeIr('/mock', mock(JSON.stringify(text))), routeIr('/call', forward(`cluster-${i % CLUSTERS}`))],
      { id: `group-${i}` },
    ),
  );
const scopeOf = (resources: Resource[]) => resources.filter(({ type }) => type.endsWith('ScopedRouteConfiguration'));

/** One hostile object, of each sort in turn; the last sort spoils the content of a good group that is in force. */
function hostile(i: number): { spoils?: number; refused: Resource; beside: Resource[] } {
  const name = `hostile-${i}`;
  const group = () => world.group(groupIr([`${name}.test`], [routeIr('/mock', mock('"x"'))], { id: name }));
  switch (i % 10) {
    case 0:
    case 1:
      return { refused: badCluster(name), beside: [] };
    case 2:
    case 3:
      return { refused: badEndpoints(name), beside: world.cluster(name, backend.port).slice(0, 1) };
    case 4:
      return { refused: badScope(name), beside: [] };
    case 5:
      return { refused: badListener(name), beside: [] };
    case 6:
    case 7:
      return { refused: badRoutes(name), beside: scopeOf(group()) };
    default: {
      const spoils = i % GROUPS;
      return { refused: badRoutes(`group-${spoils}`, name), beside: [], spoils };
    }
  }
}

it('a thousand hostile objects among a thousand good ones: the good ones lose no request', async () => {
  // Half of the good ones are in force first; the others come mixed with the hostile.
  const clusters = Array.from({ length: CLUSTERS }, (_, i) => world.cluster(`cluster-${i}`, backend.port)).flat();
  world.publish([...world.listener(), ...clusters]);
  for (let i = 0; i < GROUPS / 2; i++) world.publish(goodGroup(i));
  await world.startServer();
  await world.settled(30_000);
  const serving = Array.from({ length: GROUPS / 2 }, (_, i) => i);
  const load = world.load(
    () => serving.flatMap((i) => [[host(i), '/mock'] as const, [host(i), '/call'] as const]),
    150,
  );

  const refused = new Map<string, Resource>();
  const spoiled = new Set<number>();
  let next = GROUPS / 2;
  for (let i = 0; i < HOSTILE; i++) {
    const bad = hostile(i);
    // What is not in force yet cannot be spoiled: its first content must be good to have a last good one.
    if (bad.spoils !== undefined && bad.spoils >= next) bad.spoils -= GROUPS / 2;
    const target = bad.spoils === undefined ? bad.refused : badRoutes(`group-${bad.spoils}`, `hostile-${i}`);
    if (bad.spoils !== undefined) {
      spoiled.add(bad.spoils);
      await until(() => world.server.resourceStatus('test/edge', target.type, target.name)[0]?.status.acked, {
        what: `${target.name} to be in force`,
      });
    }
    refused.set(`${target.type}/${target.name}`, target);
    const good = i % 2 === 0 && next < GROUPS ? [next++] : [];
    const edits = [i % (GROUPS / 2)].filter((j) => !spoiled.has(j)).flatMap((j) => goodGroup(j, `edit ${i}`));
    world.publish([...bad.beside, target, ...edits, ...good.flatMap((j) => goodGroup(j))]);
    if (i % 20 === 19) await world.settled(30_000);
  }
  await world.settled(30_000);

  // Exactly the hostile ones are held back, each with its node, its words and what is in force instead.
  const held = () => world.server.heldBack('test/edge');
  expect(
    held()
      .map(({ resource: { type, name, version } }) => `${type}/${name} ${version}`)
      .sort(),
  ).toEqual([...refused].map(([key, { version }]) => `${key} ${version}`).sort());
  expect(held().every(({ node, error }) => node === 'envoy-1' && error !== '')).toBe(true);
  const instead = held().filter(({ resource: { name } }) => name.startsWith('group-'));
  expect(instead.length).toBeGreaterThan(100);
  expect(instead.every(({ good }) => good !== undefined)).toBe(true);
  // Every good object is served, those that came with the hostile ones and those that hostile content was to replace.
  for (let i = 0; i < GROUPS; i++) {
    expect(await world.ask(host(i), '/mock')).toMatch(/^200 /);
    expect(await world.ask(host(i), '/call')).toMatch(/^200 /);
  }

  // A node that connects again is not told again what it refused.
  const before = world.nacks().length;
  world.server.endStreams('the test');
  await until(() => world.stream(), { what: 'the node to be back' });
  await world.settled(30_000);
  world.publish(goodGroup(0, 'after'));
  await until(async () => (await world.ask(host(0), '/mock')) === '200 "after"', { what: 'the next edit' });
  await world.settled(30_000);
  expect(world.nacks().length - before).toBe(0);

  // What is mended leaves the quarantine, in force at once.
  const [first] = [...spoiled];
  world.publish(goodGroup(first as number, 'mended'));
  await until(async () => (await world.ask(host(first as number), '/mock')) === '200 "mended"', { what: 'the mended' });
  await world.settled(30_000);
  expect(held()).toHaveLength(refused.size - 1);

  const { sent, failures } = await load.stop();
  expect(failures).toEqual([]);
  expect(sent).toBeGreaterThan(100);
}, 120_000);
