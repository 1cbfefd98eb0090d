import { create, toBinary } from '@bufbuild/protobuf';
import { beforeAll, describe, expect, it } from 'vitest';
import { type Resource, resource, TYPE } from '../../src/core/ads/resource.js';
import { RouteConfigurationSchema } from '../../src/gen/envoy/config/route/v3/route_pb.js';
import { AdsWorld } from '../support/ads-world.js';
import { type Backend, startBackend } from '../support/backend.js';
import { forward, groupIr, mock, routeIr } from '../support/ir.js';
import { until } from '../support/until.js';

// What the ADS server does to a real Envoy that serves 200 requests a second meanwhile.

let world: AdsWorld;
let backend: Backend;

/** A group that answers `/mock` by itself with `text` and sends `/call` to `cluster`. */
function group(id: string, hosts: string[], cluster: string, text = 'one'): Resource[] {
  return world.group(
    groupIr(hosts, [routeIr('/mock', mock(JSON.stringify(text))), routeIr('/call', forward(cluster))], { id }),
  );
}

const steady = () =>
  [
    ['steady.test', '/mock'],
    ['steady.test', '/call'],
  ] as const;

beforeAll(async () => {
  backend = await startBackend('backend');
  world = await AdsWorld.start();
});

describe('a real Envoy over ADS', () => {
  it('X92 started before its controller, is served when that comes', async () => {
    world.publish([
      ...world.listener(),
      ...world.cluster('base', backend.port),
      ...group('steady', ['steady.test'], 'base'),
    ]);
    await world.startServer();
    await until(async () => (await world.ask('steady.test', '/call')).startsWith('200 '), {
      within: 20_000,
      what: 'service',
    });
    await world.settled();
    expect(world.nacks()).toEqual([]);
  });

  it('takes an edit of a group without losing a request', async () => {
    const load = world.load(steady);
    for (let i = 1; i <= 20; i++) {
      world.publish(group('steady', ['steady.test'], 'base', `edit ${i}`));
      await world.settled();
      expect(await world.ask('steady.test', '/mock')).toBe(`200 "edit ${i}"`);
    }
    expect((await load.stop()).failures).toEqual([]);
  });

  it('gets a new group with a new cluster at once: never a 503', async () => {
    const load = world.load(steady);
    for (let i = 0; i < 10; i++) {
      world.publish([...group(`new-${i}`, [`new-${i}.test`], `new-${i}`), ...world.cluster(`new-${i}`, backend.port)]);
      const answers = new Set<string>();
      await until(
        async () => {
          const answer = await world.ask(`new-${i}.test`, '/call');
          answers.add(answer.slice(0, 3));
          return answer.startsWith('200 ');
        },
        { what: `group ${i}` },
      );
      expect([...answers].filter((status) => status >= '500')).toEqual([]);
    }
    await world.settled();
    expect((await load.stop()).failures).toEqual([]);
  });

  it('moves a group to a new cluster in the same change that removes the old one', async () => {
    const load = world.load(() => [...steady(), ['new-0.test', '/call']]);
    for (let i = 0; i < 10; i++) {
      const [before, after] = i === 0 ? ['new-0', 'turn-0'] : [`turn-${i - 1}`, `turn-${i}`];
      const gone = AdsWorld.named(world.cluster(before as string, backend.port));
      world.publish(
        [...group('new-0', ['new-0.test'], after as string), ...world.cluster(after as string, backend.port)],
        gone,
      );
      await world.settled();
    }
    const { sent, failures } = await load.stop();
    expect(failures).toEqual([]);
    expect(sent).toBeGreaterThan(0);
  });

  it('moves a host to a group it has not had, and removes the old group with it', async () => {
    const load = world.load(() => [...steady(), ['new-1.test', '/mock'], ['new-1.test', '/call']]);
    for (let i = 0; i < 15; i++) {
      const old = i === 0 ? 'new-1' : `moved-${i - 1}`;
      const gone = AdsWorld.named(group(old, [], 'base'));
      world.publish(group(`moved-${i}`, ['new-1.test'], 'new-1', `moved ${i}`), gone);
      await world.settled();
      expect(await world.ask('new-1.test', '/mock')).toBe(`200 "moved ${i}"`);
    }
    expect((await load.stop()).failures).toEqual([]);
    expect(world.nacks()).toEqual([]);
  });

  it('swaps the hosts of two groups', async () => {
    const load = world.load(() => [...steady(), ['new-2.test', '/mock'], ['new-3.test', '/mock']]);
    for (let i = 0; i < 10; i++) {
      const [two, three] = i % 2 === 0 ? ['new-3', 'new-2'] : ['new-2', 'new-3'];
      world.publish([
        ...group(two as string, ['new-2.test'], 'new-2'),
        ...group(three as string, ['new-3.test'], 'new-3'),
      ]);
      await world.settled();
    }
    expect((await load.stop()).failures).toEqual([]);
  });

  it('forgets a removed group and its cluster; others lose nothing', async () => {
    const load = world.load(steady);
    world.publish(
      [],
      AdsWorld.named([...group('new-9', ['new-9.test'], 'new-9'), ...world.cluster('new-9', backend.port)]),
    );
    await world.settled();
    expect(await world.ask('new-9.test', '/call')).toMatch(/^400 .*"3001"/);
    expect(await world.envoy.admin('/clusters')).not.toContain('new-9::');
    expect((await load.stop()).failures).toEqual([]);
  });

  it('X83 warms a changed cluster at once, because its endpoints come again', async () => {
    const load = world.load(steady);
    for (let i = 1; i <= 5; i++) {
      world.publish(world.cluster('base', backend.port, 1_000 + i));
      await world.settled(); // a stall would take 15 s
    }
    expect((await load.stop()).failures).toEqual([]);
    expect(await world.envoy.admin('/config_dump?resource=dynamic_active_clusters&name_regex=base')).toContain(
      '1.005s',
    );
  });

  it('X84, X85 warms clusters whose endpoints come late, and survives updates and removals of warming ones', async () => {
    const [first, firstEndpoints] = world.cluster('late-1', backend.port) as [Resource, Resource];
    const [second, secondEndpoints] = world.cluster('late-2', backend.port) as [Resource, Resource];
    world.publish([first, second]);
    world.publish([world.cluster('late-1', backend.port, 1_500)[0] as Resource]);
    world.publish([firstEndpoints]);
    world.publish([], [{ type: TYPE.cluster, name: 'late-2' }]);
    world.publish([second]);
    world.publish([secondEndpoints]);
    await world.settled();
    world.publish(world.cluster('late-3', backend.port));
    await world.settled();
    const active = await world.envoy.admin('/clusters');
    for (const name of ['late-1', 'late-2', 'late-3']) expect(active).toContain(`${name}::127.0.0.1:${backend.port}::`);
  });

  it('X88, X89 keeps serving through a restart of the controller: no drain, no cluster warmed again', async () => {
    const before = await Promise.all(
      ['cluster_manager.cluster_modified', 'listener_manager.listener_modified'].map((s) => world.stat(s)),
    );
    const load = world.load(steady);
    for (let i = 0; i < 2; i++) {
      await world.server.close();
      await world.startServer();
      await until(() => world.stream()?.heardAtMs, { within: 30_000, what: 'Envoy to come back' });
      await world.settled();
    }
    world.publish(group('steady', ['steady.test'], 'base', 'after restart'));
    await until(async () => (await world.ask('steady.test', '/mock')) === '200 "after restart"', {
      what: 'an edit after the restart',
    });
    expect((await load.stop()).failures).toEqual([]);
    const after = await Promise.all(
      ['cluster_manager.cluster_modified', 'listener_manager.listener_modified'].map((s) => world.stat(s)),
    );
    expect(after).toEqual(before);
  });

  it('gets what changed while the controller was away, a cluster and its routes among it, without losing a request', async () => {
    const load = world.load(() => [...steady(), ['new-4.test', '/call']]);
    await world.server.close();
    const gone = AdsWorld.named(world.cluster('new-4', backend.port));
    world.publish(
      [
        ...group('new-4', ['new-4.test'], 'fresh'),
        ...world.cluster('fresh', backend.port),
        ...world.cluster('base', backend.port, 1_234),
      ],
      gone,
    );
    await world.startServer();
    await until(() => world.stream()?.heardAtMs, { within: 30_000, what: 'Envoy to come back' });
    await world.settled(10_000);
    expect((await load.stop()).failures).toEqual([]);
    expect(await world.envoy.admin('/clusters')).not.toContain('new-4::');
  });

  it('X90, X91 refuses a bad route table and a cluster that is none; the rest of the change is in force, the old table serves, and mending heals', async () => {
    const load = world.load(() => [...steady(), ['new-5.test', '/mock'], ['new-6.test', '/mock']]);
    const seen = world.nacks().length;
    world.publish([
      badTable('new-5'),
      resource(TYPE.cluster, 'none', Buffer.from('\x0a\xff')),
      ...group('new-6', ['new-6.test'], 'new-6', 'good'),
      ...world.cluster('beside', backend.port),
    ]);
    await until(async () => (await world.ask('new-6.test', '/mock')) === '200 "good"', { what: 'the good group' });
    await until(() => world.stream()?.refused.length === 2, { what: 'both refusals' });
    await world.settled();
    expect(
      world
        .stream()
        ?.refused.map((r) => r.name)
        .sort(),
    ).toEqual(['new-5', 'none']);
    expect(world.nacks().length - seen).toBeLessThanOrEqual(3); // table, batch of clusters, cluster alone: no loop
    expect(await world.ask('new-5.test', '/mock')).toBe('200 "one"');
    expect(await world.envoy.admin('/clusters')).toContain('beside::');
    world.publish(group('new-5', ['new-5.test'], 'new-5', 'mended'), [{ type: TYPE.cluster, name: 'none' }]);
    await until(async () => (await world.ask('new-5.test', '/mock')) === '200 "mended"', { what: 'the mended group' });
    expect((await load.stop()).failures).toEqual([]);
    expect(world.stream()?.refused.map((r) => r.name)).not.toContain('new-5');
  });

  it('X93 serves a route table that comes after its scope, without a change of the listener', async () => {
    const [table, scope] = group('tardy', ['tardy.test'], 'base') as [Resource, Resource];
    const listeners = await world.stat('listener_manager.listener_modified');
    world.publish([scope]);
    await world.settled();
    expect(await world.ask('tardy.test', '/mock')).toMatch(/^400 /);
    world.publish([table]);
    await until(async () => (await world.ask('tardy.test', '/mock')) === '200 "one"', { what: 'the table' });
    expect(await world.stat('listener_manager.listener_modified')).toBe(listeners);
  });

  it('X87 loses nothing in some hundred random changes of groups, hosts and clusters', async () => {
    const churn = new Churn();
    world.publish(churn.all());
    await world.settled();
    const load = world.load(() => [...steady(), ...churn.targets()]);
    for (let i = 0; i < 300; i++) {
      const [upserts, removals] = churn.step();
      world.publish(upserts, removals);
      if (i % 3 === 0) await world.settled(); // otherwise changes overlap
    }
    await world.settled();
    const { sent, failures } = await load.stop();
    expect(failures).toEqual([]);
    expect(sent).toBeGreaterThan(200);
    expect(
      world
        .nacks()
        .filter((e) => !('names' in e && e.names.some((n) => ['new-5', 'none'].includes(n) || n === 'beside'))),
    ).toEqual([]);
  }, 120_000);
});

/** A route table with a regular expression that is none. */
function badTable(name: string): Resource {
  const regex = { case: 'safeRegex' as const, value: { regex: '(' } };
  const routes = [
    { match: { pathSpecifier: regex }, action: { case: 'directResponse' as const, value: { status: 200 } } },
  ];
  const message = create(RouteConfigurationSchema, { name, virtualHosts: [{ name, domains: ['*'], routes }] });
  return resource(TYPE.route, name, toBinary(RouteConfigurationSchema, message));
}

/** Five hosts that always serve, while the groups they belong to and the clusters these use come and go. */
class Churn {
  readonly #hosts = ['h0', 'h1', 'h2', 'h3', 'h4'].map((h) => `${h}.churn.test`);
  /** Group id of each host; cluster of each group. */
  readonly #groupOf = new Map<string, string>();
  readonly #clusterOf = new Map<string, string>();
  readonly #texts = new Map<string, string>();
  #next = 0;
  #seed = 42;

  constructor() {
    for (const host of this.#hosts) {
      const id = this.#fresh('g');
      this.#groupOf.set(host, id);
      this.#clusterOf.set(id, this.#fresh('c'));
    }
  }

  targets(): (readonly [string, string])[] {
    return this.#hosts.flatMap((host) => [[host, '/mock'] as const, [host, '/call'] as const]);
  }

  all(): Resource[] {
    const clusters = [...new Set(this.#clusterOf.values())].flatMap((id) => world.cluster(id, backend.port));
    return [...clusters, ...[...this.#clusterOf.keys()].flatMap((id) => this.#group(id))];
  }

  /** One random change, and what it makes superfluous. */
  step(): [Resource[], { type: Resource['type']; name: string }[]] {
    const before = this.all();
    const host = this.#hosts[this.#random(5)] as string;
    const id = this.#groupOf.get(host) as string;
    const changed: Resource[] = [];
    switch (this.#random(6)) {
      case 0:
        this.#texts.set(id, `text ${this.#next++}`);
        break;
      case 1:
        this.#clusterOf.set(id, this.#fresh('c'));
        break;
      case 2: {
        const moved = this.#fresh('g');
        this.#clusterOf.set(moved, this.#fresh('c'));
        this.#groupOf.set(host, moved);
        break;
      }
      case 3:
        this.#groupOf.set(host, this.#groupOf.get(this.#hosts[this.#random(5)] as string) as string);
        break;
      case 4:
        changed.push(...world.cluster(this.#clusterOf.get(id) as string, backend.port, 500 + this.#random(500)));
        break;
      default:
        this.#clusterOf.set(
          id,
          this.#clusterOf.get(this.#groupOf.get(this.#hosts[this.#random(5)] as string) as string) as string,
        );
    }
    for (const unused of [...this.#clusterOf.keys()])
      if (![...this.#groupOf.values()].includes(unused)) this.#clusterOf.delete(unused);
    const after = this.all();
    const stays = new Set(after.map((r) => `${r.type}/${r.name}`));
    const upserts = new Map([...after, ...changed].map((r) => [`${r.type}/${r.name}`, r]));
    const removals = AdsWorld.named(before.filter((r) => !stays.has(`${r.type}/${r.name}`)));
    return [
      [...upserts.values()].filter((r) => changed.includes(r) || !changed.some((c) => c.name === r.name)),
      removals,
    ];
  }

  #group(id: string): Resource[] {
    const hosts = this.#hosts.filter((host) => this.#groupOf.get(host) === id);
    return group(id, hosts, this.#clusterOf.get(id) as string, this.#texts.get(id) ?? 'first');
  }

  #fresh(kind: string): string {
    return `churn-${kind}${this.#next++}`;
  }

  #random(n: number): number {
    this.#seed = (Math.imul(this.#seed, 1_103_515_245) + 12_345) >>> 0;
    return (this.#seed >>> 12) % n;
  }
}
