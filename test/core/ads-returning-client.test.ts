import { expect, it } from 'vitest';
import { type Resource, TYPE } from '../../src/core/ads/resource.js';
import { DeltaSession } from '../../src/core/ads/session-delta.js';
import { ResourceTable } from '../../src/core/ads/table.js';
import { made } from './ads-envoy-model.js';

it('a cluster that changed on the way back is removed only when it is known which route tables the client came with', () => {
  const table = new ResourceTable();
  const route = (text: string, ...uses: string[]): Resource =>
    made(
      TYPE.route,
      'r',
      text,
      uses.map((name) => ({ type: TYPE.cluster, name })),
    );
  const [before, after] = [made(TYPE.cluster, 'c', '1'), made(TYPE.cluster, 'c', '2')];
  table.apply({ upserts: [after, route('with', 'c')], removals: [] });
  const session = new DeltaSession({ table, authorised: false, knownNode: true, now: 0 });
  const ask = (type: string, subscribe: string[], initial: Resource[], nonce = '') =>
    session.request(
      {
        type,
        subscribe,
        unsubscribe: [],
        initialVersions: new Map(initial.map(({ name, version }) => [name, version])),
        nonce,
      },
      0,
    );
  const written = () => {
    const found: string[] = [];
    for (let next = session.next(0); next; next = session.next(0)) {
      found.push(...next.resources.map(({ name }) => name), ...next.removed.map((name) => `-${name}`));
      ask(next.type, [], [], next.nonce);
    }
    return found;
  };
  ask(TYPE.cluster, [], [before]);
  expect(written()).toEqual(['c']);
  session.changed(table.apply({ upserts: [route('without')], removals: [{ type: TYPE.cluster, name: 'c' }] }), 0);
  // The client has a table that uses it, and will say so in its next request.
  expect(written()).toEqual([]);
  ask(TYPE.route, ['r'], [route('with', 'c')]);
  expect(written()).toEqual(['r', '-c']);
});
