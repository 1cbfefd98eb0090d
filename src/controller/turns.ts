/** How long a piece of work waits for its turn. */
export interface Patience {
  readonly ms: number;
  /** What it fails with when that is over; it is not begun then. */
  late(): Error;
}

/** Runs pieces of work one after the other, in the order in which they asked. */
export class Turns {
  private last: Promise<unknown> = Promise.resolve();

  run<T>(work: () => Promise<T>, patience?: Patience): Promise<T> {
    if (patience === undefined) return this.#append(work);
    return new Promise<T>((resolve, reject) => {
      let waits = true;
      const timer = setTimeout(() => {
        waits = false;
        reject(patience.late());
      }, patience.ms);
      this.#append(async () => {
        clearTimeout(timer);
        if (waits) await work().then(resolve, reject);
      });
    });
  }

  #append<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.last.then(work, work);
    this.last = mine.catch(() => {});
    return mine;
  }
}
