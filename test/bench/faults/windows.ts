/** Times in which a part of a node was disturbed on purpose: from just before the fault until it was seen to work again. */
export class Windows {
  readonly #list: { readonly end: boolean; readonly from: number; to: number }[] = [];

  /** How often the process ended: tells one life from the next. */
  ends = 0;

  /** Opens a window, of an end of the process or of a pause; returns how to close it. */
  open(end: boolean): () => void {
    const window = { end, from: performance.now(), to: Number.POSITIVE_INFINITY };
    this.#list.push(window);
    if (end) this.ends++;
    return () => {
      window.to = performance.now();
    };
  }

  /** Whether any window overlaps the time from `from` to `to` (performance.now()). */
  overlap(from: number, to: number): boolean {
    return this.#list.some((window) => window.from <= to && window.to >= from);
  }

  /** The same for pauses only. */
  paused(from: number, to: number): boolean {
    return this.#list.some((window) => !window.end && window.from <= to && window.to >= from);
  }
}
