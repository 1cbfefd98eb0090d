import { describe, expect, it } from 'vitest';
import { type Resource, TYPE } from '../../src/core/ads/resource.js';
import type { Outgoing } from '../../src/core/ads/session.js';
import { DeltaSession } from '../../src/core/ads/session-delta.js';
import { SotwSession } from '../../src/core/ads/session-sotw.js';
import { ResourceTable } from '../../src/core/ads/table.js';
import { made } from './ads-envoy-model.js';

const secret = (text: string) => made(TYPE.secret, 'key', text);
const secured = (text = '1') => [
  made(TYPE.cluster, 'c', text, [{ type: TYPE.secret, name: 'key' }]),
  made(TYPE.endpoint, 'c', text),
];
const plain = [made(TYPE.cluster, 'p', '1'), made(TYPE.endpoint, 'p', '1')];
const routeTo = (cluster: string) => made(TYPE.route, 'r', `to ${cluster}`, [{ type: TYPE.cluster, name: cluster }]);
const named = (resources: readonly Resource[]) => resources.map(({ type, name }) => ({ type, name }));

/** A node that has the token and all but the secret; acknowledges what it is told to. */
class Node {
  readonly table = new ResourceTable();
  readonly session: DeltaSession;
  now = 0;

  constructor(upserts: readonly Resource[] = []) {
    this.table.apply({ upserts, removals: [] });
    this.session = new DeltaSession({ table: this.table, authorised: true, knownNode: false, now: 0 });
  }

  ask(type: string, subscribe: readonly string[], nonce = ''): void {
    this.session.request({ type, subscribe, unsubscribe: [], initialVersions: new Map(), nonce }, this.now);
  }

  publish(upserts: readonly Resource[], removals: readonly { type: Resource['type']; name: string }[] = []): void {
    this.session.changed(this.table.apply({ upserts, removals }), this.now);
  }

  readonly #open: Outgoing[] = [];

  /** Acknowledges what was left unanswered. */
  answer(): void {
    for (const { type, nonce } of this.#open.splice(0)) this.ask(type, [], nonce);
  }

  /** All there is to say, as `Type name -removed`; acknowledged unless its type is in `silent`. */
  say(...silent: string[]): string[] {
    const said: Outgoing[] = [];
    for (let next = this.session.next(this.now); next; next = this.session.next(this.now)) {
      if (next.resources.length + next.removed.length > 0) said.push(next); // else it is the end of a first delivery
      if (silent.includes(next.type)) this.#open.push(next);
      else this.ask(next.type, [], next.nonce);
    }
    return said.map(({ type, resources, removed }) =>
      [type.split('.').at(-1), ...resources.map((r) => r.name), ...removed.map((name) => `-${name}`)].join(' '),
    );
  }

  pass(ms: number): void {
    this.now += ms;
    this.session.tick(this.now);
  }
}

/** In force: route `r` to cluster `p`. */
function serving(): Node {
  const node = new Node([...plain, routeTo('p')]);
  node.ask(TYPE.cluster, ['*']);
  node.ask(TYPE.endpoint, ['p']);
  node.ask(TYPE.route, ['r']);
  expect(node.say()).toEqual(['Cluster p', 'ClusterLoadAssignment p', 'RouteConfiguration r']);
  return node;
}

describe('a secret', () => {
  it('is for nodes with the token only, whatever the variant', () => {
    const options = { table: new ResourceTable(), authorised: false, knownNode: false, now: 0 };
    const delta = { type: TYPE.secret, subscribe: ['key'], unsubscribe: [], initialVersions: new Map(), nonce: '' };
    expect(new DeltaSession(options).request(delta, 0).refusal?.code).toBe('PERMISSION_DENIED');
    const sotw = { type: TYPE.secret, names: ['key'], version: '', nonce: '' };
    expect(new SotwSession(options).request(sotw, 0).refusal?.code).toBe('PERMISSION_DENIED');
  });

  it('that does not exist is met with silence, and comes when it does', () => {
    const node = new Node();
    node.ask(TYPE.secret, ['key']);
    expect(node.say()).toEqual([]);
    node.publish([secret('1')]);
    expect(node.say()).toEqual(['Secret key']);
    node.publish([secret('2')]);
    expect(node.say()).toEqual(['Secret key']);
  });

  it('comes before clusters that need it, and traffic moves to them only when they have it', () => {
    const node = serving();
    node.publish([...secured(), routeTo('c')], named(plain));
    // As Envoy does: the cluster is not acknowledged before it is warm; its secret is asked for after its endpoints.
    expect(node.say(TYPE.cluster)).toEqual(['Cluster c']);
    node.ask(TYPE.endpoint, ['c']);
    expect(node.say()).toEqual(['ClusterLoadAssignment c']);
    node.ask(TYPE.secret, ['key']);
    expect(node.say()).toEqual([]);
    expect(node.session.held().find(({ item }) => item.type === TYPE.route)?.on.name).toBe('key');
    // However long that takes: what serves goes on serving.
    node.pass(60_000);
    expect(node.say()).toEqual([]);
    node.publish([secret('1')]);
    expect(node.say(TYPE.secret)).toEqual(['Secret key']);
    // Not in force before it is acknowledged.
    node.answer();
    expect(node.say()[0]).toBe('RouteConfiguration r');
    expect(node.session.held()).toEqual([]);
  });

  it('that nobody has keeps a cluster in force from changing to need it', () => {
    const node = serving();
    const needy = made(TYPE.cluster, 'p', '2', [{ type: TYPE.secret, name: 'key' }]);
    node.publish([needy]);
    node.pass(60_000);
    expect(node.say()).toEqual([]);
    expect(node.session.held()).toMatchObject([{ item: { name: 'p' }, why: 'warming', on: { name: 'key' } }]);
    node.publish([secret('1')]);
    expect(node.say()[0]).toBe('Cluster p');
  });

  it('goes after the last that needs it, though both go in one change', () => {
    const node = new Node([...secured(), secret('1')]);
    node.ask(TYPE.cluster, ['*']);
    node.ask(TYPE.endpoint, ['c']);
    node.ask(TYPE.secret, ['key']);
    expect(node.say()).toEqual(['Secret key', 'Cluster c', 'ClusterLoadAssignment c']);
    node.publish([], [...named(secured()), { type: TYPE.secret, name: 'key' }]);
    expect(node.say(TYPE.cluster)).toEqual(['Cluster -c']);
    node.answer();
    expect(node.say().toSorted()).toEqual(['ClusterLoadAssignment -c', 'Secret -key']);
  });
});
