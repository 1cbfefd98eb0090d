import type { Resource } from './resource.js';

/** Content that a node refused and that is therefore held back from it. */
export interface Quarantined {
  readonly node: string;
  readonly resource: Resource;
  /** What the node said. */
  readonly error: string;
  /** When it first refused this content, in ms; the caller's clock. */
  readonly since: number;
  /** What the node had in force under this name, if that was known: it is what a node that has nothing is given. */
  readonly good?: Resource;
}

/** What of a quarantine concerns one node. */
export interface NodeQuarantine {
  get(type: string, name: string): Quarantined | undefined;
  all(): Iterable<Quarantined>;
}

/** Refusals remembered per fleet; the oldest is forgotten first. Forgetting costs one more refusal. */
const REMEMBERED = 10_000;

/**
 * What the nodes of one fleet refused, beyond the streams on which they did: by node and name the last content refused. It
 * is forgotten when the node accepts what the fleet wants under that name, and when the name goes.
 */
export class Quarantine {
  readonly #entries = new Map<string, Quarantined>();
  readonly #byName = new Map<string, Set<string>>();
  readonly #byNode = new Map<string, Map<string, Quarantined>>();

  get size(): number {
    return this.#entries.size;
  }

  all(): Iterable<Quarantined> {
    return this.#entries.values();
  }

  /** The part of one node, always as it is now. */
  at(node: string): NodeQuarantine {
    return {
      get: (type, name) => this.#entries.get(idOf(node, type, name)),
      all: () => this.#byNode.get(node)?.values() ?? [],
    };
  }

  /** `node` refused `resource`. `good`: what it has in force, if that is known. Returns whether that is news. */
  refuse(node: string, resource: Resource, error: string, good: Resource | undefined, now: number): boolean {
    const { type, name, version } = resource;
    const id = idOf(node, type, name);
    const before = this.#entries.get(id);
    const again = before?.resource.version === version;
    const kept = good ?? before?.good;
    this.#drop(id);
    const entry = { node, resource, error, since: again ? before.since : now, ...(kept && { good: kept }) };
    this.#entries.set(id, entry);
    const own = this.#byNode.get(node);
    if (own) own.set(id, entry);
    else this.#byNode.set(node, new Map([[id, entry]]));
    const ids = this.#byName.get(nameOf(type, name));
    if (ids) ids.add(id);
    else this.#byName.set(nameOf(type, name), new Set([id]));
    const [oldest] = this.#entries.keys();
    if (this.#entries.size > REMEMBERED && oldest !== undefined) this.#drop(oldest);
    return !again;
  }

  /** `node` accepted `version`; `desired` is the one the fleet wants. */
  accept(node: string, type: string, name: string, version: string, desired: string | undefined): void {
    const id = idOf(node, type, name);
    const entry = this.#entries.get(id);
    if (entry && (version === entry.resource.version || version === desired)) this.#drop(id);
  }

  /** The fleet has nothing under this name any more. */
  removed(type: string, name: string): void {
    for (const id of [...(this.#byName.get(nameOf(type, name)) ?? [])]) this.#drop(id);
  }

  #drop(id: string): void {
    const entry = this.#entries.get(id);
    if (!entry) return;
    this.#entries.delete(id);
    const own = this.#byNode.get(entry.node);
    own?.delete(id);
    if (own?.size === 0) this.#byNode.delete(entry.node);
    const { type, name } = entry.resource;
    const ids = this.#byName.get(nameOf(type, name));
    ids?.delete(id);
    if (ids?.size === 0) this.#byName.delete(nameOf(type, name));
  }
}

const nameOf = (type: string, name: string): string => `${type}\n${name}`;
const idOf = (node: string, type: string, name: string): string => `${node}\n${type}\n${name}`;
