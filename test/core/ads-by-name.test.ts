import { describe, expect, it } from 'vitest';
import { BY_NAME, byNameOnly, type Resource, TYPE, type TypeUrl } from '../../src/core/ads/resource.js';
import { DeltaSession } from '../../src/core/ads/session-delta.js';
import { SotwSession } from '../../src/core/ads/session-sotw.js';
import { ResourceTable } from '../../src/core/ads/table.js';
import { made } from './ads-envoy-model.js';

const ours = (own: string, text = '1'): Resource[] => {
  const name = `${BY_NAME}${own}`;
  const listener = made(TYPE.listener, name, text, [{ type: TYPE.cluster, name }]);
  return [listener, made(TYPE.cluster, name, text), made(TYPE.endpoint, name, text)];
};
const gone = (name: string) =>
  [TYPE.listener, TYPE.cluster, TYPE.endpoint].map((type) => ({ type, name: `${BY_NAME}${name}` }));
const envoys = [made(TYPE.listener, 'http', '1'), made(TYPE.cluster, 'a', '1'), made(TYPE.endpoint, 'a', '1')];

/** A client and the table it is served from. */
class Hand {
  readonly table = new ResourceTable();
  readonly session: DeltaSession | SotwSession;
  #nonces = new Map<string, string>();

  constructor(
    readonly variant: 'delta' | 'sotw',
    upserts: readonly Resource[],
  ) {
    this.table.apply({ upserts, removals: [] });
    const options = { table: this.table, authorised: false, knownNode: true, now: 0 };
    this.session = variant === 'delta' ? new DeltaSession(options) : new SotwSession(options);
  }

  /** Asks for `names`; acknowledges what came before. */
  ask(type: TypeUrl, names: readonly string[], no: readonly string[] = []): void {
    const nonce = this.#nonces.get(type) ?? '';
    this.#nonces.delete(type);
    if (this.session instanceof DeltaSession)
      this.session.request({ type, subscribe: names, unsubscribe: no, initialVersions: new Map(), nonce }, 0);
    else this.session.request({ type, names, nonce }, 0);
  }

  /** Acknowledges what came of a type; state of the world repeats the names. */
  ack(type: TypeUrl, names: readonly string[]): void {
    this.ask(type, this.variant === 'delta' ? [] : names);
  }

  publish(upserts: readonly Resource[], removals: readonly { type: TypeUrl; name: string }[] = []): void {
    this.session.changed(this.table.apply({ upserts, removals }), 0);
  }

  written(): string[] {
    const said: string[] = [];
    for (let next = this.session.next(0); next; next = this.session.next(0)) {
      const { type, nonce, resources, removed } = next;
      this.#nonces.set(type, nonce);
      const names = [...resources.map(({ name }) => name), ...removed.map((name) => `-${name}`)];
      said.push(`${type.split('.').at(-1)} ${names.join(' ')}`.trim());
    }
    return said;
  }
}

describe.each(['delta', 'sotw'] as const)('%s: what is given by name only', (variant) => {
  it('is left out of a wildcard, at first and ever after', () => {
    const hand = new Hand(variant, [...envoys, ...ours('orders')]);
    for (const type of [TYPE.listener, TYPE.cluster]) hand.ask(type, []);
    hand.ask(TYPE.endpoint, ['a']);
    expect(hand.written()).toEqual(['Cluster a', 'ClusterLoadAssignment a', 'Listener http']);
    hand.publish([...ours('orders', '2'), ...ours('users')]);
    expect(hand.written()).toEqual([]);
    hand.publish([], gone('orders'));
    expect(hand.written()).toEqual([]);
    expect(hand.session.backlog).toBe(0);
  });

  it('is given to who names it, followed and taken back', () => {
    const hand = new Hand(variant, [...envoys, ...ours('orders'), ...ours('users')]);
    const name = 'grpc/orders';
    for (const type of [TYPE.listener, TYPE.cluster, TYPE.endpoint]) {
      hand.ask(type, [name]);
      expect(hand.written()).toEqual([`${type.split('.').at(-1)} ${name}`]);
      hand.ack(type, [name]);
      expect(hand.written()).toEqual([]);
    }
    hand.publish([made(TYPE.endpoint, name, '2'), made(TYPE.cluster, 'a', '2'), ...ours('users', '2')]);
    expect(hand.written()).toEqual([`ClusterLoadAssignment ${name}`]);
    hand.ack(TYPE.endpoint, [name]);
    hand.publish([], gone('orders'));
    // In state of the world absence from the list is the removal. The rest goes when the client lets go of it.
    expect(hand.written()).toEqual([variant === 'delta' ? `Listener -${name}` : 'Listener']);
    hand.ack(TYPE.listener, [name]);
    expect(hand.written()).toEqual([]);
    hand.publish(ours('orders', '1').map((r) => (r.type === TYPE.endpoint ? made(r.type, name, '2') : r)));
    expect(hand.written()).toEqual([`Listener ${name}`]);
    hand.ack(TYPE.listener, [name]);
    hand.publish([], gone('orders'));
    expect(hand.written()).toHaveLength(1);
    hand.ack(TYPE.listener, [name]);
    for (const type of [TYPE.cluster, TYPE.endpoint]) hand.ask(type, [], [name]);
    hand.ask(TYPE.listener, variant === 'delta' ? [] : [name], []);
    expect(hand.session.backlog).toBe(0);
    hand.publish(ours('orders', '3'));
    expect(hand.written()).toEqual([`Listener ${name}`]);
  });

  it('an unknown name is answered with its absence, and given when it comes', () => {
    const hand = new Hand(variant, envoys);
    const names = ['grpc/nobody', 'grpc/', 'grpc/../a', 'grpc/\u0000', 'grpc/ünï/Ω', `grpc/${'x'.repeat(10_000)}`];
    hand.ask(TYPE.listener, names);
    const [answer] = hand.written();
    if (variant === 'delta') for (const name of names) expect(answer).toContain(`-${name}`);
    else expect(answer).toBe('Listener');
    hand.ask(TYPE.listener, variant === 'delta' ? [] : names);
    expect(hand.written()).toEqual([]);
    hand.publish(ours('nobody'));
    expect(hand.written()).toEqual(['Listener grpc/nobody']);
  });

  it('names may come one by one; each answer says what is new, or in state of the world all', () => {
    const hand = new Hand(variant, [...ours('a'), ...ours('b'), ...ours('c')]);
    const wanted: string[] = [];
    for (const name of ['a', 'b', 'c']) {
      wanted.push(`grpc/${name}`);
      hand.ask(TYPE.cluster, variant === 'delta' ? [`grpc/${name}`] : wanted);
      expect(hand.written()).toEqual([`Cluster ${variant === 'delta' ? `grpc/${name}` : wanted.join(' ')}`]);
    }
  });
});

it('a wildcard may stand beside names; taking the name back takes the resource back', () => {
  const hand = new Hand('delta', [...envoys, ...ours('orders')]);
  hand.ask(TYPE.cluster, ['*', 'grpc/orders']);
  expect(hand.written()).toEqual(['Cluster a grpc/orders', 'Cluster']);
  hand.ask(TYPE.cluster, [], ['grpc/orders']);
  hand.publish(ours('orders', '2'));
  expect(hand.written()).toEqual([]);
});

it('a wildcard client that comes back is not told of what went meanwhile', () => {
  const hand = new Hand('delta', [...envoys, ...ours('orders')]);
  hand.publish([], [...gone('orders'), { type: TYPE.cluster, name: 'a' }]);
  hand.ask(TYPE.cluster, []);
  expect(hand.written()).toEqual(['Cluster', 'Cluster -a']);
});

it('1 000 clients that ask for 100 names of nothing cost what they asked for, and a publish nothing', () => {
  const table = new ResourceTable();
  table.apply({ upserts: [...envoys, ...ours('orders')], removals: [] });
  const sessions = Array.from({ length: 1000 }, (_, i) => {
    const session = new SotwSession({ table, authorised: false, knownNode: false, now: 0 });
    session.request(
      { type: TYPE.listener, names: Array.from({ length: 100 }, (_, j) => `grpc/${i}-${j}`), nonce: '' },
      0,
    );
    const answer = session.next(0);
    expect(answer?.resources).toEqual([]);
    expect(session.next(0)).toBeUndefined();
    return session;
  });
  const change = table.apply({
    upserts: [...envoys.map((r) => made(r.type, r.name, '2')), ...ours('users')],
    removals: [],
  });
  for (const session of sessions) {
    session.changed(change, 0);
    expect(session.backlog).toBe(0);
    expect(session.next(0)).toBeUndefined();
  }
});

it('only the prefix decides', () => {
  expect(['grpc/a', 'grpc/'].map(byNameOnly)).toEqual([true, true]);
  expect(['grpc', 'grpc.a', 'GRPC/a', 'a/grpc/', ''].map(byNameOnly)).toEqual([false, false, false, false, false]);
});
