import type { FleetHistory } from '../../core/ads/in-force.js';
import type { NodeState, ReceiptRow, TypeReceipt } from '../../store/receipts.js';
import type { NodeStream } from '../../wire/ads-events.js';

/** An answer that takes longer is late, in ms; as long as the ADS server lets a held change wait before it says so. */
export const LATE_AFTER_MS = 5_000;

interface OfType {
  readonly changed: number;
  readonly waiting: Set<string>;
  pushedAt?: number;
  ackedAt?: number;
  refused?: { name: string; error: string };
  held?: string;
}

/** One release at one node: which of its resources the node has yet to take. */
export class Row {
  #state: NodeState = 'pending';
  #late = false;
  #pushedAt: number | undefined;
  #ackedAt: number | undefined;
  readonly #types = new Map<string, OfType>();

  constructor(
    readonly replica: string,
    readonly workspace: string,
    readonly release: number,
    readonly fleet: string,
    readonly node: string,
    /** When the release was pushed, or the node came, in ms since 1970. */
    readonly atMs: number,
  ) {}

  /** Notes what the node is to take. */
  begin(history: FleetHistory, stream: NodeStream): void {
    const wanted = new Map<string, number>();
    // What it has already counts as changed and not as waiting.
    const emptyHanded = { wants: (type: string, name: string) => stream.wants(type, name), acked: () => 'nothing' };
    for (const { type } of history.lacks(this.release, emptyHanded)) wanted.set(type, (wanted.get(type) ?? 0) + 1);
    for (const [type, changed] of wanted) this.#types.set(type, { changed, waiting: new Set() });
    for (const { type, name } of history.lacks(this.release, stream)) this.#types.get(type)?.waiting.add(name);
  }

  get state(): NodeState {
    return this.#state;
  }

  /** Whether there is anything the node does not have in force. */
  get waits(): boolean {
    for (const { waiting } of this.#types.values()) if (waiting.size > 0) return true;
    return false;
  }

  waitsFor(type: string): boolean {
    return (this.#types.get(type)?.waiting.size ?? 0) > 0;
  }

  /** Compares with what the node has now. Returns whether anything changed. */
  look(history: FleetHistory, stream: NodeStream, atMs: number, only?: string): boolean {
    let changed = false;
    for (const [type, about] of this.#types) {
      if (only !== undefined && type !== only) continue;
      for (const name of about.waiting) {
        if (history.settled(this.release, { type, name }, stream)) {
          about.waiting.delete(name);
          changed = true;
        } else changed = this.#refusal(history, stream, type, name, about) || changed;
      }
      if (about.waiting.size === 0 && about.ackedAt === undefined) about.ackedAt = atMs;
    }
    if (this.#ackedAt === undefined && !this.waits) {
      this.#ackedAt = atMs;
      if (this.#state !== 'refused') this.#state = 'acked';
      if (atMs - this.atMs > LATE_AFTER_MS) this.#late = true;
      return true;
    }
    return changed;
  }

  sent(type: string, names: readonly string[], atMs: number): void {
    const about = this.#types.get(type);
    if (!about || about.pushedAt !== undefined || !names.some((name) => about.waiting.has(name))) return;
    about.pushedAt = atMs;
    this.#pushedAt ??= atMs;
  }

  /** A change waits for the node to be ready for it. */
  held(type: string, names: readonly string[], why: string): boolean {
    const about = this.#types.get(type);
    if (!about || !names.some((name) => about.waiting.has(name))) return false;
    about.held = why;
    this.#late = true;
    return true;
  }

  /** The node went away. */
  left(): boolean {
    if (this.#state !== 'pending') return false;
    this.#state = 'away';
    return true;
  }

  returned(): void {
    if (this.#state === 'away') this.#state = 'pending';
  }

  /** Time has passed. Returns whether the row became late by it. */
  grows(atMs: number): boolean {
    if (this.#late || !this.waits || atMs - this.atMs <= LATE_AFTER_MS) return false;
    this.#late = true;
    return true;
  }

  /** As it is stored. */
  stored(): ReceiptRow {
    return {
      release: this.release,
      fleet: this.fleet,
      node: this.node,
      replica: this.replica,
      state: this.#state,
      late: this.#late,
      pushedAt: this.#pushedAt ?? null,
      ackedAt: this.#ackedAt ?? null,
      types: [...this.#types].map(([type, about]): TypeReceipt => {
        const { changed, waiting, pushedAt, ackedAt, refused, held } = about;
        return {
          type,
          changed,
          waiting: waiting.size,
          ...(pushedAt !== undefined && { pushedAt }),
          ...(ackedAt !== undefined && { ackedAt }),
          ...(refused && { refused }),
          ...(held !== undefined && waiting.size > 0 && { held }),
        };
      }),
    };
  }

  #refusal(history: FleetHistory, stream: NodeStream, type: string, name: string, about: OfType): boolean {
    const refused = stream.refused(type, name);
    if (!refused || about.refused?.name === name) return false;
    // A refusal of what an earlier release said is not this one's.
    const ours = { wants: () => true, acked: () => refused.version };
    if (!history.settled(this.release, { type, name }, ours)) return false;
    about.refused = { name, error: refused.error };
    this.#state = 'refused';
    return true;
  }
}
