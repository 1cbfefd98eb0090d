/** Lets one loop sleep until it is woken or its time is up. A wake while nobody sleeps counts for the next sleep. */
export class Wake {
  #pending = false;
  #resume: (() => void) | undefined;

  wake(): void {
    this.#pending = true;
    this.#resume?.();
  }

  /** Resolves after a wake or after `ms`, whichever comes first. */
  async sleep(ms: number): Promise<void> {
    if (!this.#pending) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, ms);
        this.#resume = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.#resume = undefined;
    }
    this.#pending = false;
  }
}
