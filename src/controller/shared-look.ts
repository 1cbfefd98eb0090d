/** Work that many ask for at once and may share: each is answered by a run that began after it asked. */
export class SharedLook {
  #running: Promise<void> = Promise.resolve();
  #next: Promise<void> | undefined;

  /** @param work must not reject. */
  constructor(private readonly work: () => Promise<void>) {}

  run(): Promise<void> {
    this.#next ??= this.#running.then(() => {
      this.#next = undefined;
      this.#running = this.work();
      return this.#running;
    });
    return this.#next;
  }
}
