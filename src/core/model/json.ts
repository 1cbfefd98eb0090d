import { type Diagnostic, diagnostic, pointerSegment } from '../diagnostic.js';
import { MAX_DEPTH, placeOf, type Read } from './text.js';

/** Reads JSON (RFC 8259) into plain data. Unlike JSON.parse it tells duplicate keys and excessive depth. Never throws. */
export function readJson(text: string): Read {
  const reader = new JsonReader(text);
  try {
    return { value: reader.document(), diagnostics: reader.diagnostics };
  } catch (error) {
    if (!(error instanceof Stop)) throw error;
    return { diagnostics: [...reader.diagnostics, error.diagnostic] };
  }
}

/** Ends the reading: what follows cannot be understood. Never leaves this file. */
class Stop extends Error {
  readonly diagnostic: Diagnostic;
  constructor(diagnostic: Diagnostic) {
    super(diagnostic.message);
    this.diagnostic = diagnostic;
  }
}

const SPACE = /[ \t\n\r]*/y;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const WORD = /[A-Za-z]+/y;
/** Duplicate keys that are told; further ones are left out. */
const MOST_DUPLICATES = 100;

class JsonReader {
  readonly diagnostics: Diagnostic[] = [];
  readonly #text: string;
  readonly #trail: (string | number)[] = [];
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  document(): unknown {
    this.#take(SPACE);
    const value = this.#value();
    this.#take(SPACE);
    if (this.#at < this.#text.length) throw this.#syntax('the end of the document');
    return value;
  }

  #value(): unknown {
    if (this.#trail.length > MAX_DEPTH) {
      throw new Stop(
        diagnostic(
          'limit',
          this.#pointer(),
          `${placeOf(this.#text, this.#at)}: nested deeper than ${MAX_DEPTH} levels.`,
          'Definitions are at most 8 levels deep; check the brackets.',
        ),
      );
    }
    switch (this.#text[this.#at]) {
      case '{':
        return this.#mapping();
      case '[':
        return this.#list();
      case '"':
        return this.#string();
      default:
        return this.#scalar();
    }
  }

  #mapping(): Record<string, unknown> {
    const mapping: Record<string, unknown> = {};
    this.#at++;
    this.#take(SPACE);
    if (this.#skip('}')) return mapping;
    for (;;) {
      const start = this.#at;
      if (this.#text[start] !== '"') throw this.#syntax('a key in double quotes');
      const key = this.#string();
      this.#trail.push(key);
      if (Object.hasOwn(mapping, key) && this.diagnostics.length < MOST_DUPLICATES) {
        this.diagnostics.push(
          diagnostic(
            'duplicate-key',
            this.#pointer(),
            `${placeOf(this.#text, start)}: the key ${JSON.stringify(key)} occurs twice in one mapping.`,
            'Remove one of them.',
          ),
        );
      }
      this.#take(SPACE);
      if (!this.#skip(':')) throw this.#syntax('":"');
      this.#take(SPACE);
      // Not by assignment, which for "__proto__" would set the prototype.
      Object.defineProperty(mapping, key, {
        value: this.#value(),
        writable: true,
        enumerable: true,
        configurable: true,
      });
      this.#trail.pop();
      this.#take(SPACE);
      if (this.#skip('}')) return mapping;
      if (!this.#skip(',')) throw this.#syntax('"," or "}"');
      this.#take(SPACE);
    }
  }

  #list(): unknown[] {
    const list: unknown[] = [];
    this.#at++;
    this.#take(SPACE);
    if (this.#skip(']')) return list;
    for (;;) {
      this.#trail.push(list.length);
      list.push(this.#value());
      this.#trail.pop();
      this.#take(SPACE);
      if (this.#skip(']')) return list;
      if (!this.#skip(',')) throw this.#syntax('"," or "]"');
      this.#take(SPACE);
    }
  }

  #string(): string {
    const start = this.#at;
    let end = this.#text.indexOf('"', start + 1);
    while (end > 0 && this.#escaped(end)) end = this.#text.indexOf('"', end + 1);
    const whole = this.#text.slice(start, end + 1);
    if (end > 0 && !/[\\\p{Cc}]/u.test(whole)) {
      this.#at = end + 1;
      return whole.slice(1, -1);
    }
    try {
      const value = JSON.parse(whole) as string;
      this.#at = end + 1;
      return value;
    } catch {
      throw this.#syntax('a string that ends on its line, with valid escapes');
    }
  }

  /** Whether the character at `at` follows an odd number of backslashes. */
  #escaped(at: number): boolean {
    let before = at;
    while (this.#text[before - 1] === '\\') before--;
    return (at - before) % 2 === 1;
  }

  #scalar(): unknown {
    const number = this.#take(NUMBER);
    if (number !== '') return Number(number);
    const start = this.#at;
    const word = this.#take(WORD);
    if (word === 'true') return true;
    if (word === 'false') return false;
    if (word === 'null') return null;
    this.#at = start;
    throw this.#syntax('a value');
  }

  #take(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const taken = pattern.exec(this.#text)?.[0] ?? '';
    this.#at += taken.length;
    return taken;
  }

  #skip(character: string): boolean {
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }

  #pointer(): string {
    return this.#trail.map((segment) => `/${pointerSegment(segment)}`).join('');
  }

  #syntax(expected: string): Stop {
    const rest = this.#text.slice(this.#at, this.#at + 12);
    const found = rest === '' ? 'the end of the document' : JSON.stringify(rest);
    const hint = rest === '' ? 'The document seems to be cut off; get the whole of it.' : 'Correct the JSON there.';
    return new Stop(
      diagnostic(
        'syntax',
        this.#pointer(),
        `${placeOf(this.#text, this.#at)}: expected ${expected}, found ${found}.`,
        hint,
      ),
    );
  }
}
