import type { TailedFile, Tailer } from './tailer.js';
import { Wake } from './wake.js';

/** One batch for the collector: `paifang.v1.ShipRequest` without its wire form. */
export interface ShipBatch {
  readonly node: string;
  readonly cluster: string;
  readonly file: string;
  readonly offset: number;
  readonly lines: Buffer;
}

export interface ShipAnswer {
  /** Offset in the file up to which lines are stored. */
  readonly storedTo: number;
  readonly unparsed: number;
}

/** Hands a batch to the collector. Resolves once its lines are stored; rejects when they may not be. */
export type Ship = (batch: ShipBatch, signal: AbortSignal) => Promise<ShipAnswer>;

/** Pause between two rounds, which lets lines gather into batches. */
const GATHER_MS = 200;
const FIRST_BACKOFF_MS = 250;
const LONGEST_BACKOFF_MS = 15_000;

/**
 * Sends what the tailer finds to the collector, in order, one batch at a time. The file is the buffer: while the collector is
 * away nothing is held in memory and nothing is lost. How far a file is shipped moves only when the collector has answered; a
 * batch whose answer was lost is sent again, and the collector tells the lines apart by file and offset.
 */
export class Shipper {
  readonly #tailer: Tailer;
  readonly #origin: { node: string; cluster: string };
  readonly #ship: Ship;
  readonly #abort = new AbortController();
  readonly #wake = new Wake();
  readonly #done: Promise<void>;
  #backoffMs = 0;
  shippedBytes = 0;
  /** Lines the collector could not parse; it keeps them raw. */
  unparsed = 0;
  /** Why the collector is away; null while it answers. */
  failure: string | null = null;

  constructor(tailer: Tailer, origin: { node: string; cluster: string }, ship: Ship) {
    this.#tailer = tailer;
    this.#origin = origin;
    this.#ship = ship;
    this.#done = this.#run();
  }

  /** Tells it that there may be something new. */
  notify(): void {
    if (this.#backoffMs === 0) this.#wake.wake();
  }

  /** Stops; a batch under way is aborted and sent again next time. */
  async close(): Promise<void> {
    this.#abort.abort();
    this.#wake.wake();
    await this.#done;
  }

  async #run(): Promise<void> {
    const { signal } = this.#abort;
    while (!signal.aborted) {
      try {
        for (const tailed of this.#tailer.files) await this.#shipFile(tailed);
        this.failure = null;
        this.#backoffMs = 0;
      } catch (error) {
        if (signal.aborted) return;
        this.failure = error instanceof Error ? error.message : String(error);
        this.#backoffMs = Math.min(LONGEST_BACKOFF_MS, Math.max(FIRST_BACKOFF_MS, this.#backoffMs * 2));
      }
      // Jitter keeps the nodes of a fleet from coming back all at once.
      await this.#wake.sleep(this.#backoffMs > 0 ? this.#backoffMs * (0.5 + Math.random() / 2) : 5_000);
      if (this.#backoffMs === 0 && !signal.aborted) await new Promise((resolve) => setTimeout(resolve, GATHER_MS));
    }
  }

  async #shipFile(tailed: TailedFile): Promise<void> {
    const { progress, id } = tailed;
    if (tailed.file.size <= progress.shipped) return;
    const generation = progress.generation;
    while (!this.#abort.signal.aborted && progress.generation === generation) {
      const chunk = await this.#tailer.read(tailed, progress.shipped);
      if (!chunk) return;
      const batch = { ...this.#origin, file: id, offset: chunk.offset, lines: chunk.bytes };
      const answer = await this.#ship(batch, this.#abort.signal);
      // The file may have been emptied meanwhile: then the answer is about bytes that are gone.
      if (progress.generation !== generation) return;
      this.#advance(tailed, chunk.offset + chunk.bytes.length, answer);
    }
  }

  #advance({ progress, file }: TailedFile, end: number, { storedTo, unparsed }: ShipAnswer): void {
    if (!Number.isSafeInteger(storedTo) || storedTo <= progress.shipped) {
      throw new Error(`the collector answered ${storedTo} to lines from ${progress.shipped} on`);
    }
    // It may have more than was sent now (an answer was lost), but not more than the file has.
    const next = Math.min(storedTo, Math.max(end, file.size));
    this.shippedBytes += next - progress.shipped;
    this.unparsed += unparsed;
    progress.shipped = next;
  }
}
