/**
 * Records how to undo changes of maps, so that a change can be tried in place, at the cost of what it touches, and taken
 * back. The order of entries in a map may differ afterwards; nothing may depend on it.
 */
export class Journal {
  readonly #undo: (() => void)[] = [];

  set<K, V>(map: Map<K, V>, key: K, value: V): void {
    this.#remember(map, key);
    map.set(key, value);
  }

  delete<K, V>(map: Map<K, V>, key: K): void {
    if (!map.has(key)) return;
    this.#remember(map, key);
    map.delete(key);
  }

  /** Adds something that is to be done on {@link rollback}. */
  onRollback(undo: () => void): void {
    this.#undo.push(undo);
  }

  /** Takes back everything, latest first. */
  rollback(): void {
    for (let undo = this.#undo.pop(); undo; undo = this.#undo.pop()) undo();
  }

  #remember<K, V>(map: Map<K, V>, key: K): void {
    const had = map.has(key);
    const value = map.get(key) as V;
    this.#undo.push(() => (had ? map.set(key, value) : map.delete(key)));
  }
}

/** A relation between names, asked from left to right: which APIs use this cluster? Changes are journalled. */
export class Relation {
  readonly #right = new Map<string, Set<string>>();

  of(left: string): ReadonlySet<string> {
    return this.#right.get(left) ?? NOTHING;
  }

  add(journal: Journal, left: string, right: string): void {
    const set = this.#right.get(left) ?? new Set();
    if (set.has(right)) return;
    this.#right.set(left, set.add(right));
    journal.onRollback(() => this.#drop(left, right));
  }

  remove(journal: Journal, left: string, right: string): void {
    if (!this.of(left).has(right)) return;
    this.#drop(left, right);
    journal.onRollback(() => this.#right.set(left, (this.#right.get(left) ?? new Set()).add(right)));
  }

  #drop(left: string, right: string): void {
    const set = this.#right.get(left);
    set?.delete(right);
    if (set?.size === 0) this.#right.delete(left);
  }
}

const NOTHING: ReadonlySet<string> = new Set();
