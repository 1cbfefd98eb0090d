/** Milliseconds a controller is given when somebody waits to know whether it answers. */
const ANSWER_MS = 1_000;
/** The same when nobody waits: one that is busy for a moment is not called silent. */
const PATIENT_MS = 3_000;
/** A controller that has said nothing for so long is asked, in ms. */
const QUIET_MS = 4_000;
const LOOK_MS = 1_000;

export interface SignsOfLifeOptions {
  /** Sends a question whose answer comes by {@link SignsOfLife.heard}. */
  ask(): void;
  /** It did not answer in time; it was heard last at `sinceMs` (Unix ms). Once, until it is heard again. */
  onSilent(sinceMs: number): void;
  /** It is heard again after it was silent. */
  onHeard(): void;
}

/**
 * Whether a controller that has delivered everything still answers. An open stream does not tell: a process that hangs or is stopped
 * keeps it open, and pings of the channel find that out after some 40 s only.
 */
export class SignsOfLife {
  /** When it was heard last (Unix ms), if it no longer answers. */
  silentSinceMs: number | undefined;
  /** By the clock that never jumps. */
  #heardAt = 0;
  /** What waits for a sign. */
  readonly #asking = new Set<() => void>();
  #timer: NodeJS.Timeout | undefined;

  constructor(private readonly options: SignsOfLifeOptions) {}

  /** From now on it is asked whenever it is quiet. */
  begin(): void {
    this.end();
    this.#heardAt = performance.now();
    this.#timer = setInterval(() => {
      if (this.#asking.size === 0 && this.#quietMs() >= QUIET_MS) void this.answers(PATIENT_MS);
    }, LOOK_MS).unref();
  }

  /** It is asked no more, and whoever waits is told that it does not answer. */
  end(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.silentSinceMs = undefined;
    for (const settle of [...this.#asking]) settle();
  }

  heard(): void {
    this.#heardAt = performance.now();
    const wasSilent = this.silentSinceMs !== undefined;
    this.silentSinceMs = undefined;
    for (const settle of [...this.#asking]) settle();
    if (wasSilent) this.options.onHeard();
  }

  /** Whether it answers within `withinMs`; false at once between {@link end} and {@link begin}. */
  answers(withinMs = ANSWER_MS): Promise<boolean> {
    if (this.#timer === undefined) return Promise.resolve(false);
    return new Promise((resolve) => {
      const settle = () => {
        clearTimeout(timer);
        this.#asking.delete(settle);
        resolve(this.#timer !== undefined);
      };
      const timer = setTimeout(() => {
        // What has arrived is read first: it may be this process that stood still.
        setImmediate(() => {
          if (!this.#asking.delete(settle)) return;
          resolve(false);
          this.#missed();
        });
      }, withinMs);
      this.#asking.add(settle);
      this.options.ask();
    });
  }

  #missed(): void {
    if (this.silentSinceMs !== undefined) return;
    this.silentSinceMs = Date.now() - this.#quietMs();
    this.options.onSilent(this.silentSinceMs);
  }

  #quietMs(): number {
    return performance.now() - this.#heardAt;
  }
}
