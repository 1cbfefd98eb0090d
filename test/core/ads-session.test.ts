import { describe, expect, it } from 'vitest';
import { type Resource, TYPE, type TypeUrl } from '../../src/core/ads/resource.js';
import type { Outgoing } from '../../src/core/ads/session.js';
import { type DeltaRequest, DeltaSession } from '../../src/core/ads/session-delta.js';
import { ResourceTable } from '../../src/core/ads/table.js';
import { made } from './ads-envoy-model.js';

/** A delta session with a hand on the clock. */
class Hand {
  now = 0;
  readonly table = new ResourceTable();
  readonly session: DeltaSession;

  constructor(upserts: readonly Resource[] = [], options: { authorised?: boolean; knownNode?: boolean } = {}) {
    this.table.apply({ upserts, removals: [] });
    const { authorised = false, knownNode = false } = options;
    this.session = new DeltaSession({ table: this.table, authorised, knownNode, now: 0 });
  }

  ask(type: string, names: readonly string[] = [], more: Partial<DeltaRequest> = {}) {
    const request = { type, subscribe: names, unsubscribe: [], initialVersions: new Map(), nonce: '', ...more };
    return this.session.request(request, this.now);
  }

  publish(upserts: readonly Resource[], removals: readonly { type: TypeUrl; name: string }[] = []): void {
    this.session.changed(this.table.apply({ upserts, removals }), this.now);
  }

  /** All there is to write now, as `Type name…` and `Type -name…`. */
  written(): string[] {
    return this.responses().map(({ type, resources, removed }) => {
      const parts = [...resources.map((r) => r.name), ...removed.map((name) => `-${name}`)];
      return `${type.split('.').at(-1)} ${parts.join(' ')}`.trim();
    });
  }

  readonly sent: Outgoing[] = [];
  responses(): Outgoing[] {
    const responses: Outgoing[] = [];
    for (let next = this.session.next(this.now); next; next = this.session.next(this.now)) responses.push(next);
    this.sent.push(...responses);
    return responses;
  }

  /** Acknowledges the newest response that mentions `name`. */
  ack(type: TypeUrl, name: string, error?: string): void {
    const response = this.sent.findLast(
      (r) => r.type === type && [...r.resources.map((x) => x.name), ...r.removed].includes(name),
    );
    this.ask(type, [], { nonce: response?.nonce ?? '', ...(error !== undefined && { error }) });
  }

  pass(ms: number): void {
    this.now += ms;
    this.session.tick(this.now);
  }
}

const cluster = (name: string) => ({ type: TYPE.cluster, name });
const eds = (name: string, text = '1') => [made(TYPE.cluster, name, text), made(TYPE.endpoint, name, text)];
const route = (name: string, text: string, ...uses: string[]) => made(TYPE.route, name, text, uses.map(cluster));

/** A client that has cluster `a` and route table `r` on it. */
function settled(): Hand {
  const hand = new Hand([...eds('a'), route('r', '1', 'a')]);
  hand.ask(TYPE.cluster);
  hand.ask(TYPE.endpoint, ['a']);
  hand.ask(TYPE.route, ['r']);
  expect(hand.written()).toEqual(['Cluster a', 'ClusterLoadAssignment a']);
  hand.ack(TYPE.endpoint, 'a');
  expect(hand.written()).toEqual(['RouteConfiguration r']);
  hand.ack(TYPE.cluster, 'a');
  hand.ack(TYPE.route, 'r');
  return hand;
}

describe('a route table that needs a new cluster', () => {
  it('goes out when the endpoints are acknowledged, though the cluster is not', () => {
    const hand = settled();
    hand.publish([...eds('b'), route('r', '2', 'b')]);
    expect(hand.written()).toEqual(['Cluster b']);
    hand.ask(TYPE.endpoint, ['b']);
    expect(hand.written()).toEqual(['ClusterLoadAssignment b']);
    hand.ack(TYPE.endpoint, 'b');
    expect(hand.written()).toEqual(['RouteConfiguration r']);
  });

  it('is late after 5 s and goes out after 20 s; others go on meanwhile', () => {
    const hand = settled();
    hand.publish([...eds('b'), route('r', '2', 'b')]);
    expect(hand.written()).toEqual(['Cluster b']);
    hand.ask(TYPE.route, ['other']);
    hand.publish([route('other', '1', 'a')]);
    expect(hand.written()).toEqual(['RouteConfiguration other']);
    hand.pass(4_999);
    expect(hand.written()).toEqual([]);
    expect(hand.session.takeLate()).toEqual([]);
    hand.pass(1);
    expect(hand.written()).toEqual([]);
    expect(hand.session.takeLate()).toMatchObject([{ item: { name: 'r' }, why: 'warming', on: cluster('b') }]);
    expect(hand.session.takeLate()).toEqual([]);
    hand.pass(14_999);
    expect(hand.written()).toEqual([]);
    hand.pass(1);
    expect(hand.written()).toEqual(['RouteConfiguration r']);
  });

  it('waits for the acknowledgement of a cluster that has no endpoint set of its own', () => {
    const hand = settled();
    hand.publish([made(TYPE.cluster, 'dns', '1'), route('r', '2', 'dns')]);
    expect(hand.written()).toEqual(['Cluster dns']);
    hand.ack(TYPE.cluster, 'dns');
    expect(hand.written()).toEqual(['RouteConfiguration r']);
  });

  it('stays at its last good content while the cluster is refused, and the old cluster with it', () => {
    const hand = settled();
    hand.publish([...eds('b'), route('r', '2', 'b')], [cluster('a'), { type: TYPE.endpoint, name: 'a' }]);
    expect(hand.written()).toEqual(['Cluster b']);
    hand.ack(TYPE.cluster, 'b', 'no');
    hand.pass(60_000);
    expect(hand.written()).toEqual([]);
    expect(hand.session.status(TYPE.cluster, 'a')).toMatchObject({ acked: expect.any(String), held: 'in-use' });
    hand.publish(eds('b', 'mended'));
    expect(hand.written()).toEqual(['Cluster b']);
    hand.ack(TYPE.cluster, 'b');
    expect(hand.written()).toEqual(['RouteConfiguration r']);
    hand.ack(TYPE.route, 'r');
    expect(hand.written()).toEqual(['Cluster -a']);
    hand.ack(TYPE.cluster, 'a');
    expect(hand.written()).toEqual(['ClusterLoadAssignment -a']);
  });
});

describe('a client that comes back', () => {
  it('gets the endpoints of a cluster that changed, although it has them', () => {
    const hand = new Hand(eds('a', 'new'));
    const [old] = eds('a', 'old');
    hand.ask(TYPE.cluster, [], { initialVersions: new Map([['a', old?.version ?? '']]) });
    const version = hand.table.get(TYPE.endpoint, 'a')?.version ?? '';
    hand.ask(TYPE.endpoint, ['a'], { initialVersions: new Map([['a', version]]) });
    expect(hand.written()).toEqual(['Cluster a', 'ClusterLoadAssignment a']);
  });

  it('keeps a removed cluster until its old routes, of which only versions are known, are replaced', () => {
    const hand = new Hand([...eds('b'), route('r', '2', 'b')]);
    hand.ask(TYPE.cluster, [], { initialVersions: new Map([['a', 'x']]) });
    expect(hand.written()).toEqual(['Cluster b']);
    hand.ask(TYPE.route, ['r'], { initialVersions: new Map([['r', 'old']]) });
    hand.ack(TYPE.cluster, 'b');
    expect(hand.written()).toEqual(['RouteConfiguration r']);
    hand.ack(TYPE.route, 'r');
    expect(hand.written()).toEqual(['Cluster -a']);
  });

  it('is told of removals if it was known and comes without a word of what it holds', () => {
    for (const [knownNode, told] of [
      [true, ['Cluster a', 'Cluster -gone']],
      [false, ['Cluster a']],
    ] as const) {
      const hand = new Hand([...eds('a'), made(TYPE.cluster, 'gone', '1')], { knownNode });
      hand.table.apply({ upserts: [], removals: [cluster('gone')] });
      hand.ask(TYPE.cluster);
      hand.ask(TYPE.route, ['none']);
      expect(hand.written().filter((line) => line.startsWith('Cluster'))).toEqual(told);
    }
  });
});

describe('types that hold secrets', () => {
  const app = made(TYPE.app, 'app-1', 'key');
  it('are refused to a stream without the node token, saying what to do', () => {
    const { refusal } = new Hand([app]).ask(TYPE.app, ['*']);
    expect(refusal).toMatchObject({ code: 'PERMISSION_DENIED', message: expect.stringContaining('authorization') });
  });
  it('are given to a stream with it, in one batch', () => {
    const hand = new Hand([app, made(TYPE.app, 'app-2', 'key')], { authorised: true });
    hand.ask(TYPE.app, ['*']);
    expect(hand.written()[0]).toBe('App app-1 app-2');
  });
});

describe('policies', () => {
  it('stay at an edge for ten seconds after they are gone: requests that name them may be on their way', () => {
    const hand = new Hand([made(TYPE.policy, 'p', '1')]);
    hand.ask(TYPE.policy, ['*']);
    hand.written();
    hand.publish([], [{ type: TYPE.policy, name: 'p' }]);
    hand.pass(9_999);
    expect(hand.written()).toEqual([]);
    hand.pass(1);
    expect(hand.written()).toEqual(['Policy -p']);
  });
});

describe('a client that answers nothing', () => {
  it('costs bounded memory', () => {
    const hand = settled();
    for (let i = 0; i < 20_000; i++) {
      hand.publish([route('r', `${i}`, 'a')]);
      hand.session.next(hand.now);
    }
    expect(hand.session.unanswered).toBeLessThanOrEqual(8192);
    expect(hand.session.backlog).toBe(0);
  });
});
