import { expect, it } from 'vitest';
import { Holdings } from '../../src/core/ads/holdings.js';
import { FleetHistory } from '../../src/core/ads/in-force.js';
import { Quarantine } from '../../src/core/ads/quarantine.js';
import { TYPE } from '../../src/core/ads/resource.js';
import { Fleet } from '../../src/wire/ads-fleet.js';
import { made } from './ads-envoy-model.js';

it('endpoints that change all day without a release leave nothing behind, and who has the newest is in step', () => {
  const history = new FleetHistory();
  const endpoint = (version: string) => ({ type: TYPE.endpoint, name: 'c', version });
  history.released(1, [endpoint('first')]);
  history.released(2, []);
  for (let i = 0; i < 10_000; i++) history.amended([endpoint(`v${i}`)]);
  const at = (acked: string) => history.lacks(1, { wants: () => true, acked: () => acked }).length;
  expect([at('v9999'), at('first'), at('v9990')]).toEqual([0, 0, 0]);
  // Too long ago: it is about to be given the newest.
  expect(at('v1')).toBe(1);
  expect(at('never said')).toBe(1);
});

it('the release of what is gone is remembered within bounds, of what is there always', () => {
  const fleet = new Fleet('w/f');
  const policy = (i: number) => made(TYPE.policy, `hash-${i}`, `${i}`);
  fleet.publish({ upserts: [policy(0), made(TYPE.route, 'r', 'x')], removals: [] }, 1);
  for (let i = 1; i <= 12_000; i++)
    fleet.publish({ upserts: [policy(i)], removals: [{ type: TYPE.policy, name: `hash-${i - 1}` }] }, i + 1);
  expect(fleet.release(TYPE.policy, ['hash-0'])).toBeUndefined();
  expect(fleet.release(TYPE.policy, ['hash-11999'])).toBe(12_001);
  expect(fleet.release(TYPE.policy, ['hash-12000'])).toBe(12_001);
  expect(fleet.release(TYPE.route, ['r'])).toBe(1);
});

it('what one node refused is told apart from what others did, and is gone when all of it is accepted', () => {
  const quarantine = new Quarantine();
  const bad = ['a', 'b'].map((name) => made(TYPE.route, name, 'bad'));
  for (const node of ['n', 'm']) for (const one of bad) quarantine.refuse(node, one, 'no', undefined, 1);
  const of = (node: string) => [...quarantine.at(node).all()].map(({ resource }) => resource.name);
  expect([of('n'), of('m'), of('k')]).toEqual([['a', 'b'], ['a', 'b'], []]);
  for (const { type, name, version } of bad) quarantine.accept('n', type, name, version, version);
  expect([of('n'), of('m'), quarantine.size]).toEqual([[], ['a', 'b'], 2]);
  quarantine.refuse('m', made(TYPE.route, 'a', 'worse'), 'no', undefined, 2);
  expect(of('m').sort()).toEqual(['a', 'b']);
});

it('a client that takes everything and answers nothing keeps no old content alive, and its late answers still count', () => {
  const holdings = new Holdings(() => {});
  const versions = Array.from({ length: 100 }, (_, i) => made(TYPE.route, 'r', `content ${i}`));
  for (const [i, resource] of versions.entries())
    holdings.sent({ nonce: i + 1, type: TYPE.route, resources: [resource], removed: [] }, i);
  const waiting = holdings.earlier(TYPE.route, 101);
  expect(waiting.map(({ nonce, resources }) => [nonce, resources[0]?.version])).toEqual(
    versions.map(({ version }, i) => [i + 1, version]),
  );
  expect(waiting.filter(({ resources }) => (resources[0]?.bytes.length ?? 0) > 0)).toHaveLength(4);
  for (const { nonce } of waiting) {
    const response = holdings.take(nonce);
    if (response) holdings.accept(response, () => true);
  }
  expect(holdings.inForce(TYPE.route, 'r')?.resource).toBe(versions.at(-1));
});
