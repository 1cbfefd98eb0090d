import { Connection } from './connection.js';

/** How often each connection asks, in ms. */
export const POLL_MS = 3;
/** Connections on each worker of Envoy. */
const PER_WORKER = 2;
const MOST_TRIES = 64;

/** Kept connections on every worker of an Envoy that ask for one API every few milliseconds, and tell when all saw an edit. */
export class Probes {
  failed = 0;
  asked = 0;
  readonly #seen: number[];
  #running = true;
  readonly #loops: Promise<void>[];
  #check: (() => void) | undefined;

  private constructor(
    private readonly connections: readonly Connection[],
    private readonly target: { readonly host: string; readonly path: string },
  ) {
    this.#seen = connections.map(() => -1);
    this.#loops = connections.map((_, index) => this.#loop(index));
  }

  /**
   * Opens the connections. While it does, nobody else may connect to the listener: which worker took a connection is told by
   * Envoy's counts.
   *
   * @param admin answers of Envoy's admin interface by path.
   */
  static async start(options: {
    readonly port: number;
    readonly workers: number;
    readonly target: { readonly host: string; readonly path: string };
    readonly admin: (path: string) => Promise<string>;
  }): Promise<Probes> {
    const { port, workers, target, admin } = options;
    const counts = async () => {
      const text = await admin(`/stats?filter=worker_`);
      return Array.from({ length: workers }, (_, n) =>
        Number(
          new RegExp(`^listener\\.(?!admin).*worker_${n}\\.downstream_cx_active: (\\d+)`, 'm').exec(text)?.[1] ?? 0,
        ),
      );
    };
    const kept: Connection[][] = Array.from({ length: workers }, () => []);
    const spare: Connection[] = [];
    for (let n = 0; n < MOST_TRIES && kept.some((list) => list.length < PER_WORKER); n++) {
      const before = await counts();
      const connection = new Connection(port);
      await connection.get(target.path, target.host);
      const after = await counts();
      const worker = after.findIndex((count, i) => count > (before[i] ?? 0));
      if (worker >= 0 && (kept[worker]?.length ?? 0) < PER_WORKER) kept[worker]?.push(connection);
      else spare.push(connection);
    }
    for (const connection of spare) connection.close();
    if (kept.some((list) => list.length === 0)) throw new Error('a worker of Envoy took none of 64 connections');
    return new Probes(kept.flat(), target);
  }

  get count(): number {
    return this.connections.length;
  }

  /** Resolves when every connection has been answered with `edit N`, N being `n` or more. Rejects after `withinMs`. */
  all(n: number, withinMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const late = () => reject(new Error(`edit ${n} was not in force after ${withinMs} ms: ${this.#seen.join(' ')}`));
      const timer = setTimeout(late, withinMs);
      this.#check = () => {
        if (!this.#seen.every((edit) => edit >= n)) return;
        clearTimeout(timer);
        this.#check = undefined;
        resolve();
      };
      this.#check();
    });
  }

  async stop(): Promise<void> {
    this.#running = false;
    await Promise.all(this.#loops);
    for (const connection of this.connections) connection.close();
  }

  async #loop(index: number): Promise<void> {
    const { path, host } = this.target;
    while (this.#running) {
      const reply = await this.connections[index]?.get(path, host).catch(() => undefined);
      this.asked++;
      const edit = reply?.status === 200 ? /^edit (\d+)/.exec(reply.body)?.[1] : undefined;
      if (edit === undefined) this.failed++;
      else this.#seen[index] = Number(edit);
      this.#check?.();
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }
}
