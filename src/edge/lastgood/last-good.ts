import { join } from 'node:path';
import { TYPE } from '../../core/ads/resource.js';
import type { Log } from '../../logger.js';
import type { AdsUpdate } from '../../wire/ads-client.js';
import { EDGE_TYPES, type EdgeTables } from '../tables.js';
import { ENVOY_TYPES, Failover } from './failover.js';
import type { JournalOwner } from './journal.js';
import { LastGoodStore, type LastGoodStoreStats } from './store.js';

export interface LastGoodOptions extends JournalOwner {
  /** Of the node; the file and the socket are below it. */
  readonly directory: string;
  readonly log: Log;
  /** Filled from disk. */
  readonly tables: EdgeTables;
  controllerAnswers(): Promise<boolean>;
}

export interface LastGoodStats extends LastGoodStoreStats {
  /** Envoys that are served from here because no controller answered when they started. */
  readonly failoverStreams: number;
}

/** The socket on which an Envoy is served, below the directory of the node. */
export const FAILOVER_SOCKET = 'failover.sock';
/** How often the time at which the edge was in step is written down, in ms. */
const NOTE_MS = 60_000;

/**
 * Keeps what the controller has in force for this node, on disk and in memory, and serves it while there is no controller:
 * policies and keys to this edge, everything else to its Envoy.
 */
export class LastGood {
  /** The tables were filled from disk: checks can be answered without a controller. */
  readonly fromDisk: boolean;
  #inStep = false;
  readonly #timer: NodeJS.Timeout;

  private constructor(
    private readonly store: LastGoodStore,
    private readonly failover: Failover,
  ) {
    this.fromDisk = store.inStepAtMs !== undefined;
    if (this.fromDisk) failover.begin(store.held);
    this.#timer = setInterval(() => this.#note(), NOTE_MS);
    this.#timer.unref();
  }

  /** @throws Error when the socket cannot be had. */
  static async start(options: LastGoodOptions): Promise<LastGood> {
    const { tables, log } = options;
    const store = await LastGoodStore.open({ ...options, directory: join(options.directory, 'last-good') });
    try {
      fill(tables, store);
    } catch (error) {
      store.refuse((error as Error).message);
    }
    if (store.inStepAtMs !== undefined) {
      log.info('read the last good configuration', {
        resources: store.held.count,
        inStepAt: new Date(store.inStepAtMs).toISOString(),
      });
    }
    try {
      return new LastGood(
        store,
        await Failover.start({ ...options, socket: join(options.directory, FAILOVER_SOCKET) }),
      );
    } catch (error) {
      await store.close();
      throw error;
    }
  }

  /** Types to subscribe to for the sake of Envoy. */
  get types(): readonly string[] {
    return ENVOY_TYPES;
  }

  /** What need not be sent again, by name. */
  versions(type: string): ReadonlyMap<string, string> {
    const versions = this.store.held.versions(type);
    // Of equal version they look different from different places, and the node may have been moved since: they come again.
    return type === TYPE.endpoint ? new Map([...versions.keys()].map((name) => [name, 'of another place'])) : versions;
  }

  /** Takes what the controller sent and the tables took. */
  changed(update: AdsUpdate): void {
    this.store.changed(update);
    this.failover.changed(update);
  }

  /** Everything the controller has in force is held; it answers. */
  inStep(): void {
    this.#inStep = true;
    this.store.inStep(Date.now());
    this.failover.begin(this.store.held);
    void this.failover.handBack();
  }

  /** The controller no longer answers; it was there up to `heardAtMs` (Unix ms). */
  away(heardAtMs = Date.now()): void {
    this.#note(heardAtMs);
    this.#inStep = false;
  }

  /** Up to when (Unix ms) what is held is known to have been in force; undefined: nothing is. */
  goodUntilMs(): number | undefined {
    return this.#inStep ? Date.now() : this.store.inStepAtMs;
  }

  stats(): LastGoodStats {
    return { ...this.store.stats(), failoverStreams: this.failover.streams };
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#note();
    await this.failover.close();
    await this.store.close();
  }

  #note(atMs = Date.now()): void {
    if (this.#inStep) this.store.inStep(atMs);
  }
}

/** Puts what was read from disk into the tables. @throws RangeError when a resource cannot be read; then they are empty. */
function fill(tables: EdgeTables, { held }: LastGoodStore): void {
  try {
    for (const type of EDGE_TYPES) tables.apply({ type, upserts: [...held.of(type).values()], removals: [] });
  } catch (error) {
    for (const type of EDGE_TYPES) tables.apply({ type, upserts: [], removals: [...held.of(type).keys()] });
    throw error;
  }
}
