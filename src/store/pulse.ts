import type pg from 'pg';

/** Pause between an answer and the next question, in ms. */
const EVERY_MS = 1_000;
/** After so long without an answer it is told, in ms; a loaded database may take that long. */
const TOLD_MS = 1_000;
/** After so long the connection counts as lost, in ms. */
const LOST_MS = 3_000;

/** Asks a database for a sign of life, over a connection that is used for little else: a server that is frozen, or cut off, closes nothing. */
export class Pulse {
  #askedAt: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  /** @param onLost called once, when there was no answer for too long. */
  constructor(
    private readonly client: pg.ClientBase,
    private readonly onLost: (reason: string) => void,
  ) {
    this.#pause();
  }

  /** Why it may be away, if an answer is long in coming. */
  silence(): string | undefined {
    if (this.#askedAt === undefined) return undefined;
    const ms = performance.now() - this.#askedAt;
    return ms < TOLD_MS ? undefined : `no answer for ${(ms / 1000).toFixed(1)} s`;
  }

  stop(): void {
    this.#stopped = true;
    this.#askedAt = undefined;
    clearTimeout(this.#timer);
  }

  #pause(): void {
    this.#timer = setTimeout(() => this.#ask(), EVERY_MS);
    this.#timer.unref();
  }

  #ask(): void {
    const askedAt = performance.now();
    this.#askedAt = askedAt;
    this.client.query('select 1').then(
      () => {
        if (this.#stopped) return;
        this.#askedAt = undefined;
        clearTimeout(this.#timer);
        this.#pause();
      },
      () => {}, // told as an error of the connection
    );
    this.#timer = setTimeout(() => {
      // If it was this process that stood still, the answer is here and is read before what setImmediate calls.
      setImmediate(() => {
        if (this.#stopped || this.#askedAt !== askedAt) return;
        this.#stopped = true;
        this.onLost(`no answer for ${LOST_MS / 1000} s`);
      });
    }, LOST_MS);
    this.#timer.unref();
  }
}
