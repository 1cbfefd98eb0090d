/**
 * Records how to undo changes of maps, so that a change can be tried in place, at the cost of what it touches, taken back,
 * and put back later without the work of finding it out again. The order of entries in a map may differ afterwards; nothing
 * may depend on it.
 */
export class Journal {
  readonly #done: Step[] = [];
  #undone: Step[] = [];

  set<K, V>(map: Map<K, V>, key: K, value: V): void {
    this.#remember(map, key, () => map.set(key, value));
    map.set(key, value);
  }

  delete<K, V>(map: Map<K, V>, key: K): void {
    if (!map.has(key)) return;
    this.#remember(map, key, () => map.delete(key));
    map.delete(key);
  }

  /** Adds something that is to be done on {@link rollback}, and what does it again on {@link replay}. */
  onRollback(undo: () => void, redo: () => void): void {
    this.#done.push({ undo, redo });
  }

  /** Takes back everything, latest first. */
  rollback(): void {
    this.#undone = [];
    for (let step = this.#done.pop(); step; step = this.#done.pop()) {
      step.undo();
      this.#undone.push(step);
    }
  }

  /** Does everything again that {@link rollback} took back. Only right when nothing has changed in between. */
  replay(): void {
    for (let step = this.#undone.pop(); step; step = this.#undone.pop()) {
      step.redo();
      this.#done.push(step);
    }
  }

  #remember<K, V>(map: Map<K, V>, key: K, redo: () => void): void {
    const had = map.has(key);
    const value = map.get(key) as V;
    this.onRollback(() => (had ? map.set(key, value) : map.delete(key)), redo);
  }
}

interface Step {
  readonly undo: () => void;
  readonly redo: () => void;
}

/** A relation between names, asked from left to right: which APIs use this cluster? Changes are journalled. */
export class Relation {
  readonly #right = new Map<string, Set<string>>();
  #lefts: readonly string[] | undefined;

  of(left: string): ReadonlySet<string> {
    return this.#right.get(left) ?? NOTHING;
  }

  /** Everything that has something on its right; the same list until that changes. */
  lefts(): readonly string[] {
    this.#lefts ??= Object.freeze([...this.#right.keys()]);
    return this.#lefts;
  }

  add(journal: Journal, left: string, right: string): void {
    if (this.of(left).has(right)) return;
    this.#put(left, right);
    journal.onRollback(
      () => this.#drop(left, right),
      () => this.#put(left, right),
    );
  }

  remove(journal: Journal, left: string, right: string): void {
    if (!this.of(left).has(right)) return;
    this.#drop(left, right);
    journal.onRollback(
      () => this.#put(left, right),
      () => this.#drop(left, right),
    );
  }

  #put(left: string, right: string): void {
    const set = this.#right.get(left);
    if (set) {
      set.add(right);
      return;
    }
    this.#right.set(left, new Set([right]));
    this.#lefts = undefined;
  }

  #drop(left: string, right: string): void {
    const set = this.#right.get(left);
    set?.delete(right);
    if (set?.size !== 0) return;
    this.#right.delete(left);
    this.#lefts = undefined;
  }
}

const NOTHING: ReadonlySet<string> = new Set();
