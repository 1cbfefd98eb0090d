import type { ResourceName, TypeUrl } from './resource.js';

/** A name about which a stream may have to say something. */
export interface Item {
  readonly type: TypeUrl;
  readonly name: string;
  /** Say it even if the client has this version. */
  force: boolean;
  /** The client asked for the name: say also that it does not exist. */
  answer: boolean;
  /** In a response of its own, because a batch with it was refused. */
  alone: boolean;
  /** When it came up, in ms. */
  readonly since: number;
  /** Has waited longer than it should and that was told. */
  late: boolean;
  /** Of a scope: the route table it waits to be moved to, and since when, in ms. */
  moving?: { readonly to: string; readonly since: number };
}

/** An item that must not be said yet. */
export interface Held {
  readonly item: Item;
  readonly kind: 'upsert' | 'removal';
  readonly on: ResourceName;
  readonly why: HoldReason;
  /** When to look again even if nothing happened, in ms; absent: only when `on` is touched. */
  readonly until: number | undefined;
}

/**
 * warming: a cluster it needs is not yet usable at the client; refused: the client refused something it needs; route: the
 * route table a scope is to move to is not yet in force; in-use: something in force still needs what is to be removed;
 * reconnect: what the client brought with it is not yet known.
 */
export type HoldReason = 'warming' | 'refused' | 'route' | 'in-use' | 'reconnect';

/**
 * What a stream still has to say, by name and never by content: when a client does not read, this does not grow beyond the
 * names there are, and what is said in the end is the newest. Removals stand apart from upserts because they go last.
 */
export class Agenda {
  readonly #upserts = new Map<string, Map<string, Item>>();
  readonly #removals = new Map<string, Map<string, Item>>();
  readonly #held = new Map<string, Held>();
  readonly #heldOn = new Map<string, Set<string>>();

  /** Puts a name on the agenda, joined with what is there about it. An item that was held is looked at again. */
  add(type: TypeUrl, name: string, kind: 'upsert' | 'removal', now: number, flags: Partial<Item> = {}): void {
    const id = key(type, name);
    const before =
      this.#held.get(id)?.item ?? this.#upserts.get(type)?.get(name) ?? this.#removals.get(type)?.get(name);
    this.#take(id);
    this.done(type, name);
    const item = before ?? { type, name, force: false, answer: false, alone: false, since: now, late: false };
    item.force ||= flags.force ?? false;
    item.answer ||= flags.answer ?? false;
    item.alone ||= flags.alone ?? false;
    this.#place(item, kind);
  }

  /** Items of a type that may be looked at now, oldest first. Live: items may be taken off while going through it. */
  upserts(type: string): Iterable<Item> {
    return this.#upserts.get(type)?.values() ?? [];
  }

  removals(type: string): Iterable<Item> {
    return this.#removals.get(type)?.values() ?? [];
  }

  /** Takes a name off the agenda. */
  done(type: string, name: string): void {
    this.#upserts.get(type)?.delete(name);
    this.#removals.get(type)?.delete(name);
    this.#take(key(type, name));
  }

  /** Lays an item aside until `on` is touched or the time `until` has come. */
  hold(item: Item, kind: 'upsert' | 'removal', on: ResourceName, why: HoldReason, until: number | undefined): void {
    (kind === 'upsert' ? this.#upserts : this.#removals).get(item.type)?.delete(item.name);
    const id = key(item.type, item.name);
    this.#held.set(id, { item, kind, on, why, until });
    const blocker = key(on.type, on.name);
    const ids = this.#heldOn.get(blocker);
    if (ids) ids.add(id);
    else this.#heldOn.set(blocker, new Set([id]));
  }

  /** Something happened to this name: all that was held because of it is looked at again. */
  touch(type: string, name: string): void {
    for (const id of [...(this.#heldOn.get(key(type, name)) ?? [])]) this.#release(id);
  }

  /** As {@link touch}, of every name of a type. */
  touchAll(type: string): void {
    for (const [id, { on }] of [...this.#held]) if (on.type === type) this.#release(id);
  }

  /** Items whose time has come are looked at again. Returns whether there were any. */
  tick(now: number): boolean {
    const due = [...this.#held].filter(([, held]) => held.until !== undefined && held.until <= now);
    for (const [id] of due) this.#release(id);
    return due.length > 0;
  }

  held(): Iterable<Held> {
    return this.#held.values();
  }

  get heldCount(): number {
    return this.#held.size;
  }

  /** Whether a resource of this type is to be sent, now or later. */
  mentions(type: string): boolean {
    if ((this.#upserts.get(type)?.size ?? 0) > 0) return true;
    for (const held of this.#held.values()) if (held.kind === 'upsert' && held.item.type === type) return true;
    return false;
  }

  /** Number of items, held ones included. */
  get size(): number {
    let size = this.#held.size;
    for (const items of this.#upserts.values()) size += items.size;
    for (const items of this.#removals.values()) size += items.size;
    return size;
  }

  #release(id: string): void {
    const kind = this.#held.get(id)?.kind;
    const item = this.#take(id);
    if (item && kind) this.#place(item, kind);
  }

  #place(item: Item, kind: 'upsert' | 'removal'): void {
    const types = kind === 'upsert' ? this.#upserts : this.#removals;
    const items = types.get(item.type);
    if (items) items.set(item.name, item);
    else types.set(item.type, new Map([[item.name, item]]));
  }

  #take(id: string): Item | undefined {
    const held = this.#held.get(id);
    if (!held) return undefined;
    this.#held.delete(id);
    const blocker = key(held.on.type, held.on.name);
    const ids = this.#heldOn.get(blocker);
    ids?.delete(id);
    if (ids?.size === 0) this.#heldOn.delete(blocker);
    return held.item;
  }
}

function key(type: string, name: string): string {
  return `${type}\n${name}`;
}
