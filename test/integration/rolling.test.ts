import { expect, it } from 'vitest';
import { Ledger, Publisher } from '../bench/faults/publisher.js';
import { random } from '../bench/faults/random.js';
import { Traffic } from '../bench/faults/traffic.js';
import { startWorld } from '../bench/faults/world.js';
import { until } from '../support/until.js';

process.setMaxListeners(100);

it('controllers are restarted one after the other under load and publications: nothing fails', async () => {
  const world = await startWorld();
  const ledger = new Ledger();
  const traffic = new Traffic(world, ledger, 50, random(1));
  const publisher = new Publisher(world, ledger, 50, random(2), (api, n) => traffic.follow(api, n));
  await until(() => publisher.releases.length > 5, { within: 30_000, what: 'publications' });
  for (const { kept, url } of [...world.controllers, ...world.controllers]) {
    const before = kept.pid;
    const releases = publisher.releases.length;
    kept.signal('SIGTERM');
    await until(async () => kept.pid !== before && (await fetch(`${url}/readyz`)).ok, {
      within: 60_000,
      what: `${kept.name} to be back`,
    });
    await until(() => publisher.releases.length > releases + 3, { within: 30_000, what: 'publications go on' });
  }
  await publisher.stop();
  await until(() => ledger.notInForce().length === 0, { within: 30_000, what: 'all edits in force on both nodes' });
  await traffic.stop();
  const { lost, wrong, words, retried } = traffic.counts();
  expect({ lost, wrong, retried, words }).toEqual({ lost: 0, wrong: 0, retried: 0, words: [] });
  // A client that goes to the other controller when one takes no connection meets no other trouble.
  expect([publisher.faults, publisher.refused, publisher.unsure]).toEqual([[], 0, 0]);
  expect(world.controllers.flatMap(({ kept }) => kept.died)).toEqual([]);
}, 240_000);
