import { setTimeout as delay } from 'node:timers/promises';
import { until } from '../../support/until.js';
import type { Link, LinkState } from './link.js';
import { oneOf } from './random.js';
import type { Traffic } from './traffic.js';
import type { Node, World } from './world.js';

/** How long a part may take to work again once it was started or let go on, in ms: the database may be killed meanwhile. */
const RECOVERY_MS = 120_000;

/**
 * Faults at random moments, several at once. The two nodes are never disturbed together: somebody has to be left who could
 * answer. Controllers, PostgreSQL and links may fail in any company.
 */
export class Chaos {
  readonly done: Record<string, number> = {};
  readonly recoveryMs: Record<string, number[]> = {};
  readonly faults: string[] = [];
  readonly #open = new Set<Promise<void>>();
  readonly #busy = new Set<unknown>();
  #running = true;
  readonly #loop: Promise<void>;

  constructor(
    private readonly world: World,
    private readonly traffic: Traffic,
    private readonly next: () => number,
    private readonly say: (line: string) => void,
  ) {
    this.#loop = this.#run();
  }

  /** No more faults; resolves when everything works again. */
  async stop(): Promise<void> {
    this.#running = false;
    await this.#loop;
    await Promise.all(this.#open);
  }

  async #run(): Promise<void> {
    const { controllers, nodes } = this.world;
    const node = () => oneOf(nodes, this.next);
    const link = () => (this.next() < 0.5 ? node().envoyLink : node().edgeLink);
    const wait = (from: number, to: number) => Math.round(from + this.next() * (to - from));
    const kinds: (() => Promise<void> | undefined)[] = [
      () => this.#end(oneOf(controllers, this.next), 'SIGKILL'),
      () => this.#end(oneOf(controllers, this.next), 'SIGTERM'),
      () => this.#pauseController(oneOf(controllers, this.next), wait(1000, 8000)),
      () => this.#postgres('kill', 0),
      () => this.#postgres('pause', wait(1000, 8000)),
      () => this.#disturb(node(), 'edge', 'SIGKILL', 0),
      () => this.#disturb(node(), 'edge', 'SIGTERM', 0),
      () => this.#disturb(node(), 'edge', 'SIGSTOP', wait(1000, 8000)),
      () => this.#disturb(node(), 'envoy', 'SIGKILL', 0),
      () => this.#disturb(node(), 'envoy', 'SIGSTOP', wait(1000, 8000)),
      () => this.#link(link(), { kind: 'slow', ms: wait(50, 600) }, wait(2000, 12_000)),
      () => this.#link(link(), { kind: 'cut' }, wait(1000, 8000)),
      () => this.#link(link(), { kind: 'half-open' }, wait(1000, 15_000)),
    ];
    while (this.#running) {
      await delay(wait(500, 3500));
      if (!this.#running) return;
      const fault = oneOf(kinds, this.next)();
      if (fault === undefined) continue;
      const open: Promise<void> = fault
        .catch((error: Error) => {
          this.faults.push(error.message);
        })
        .finally(() => this.#open.delete(open));
      this.#open.add(open);
    }
  }

  /** Runs a fault unless `subject` is under one already. */
  #once(subject: unknown, kind: string, what: string, work: () => Promise<void>): Promise<void> | undefined {
    if (this.#busy.has(subject)) return undefined;
    this.#busy.add(subject);
    this.say(what);
    this.done[kind] = (this.done[kind] ?? 0) + 1;
    return work().finally(() => this.#busy.delete(subject));
  }

  async #recovered(what: string, condition: () => Promise<boolean>): Promise<void> {
    const began = performance.now();
    await until(condition, { within: RECOVERY_MS, what: `${what} to work again` });
    const list = this.recoveryMs[what.replace(/node-\d's |-[ab]$/, '')] ?? [];
    this.recoveryMs[what.replace(/node-\d's |-[ab]$/, '')] = list;
    list.push(performance.now() - began);
  }

  #end(one: World['controllers'][number], signal: 'SIGKILL' | 'SIGTERM') {
    return this.#once(one, `${signal} of a controller`, `${signal} of ${one.kept.name}`, async () => {
      const before = one.kept.pid;
      one.kept.signal(signal);
      await this.#recovered(one.kept.name, async () => one.kept.pid !== before && (await ready(one.url)));
    });
  }

  #pauseController(one: World['controllers'][number], ms: number) {
    return this.#once(one, 'SIGSTOP of a controller', `SIGSTOP of ${one.kept.name} for ${ms} ms`, async () => {
      one.kept.signal('SIGSTOP');
      await delay(ms);
      one.kept.signal('SIGCONT');
      await this.#recovered(one.kept.name, () => ready(one.url));
    });
  }

  #postgres(how: 'kill' | 'pause', ms: number) {
    const pids = this.world.postgres();
    if (pids.length === 0) return undefined;
    return this.#once(
      'postgres',
      how === 'kill' ? 'SIGKILL of PostgreSQL' : 'SIGSTOP of PostgreSQL',
      how === 'kill' ? 'SIGKILL of PostgreSQL' : `SIGSTOP of PostgreSQL for ${ms} ms`,
      async () => {
        if (how === 'kill') process.kill(pids[0] as number, 'SIGKILL');
        else {
          for (const pid of pids) signal(pid, 'SIGSTOP');
          await delay(ms);
          for (const pid of pids) signal(pid, 'SIGCONT');
        }
        await this.#recovered('PostgreSQL', () => this.world.databaseAnswers());
      },
    );
  }

  /** Ends or pauses a part of a node, unless a part of either node is disturbed. */
  #disturb(node: Node, part: 'edge' | 'envoy', how: 'SIGKILL' | 'SIGTERM' | 'SIGSTOP', ms: number) {
    const kept = node[part];
    const what = `${how} of ${kept.name}${how === 'SIGSTOP' ? ` for ${ms} ms` : ''}`;
    return this.#once('node', `${how} of ${part === 'edge' ? 'an edge' : 'an Envoy'}`, what, async () => {
      const close = (part === 'edge' ? node.edgeDown : node.envoyDown).open(how !== 'SIGSTOP');
      const before = kept.pid;
      kept.signal(how);
      if (how === 'SIGSTOP') {
        await delay(ms);
        kept.signal('SIGCONT');
      }
      await this.#recovered(kept.name, async () => {
        if (how !== 'SIGSTOP' && kept.pid === before) return false;
        return this.traffic.works(node, part === 'edge' ? 'signed' : 'mock');
      }).finally(close);
    });
  }

  #link(link: Link, state: LinkState, ms: number) {
    const how = state.kind === 'slow' ? `slow (${state.ms} ms)` : state.kind;
    return this.#once(
      link,
      `${state.kind} link of ${link.name.endsWith('edge') ? 'an edge' : 'an Envoy'}`,
      `link of ${link.name} ${how} for ${ms} ms`,
      async () => {
        link.set(state);
        await delay(ms);
        link.set({ kind: 'whole' });
      },
    );
  }
}

async function ready(url: string): Promise<boolean> {
  return (await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(1000) })).ok;
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // A session of the database that ended meanwhile.
  }
}
