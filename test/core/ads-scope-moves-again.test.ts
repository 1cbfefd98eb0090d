import { expect, it } from 'vitest';
import { type Resource, TYPE, type TypeUrl } from '../../src/core/ads/resource.js';
import type { Outgoing } from '../../src/core/ads/session.js';
import { DeltaSession } from '../../src/core/ads/session-delta.js';
import { ResourceTable } from '../../src/core/ads/table.js';
import { made } from './ads-envoy-model.js';

const route = (name: string) => made(TYPE.route, name, name);
const scope = (to: string) => made(TYPE.scope, 'host', to, [{ type: TYPE.route, name: to }]);
const helper = (to: string) => `paifang/helper/${to}`;

/** A client whose host is on route table `first`; the clock is the test's. */
function client() {
  const table = new ResourceTable();
  table.apply({ upserts: [route('first'), scope('first')], removals: [] });
  const session = new DeltaSession({ table, authorised: false, knownNode: false, now: 0 });
  const client = {
    now: 0,
    ask(type: string, subscribe: string[] = [], more: { nonce?: string; error?: string } = {}) {
      session.request({ type, subscribe, unsubscribe: [], initialVersions: new Map(), nonce: '', ...more }, client.now);
    },
    /** What is written now, each response answered: refused when it holds `refusing`. */
    written(refusing?: string): string[] {
      const responses: Outgoing[] = [];
      for (let next = session.next(client.now); next; next = session.next(client.now)) {
        responses.push(next);
        const refused = next.resources.some(({ name }) => name === refusing);
        client.ask(next.type, [], { nonce: next.nonce, ...(refused && { error: 'no' }) });
      }
      return responses.flatMap((r) => [...r.resources.map(({ name }) => name), ...r.removed.map((name) => `-${name}`)]);
    },
    publish(upserts: readonly Resource[], removals: { type: TypeUrl; name: string }[] = []) {
      session.changed(table.apply({ upserts, removals }), client.now);
    },
    pass(ms: number) {
      client.now += ms;
      session.tick(client.now);
    },
  };
  client.ask(TYPE.scope);
  client.ask(TYPE.route, ['first']);
  expect(client.written()).toEqual(['first', 'host']);
  return client;
}

it('a host that waited long for a table that was refused, and is then given another, waits for that one too', () => {
  const { publish, written, ask, pass } = client();
  publish([route('second'), scope('second')]);
  expect(written()).toEqual([helper('second')]);
  ask(TYPE.route, ['second']);
  expect(written('second')).toEqual(['second']);
  pass(60_000);
  expect(written()).toEqual([]);
  publish([route('third'), scope('third')], [{ type: TYPE.route, name: 'second' }]);
  expect(written()).toEqual(expect.arrayContaining([helper('third')]));
  // The scope would be moved to a table that the client does not know: its host would have none.
  pass(10_000);
  expect(written()).not.toContain('host');
  ask(TYPE.route, ['third']);
  expect(written()).toEqual(['third', 'host', `-${helper('third')}`]);
});

it('a host whose table changes all the time moves all the same, at the latest when the wait for one place is over', () => {
  const { publish, written, pass } = client();
  publish([route('second'), scope('second')]);
  written();
  for (let i = 0; i < 5; i++) {
    pass(4_000);
    publish([made(TYPE.route, 'second', `content ${i}`)]);
  }
  expect(written()).toContain('host');
});
