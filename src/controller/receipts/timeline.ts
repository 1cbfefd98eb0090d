import type { TimelineRow } from '../../store/receipts.js';

/** How a release that was made here came about; milliseconds from the begin of the write. */
export class Timeline {
  readonly fleets = new Set<string>();
  readonly validatedMs: number | undefined;
  readonly storedMs: number;
  compiledMs: number | undefined;
  pushedMs: number | undefined;

  /**
   * @param began when the write began, by the monotonic clock in ms.
   * @param validatedAt when it was found to be without fault, by the same clock.
   * @param storedAt when it was committed.
   */
  constructor(
    private readonly began: number,
    validatedAt: number | undefined,
    storedAt: number,
  ) {
    this.validatedMs = validatedAt === undefined ? undefined : validatedAt - began;
    this.storedMs = storedAt - began;
  }

  /** When the write began, in ms since 1970. */
  get beganAtMs(): number {
    return performance.timeOrigin + this.began;
  }

  stored(replica: string, release: number): TimelineRow {
    return {
      release,
      replica,
      beganAt: new Date(this.beganAtMs),
      validatedMs: this.validatedMs ?? null,
      storedMs: this.storedMs,
      compiledMs: this.compiledMs ?? null,
      pushedMs: this.pushedMs ?? null,
      fleets: [...this.fleets].sort(),
    };
  }

  mark(step: 'compiledMs' | 'pushedMs'): void {
    this[step] = performance.now() - this.began;
  }
}
