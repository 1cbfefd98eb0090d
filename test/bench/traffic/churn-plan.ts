import type { Target } from './load-process.js';
import { api, target } from './shape.js';

/** One request of a churn, and what it does to what may be asked for. */
export interface Step {
  /** Objects to write in one change set; or an object to delete. */
  readonly write?: { readonly apis: object[]; readonly clusters: object[] };
  readonly remove?: { readonly collection: 'apis' | 'clusters'; readonly name: string };
  /** Not to be asked for from before the change. */
  readonly leaving: readonly Target[];
  /** To be asked for once the change is acknowledged. */
  readonly coming: readonly Target[];
  /** Single changes in it. */
  readonly changes: readonly Kind[];
}

type Kind =
  | 'add API'
  | 'edit API'
  | 'reorder API'
  | 'delete API'
  | 'add cluster'
  | 'edit cluster'
  | 'vacate cluster'
  | 'delete cluster';

interface Known {
  readonly number: number;
  cluster: string;
  /** Its path is a pattern, which stands behind exact paths in the table. */
  pattern: boolean;
  timeoutMs: number;
}

const MOST_IN_ONE = 4;
/** Clusters at the start; deletions stop at half of them. */
export const CLUSTERS = 50;

/** Random changes of a gateway of `routes` APIs, decided by `seed` alone. Every API is at any time one that answers 200. */
export class ChurnPlan {
  readonly #apis: Known[] = [];
  readonly #clusters: string[] = [];
  readonly #timeouts = new Map<string, number>();
  #next: number;
  #nextCluster = CLUSTERS;
  #random: number;

  constructor(
    routes: number,
    private readonly backendPort: number,
    seed: number,
  ) {
    this.#random = seed;
    for (let c = 0; c < CLUSTERS; c++) this.#clusters.push(`c${c}`);
    for (let n = 0; n < routes; n++)
      this.#apis.push({ number: n, cluster: `c${n % CLUSTERS}`, pattern: false, timeoutMs: 3000 });
    this.#next = routes;
  }

  clusters(): object[] {
    return this.#clusters.map((name) => this.#cluster(name));
  }

  apis(): object[] {
    return this.#apis.map((known) => this.#api(known));
  }

  targets(): Target[] {
    return this.#apis.map(({ number }) => target(number));
  }

  next(): Step {
    const dice = this.#below(100);
    if (dice < 12) return this.#deleteApi();
    if (dice < 15 && this.#clusters.length > CLUSTERS / 2) return this.#vacate();
    const apis = new Map<number, Known>();
    const clusters = new Set<string>();
    const changes: Kind[] = [];
    const coming: Target[] = [];
    for (let left = 1 + this.#below(MOST_IN_ONE); left > 0; left--) {
      const which = this.#below(100);
      if (which < 25) {
        const known = { number: this.#next++, cluster: this.#any(this.#clusters), pattern: false, timeoutMs: 3000 };
        if (this.#below(3) === 0) {
          // A new cluster with its first API: the route must not arrive before it.
          known.cluster = `c${this.#nextCluster++}`;
          this.#clusters.push(known.cluster);
          clusters.add(known.cluster);
          changes.push('add cluster');
        }
        this.#apis.push(known);
        apis.set(known.number, known);
        coming.push(target(known.number));
        changes.push('add API');
      } else if (which < 80) {
        const known = this.#any(this.#apis);
        if (which < 55) {
          known.timeoutMs = 2000 + this.#below(3000);
          known.cluster = this.#any(this.#clusters);
          changes.push('edit API');
        } else {
          known.pattern = !known.pattern;
          changes.push('reorder API');
        }
        apis.set(known.number, known);
      } else {
        const name = this.#any(this.#clusters);
        this.#timeouts.set(name, 500 + this.#below(1000));
        clusters.add(name);
        changes.push('edit cluster');
      }
    }
    return {
      write: {
        apis: [...apis.values()].map((known) => this.#api(known)),
        clusters: [...clusters].map((name) => this.#cluster(name)),
      },
      leaving: [],
      coming,
      changes,
    };
  }

  #deleteApi(): Step {
    const at = this.#below(this.#apis.length);
    const known = this.#apis[at] as Known;
    this.#apis[at] = this.#apis.at(-1) as Known;
    this.#apis.pop();
    return {
      remove: { collection: 'apis', name: `api-${known.number}` },
      leaving: [target(known.number)],
      coming: [],
      changes: ['delete API'],
    };
  }

  #doomed: string | undefined;

  /** Sends the APIs of a cluster elsewhere, all at once; the next time, deletes it. */
  #vacate(): Step {
    if (this.#doomed !== undefined) {
      const name = this.#doomed;
      this.#doomed = undefined;
      return { remove: { collection: 'clusters', name }, leaving: [], coming: [], changes: ['delete cluster'] };
    }
    const [name] = this.#clusters.splice(this.#below(this.#clusters.length), 1) as [string];
    this.#doomed = name;
    const moved = this.#apis.filter(({ cluster }) => cluster === name);
    for (const known of moved) known.cluster = this.#any(this.#clusters);
    return {
      write: { apis: moved.map((known) => this.#api(known)), clusters: [] },
      leaving: [],
      coming: [],
      changes: ['vacate cluster'],
    };
  }

  #api({ number, cluster, pattern, timeoutMs }: Known): object {
    const path = target(number).path;
    return api(number, cluster, {
      timeoutMs,
      match: { path: pattern ? path.replace('/items', '/{what}') : path, methods: ['GET'] },
    });
  }

  #cluster(name: string): object {
    const timeout = this.#timeouts.get(name);
    return {
      name,
      endpoints: [{ host: '127.0.0.1', port: this.backendPort }],
      ...(timeout !== undefined && { connectTimeoutMs: timeout }),
    };
  }

  #any<T>(list: readonly T[]): T {
    return list[this.#below(list.length)] as T;
  }

  /** A whole number below `bound` (a linear congruence: Knuth, The Art of Computer Programming, volume 2, 3.3.4). */
  #below(bound: number): number {
    this.#random = (Math.imul(this.#random, 1664525) + 1013904223) >>> 0;
    return Math.floor((this.#random / 2 ** 32) * bound);
  }
}
