import { byNameOnly, type Resource } from '../core/ads/resource.js';
import type { Log } from '../logger.js';
import { JUDGED, judge } from './judge.js';
import { type CanaryProcess, startProcess } from './process.js';

export interface Verdict {
  readonly resource: Resource;
  readonly kind: 'accepted' | 'refused' | 'not judged';
  /** Envoy's text when it refused, or why there is no verdict. */
  readonly text: string;
}

export interface CanaryOptions {
  /** Path of the Envoy to run. */
  readonly binary: string;
  readonly log: Log;
}

/** Resources on their way to Envoy at a time. */
const CHUNK = 64;
/** Content known to be accepted that is remembered, so that a dry run and its publication are judged once. */
const REMEMBERED = 20_000;
/** Longest a chunk may take; a canary that takes longer is replaced. */
const CHUNK_MS = 10_000;
/** Between the loss of its stream and the end of a process. */
const LOST_MS = 2_000;
const RESTART_MS = { first: 100, most: 5_000 };

/**
 * A resident Envoy without traffic that says of resources whether Envoy takes them. It is told each, answers, and forgets
 * it: it holds no state that could grow, differ from what is published, or be lost. When it ends it is started again.
 */
export class Canary {
  #process: Promise<CanaryProcess> | undefined;
  /** The next process that takes resources; another promise when that has ended. */
  #up = Promise.withResolvers<CanaryProcess>();
  #running: CanaryProcess | undefined;
  #closed = false;
  #restarts = -1;
  #backOff = RESTART_MS.first;
  #timer: NodeJS.Timeout | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  readonly #accepted = new Set<string>();

  private constructor(private readonly options: CanaryOptions) {}

  /** Returns at once; judging waits until Envoy is up. */
  static start(options: CanaryOptions): Canary {
    const canary = new Canary(options);
    canary.#start();
    return canary;
  }

  /** How often it was started again, and the process that runs now. */
  get state(): { readonly pid: number | undefined; readonly restarts: number } {
    return { pid: this.#running?.pid, restarts: Math.max(this.#restarts, 0) };
  }

  /**
   * What Envoy says of each resource that Envoys are told; others are left out. Resolves within `withinMs`: what has no
   * verdict by then is `not judged`. Content that was accepted before is not asked about again. Never throws.
   */
  async judge(resources: readonly Resource[], withinMs: number): Promise<Verdict[]> {
    const verdicts = new Map<string, Verdict>();
    const open = new Map<string, Resource>();
    for (const resource of resources) {
      if (!JUDGED.includes(resource.type) || byNameOnly(resource.name)) continue;
      if (this.#accepted.has(keyOf(resource))) verdicts.set(keyOf(resource), { resource, kind: 'accepted', text: '' });
      else open.set(keyOf(resource), resource);
    }
    let complete: (() => void) | undefined;
    const tell = (resource: Resource, error: string | undefined) => {
      if (error === undefined) this.#remember(resource);
      const kind = error === undefined ? 'accepted' : 'refused';
      verdicts.set(keyOf(resource), { resource, kind, text: error ?? '' });
      open.delete(keyOf(resource));
      if (open.size === 0) complete?.();
    };
    if (open.size > 0) {
      let timer: NodeJS.Timeout | undefined;
      // The last verdict counts: that the canary forgets what it judged need not be waited for.
      const done = new Promise<void>((resolve) => {
        complete = resolve;
        timer = setTimeout(resolve, withinMs);
      });
      await Promise.race([this.#judgeAll([...open.values()], tell, performance.now() + withinMs), done]);
      clearTimeout(timer);
    }
    const text = `The canary gave no verdict in ${withinMs} ms.`;
    return [
      ...verdicts.values(),
      ...[...open.values()].map((resource) => ({ resource, kind: 'not judged' as const, text })),
    ];
  }

  /** Ends it. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await (await this.#process?.catch(() => undefined))?.stop();
  }

  async #judgeAll(resources: readonly Resource[], tell: OnVerdict, until: number): Promise<void> {
    for (const chunk of chunks(resources)) {
      // Chunks of several callers take turns: a large change does not hold up a small one.
      const mine = this.#turn.then(() => this.#judgeChunk(chunk, tell, until));
      this.#turn = mine.catch(() => {});
      await mine;
    }
  }

  /** Judges a chunk; when Envoy ends on the way, its resources one by one, to find the one that ends it. */
  async #judgeChunk(chunk: readonly Resource[], tell: OnVerdict, until: number): Promise<void> {
    const open = new Set(chunk);
    const told: OnVerdict = (resource, error) => {
      open.delete(resource);
      tell(resource, error);
    };
    const ending = await this.#attempt(chunk, told, until);
    if (ending === undefined) return;
    for (const resource of [...open]) {
      let how: string | undefined;
      for (let attempt = 0; attempt < 2 && open.has(resource) && !this.#closed; attempt++)
        how = await this.#attempt([resource], told, until);
      if (how !== undefined && open.has(resource) && performance.now() < until && !this.#closed)
        told(resource, `Envoy itself ended while it took this: the process ${how}`);
    }
  }

  /** Judges what can be judged of `chunk`; returns how Envoy ended when it did. */
  async #attempt(chunk: readonly Resource[], tell: OnVerdict, until: number): Promise<string | undefined> {
    const first = chunk[0];
    if (!first || this.#closed) return undefined;
    const running = await this.#ready(until);
    if (!running) return undefined;
    const judged = judge(running.feed, first.type, chunk, tell).then(
      () => 'judged' as const,
      () => 'lost' as const,
    );
    const outcome = await within(judged, CHUNK_MS);
    if (outcome === 'judged') {
      this.#backOff = RESTART_MS.first;
      return undefined;
    }
    const how = outcome === 'lost' ? await within(running.ended, LOST_MS) : undefined;
    if (how !== undefined) return how;
    this.options.log.warn('the canary does not answer and is replaced', { pid: running.pid });
    await running.stop();
    return undefined;
  }

  /** The process once it takes resources; nothing when that is not before `until`. */
  async #ready(until: number): Promise<CanaryProcess | undefined> {
    for (let left = until - performance.now(); left > 0 && !this.#closed; left = until - performance.now()) {
      const running = await within(this.#up.promise, left);
      if (running === undefined || running === this.#running) return running;
      // Another promise takes the place of the one above when that is told: this never spins.
      await running.ended;
    }
    return undefined;
  }

  #start(): void {
    if (this.#closed) return;
    this.#restarts++;
    const { log, binary } = this.options;
    const started = startProcess(binary);
    this.#process = started;
    started.then(
      async (process) => {
        this.#running = process;
        let ready = false;
        void process.feed.ready.then(() => {
          ready = true;
          this.#up.resolve(process);
        });
        const how = await process.ended;
        this.#running = undefined;
        if (ready) this.#up = Promise.withResolvers<CanaryProcess>();
        if (!this.#closed) log.warn('the canary Envoy ended; it is started again', { pid: process.pid, how });
        this.#again();
      },
      (error: Error) => {
        log.error('the canary Envoy could not be started; it is tried again', { reason: error.message });
        this.#again();
      },
    );
  }

  #again(): void {
    if (this.#closed) return;
    this.#timer = setTimeout(() => this.#start(), this.#backOff);
    this.#timer.unref();
    this.#backOff = Math.min(this.#backOff * 2, RESTART_MS.most);
  }

  #remember(resource: Resource): void {
    this.#accepted.add(keyOf(resource));
    const [oldest] = this.#accepted;
    if (this.#accepted.size > REMEMBERED && oldest !== undefined) this.#accepted.delete(oldest);
  }
}

type OnVerdict = Parameters<typeof judge>[3];

/** What `work` gives within `ms`, else nothing. */
async function within<T>(work: Promise<T>, ms: number): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), ms);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

const keyOf = ({ type, name, version }: Resource): string => `${type}\n${name}\n${version}`;

/** Resources of one type and of different names, at most {@link CHUNK} together, in the order of judging. */
function* chunks(resources: readonly Resource[]): Iterable<Resource[]> {
  for (const type of JUDGED) {
    for (let left = resources.filter((r) => r.type === type); left.length > 0; ) {
      const chunk = new Map<string, Resource>();
      left = left.filter((r) => {
        if (chunk.size >= CHUNK || chunk.has(r.name)) return true;
        chunk.set(r.name, r);
        return false;
      });
      yield [...chunk.values()];
    }
  }
}
