/**
 * A text that must not be seen: it prints as `[redacted]` wherever values are printed (template strings, JSON, console and
 * log formatting), and its content is reached only by {@link Secret.reveal}, so that each use can be found by search.
 */
export class Secret {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
    Object.freeze(this);
  }

  /** The content. Call it where the content is used, never to store it anywhere else. */
  reveal(): string {
    return this.#text;
  }

  /** Whether there is nothing in it. */
  get empty(): boolean {
    return this.#text === '';
  }

  toString(): string {
    return REDACTED;
  }

  toJSON(): string {
    return REDACTED;
  }

  /** What `util.inspect` and so `console.log` print; the symbol is Node's own, taken from the registry to need no import. */
  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return REDACTED;
  }
}

const REDACTED = '[redacted]';
