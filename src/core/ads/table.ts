import { createHash } from 'node:crypto';
import { byNameOnly, type Resource, type ResourceName, type TableDelta, type TypeUrl } from './resource.js';

/** What a {@link TableDelta} really changed: upserts with a new version, removals of what was there. */
export interface EffectiveChange {
  readonly upserts: readonly Resource[];
  readonly removals: readonly ResourceName[];
}

/** Names remembered per type after their removal; more would only help a node that was away for longer than that. */
const TOMBSTONES_PER_TYPE = 1000;

/**
 * Everything one fleet should have, by type and name. Shared by all streams of the fleet; a resource is stored, and its
 * bytes are held, once. Changes cost what they hold, never the size of the table.
 */
export class ResourceTable {
  readonly #types = new Map<string, Map<string, Resource>>();
  /** Those that are given by name only, by type and name: going through the others never meets them. */
  readonly #byName = new Map<string, Map<string, Resource>>();
  readonly #tombstones = new Map<string, Set<string>>();
  readonly #folds = new Map<string, bigint>();

  /** Applies `delta`; returns what it changed. Upserts whose version is in force and removals of unknown names are dropped. */
  apply(delta: TableDelta): EffectiveChange {
    const upserts: Resource[] = [];
    const removals: ResourceName[] = [];
    for (const resource of delta.upserts) if (this.#put(resource)) upserts.push(resource);
    for (const { type, name } of delta.removals) if (this.#remove(type, name)) removals.push({ type, name });
    return { upserts, removals };
  }

  get(type: string, name: string): Resource | undefined {
    return this.#of(name).get(type)?.get(name);
  }

  /** All resources of a type that a wildcard stands for, in the order in which their names first came. */
  list(type: string): Iterable<Resource> {
    return this.#types.get(type)?.values() ?? [];
  }

  size(type: string): number {
    return this.#types.get(type)?.size ?? 0;
  }

  /** Names of a type that a wildcard stood for, that were removed and are still absent, the latest 1000. */
  tombstones(type: string): Iterable<string> {
    return this.#tombstones.get(type) ?? [];
  }

  /**
   * Version of a whole type, 16 hex digits, for state-of-the-world responses: a commutative fold over (name, version), so
   * equal content gives an equal version on every replica whatever the order of changes. The first call for a type costs
   * its size; afterwards a change costs what it holds. Types nobody asks for cost nothing.
   */
  version(type: TypeUrl): string {
    let fold = this.#folds.get(type);
    if (fold === undefined) {
      fold = 0n;
      for (const resource of this.list(type)) fold += term(resource);
      for (const resource of this.#byName.get(type)?.values() ?? []) fold += term(resource);
      this.#folds.set(type, fold);
    }
    return BigInt.asUintN(64, fold).toString(16).padStart(16, '0');
  }

  #put(resource: Resource): boolean {
    const resources = entry(this.#of(resource.name), resource.type, () => new Map<string, Resource>());
    const before = resources.get(resource.name);
    if (before?.version === resource.version) return false;
    resources.set(resource.name, resource);
    this.#tombstones.get(resource.type)?.delete(resource.name);
    this.#refold(resource.type, before, resource);
    return true;
  }

  #remove(type: TypeUrl, name: string): boolean {
    const before = this.get(type, name);
    if (!before) return false;
    this.#of(name).get(type)?.delete(name);
    this.#refold(type, before, undefined);
    // Who names what it wants is answered name by name, and needs no list of what is gone.
    if (byNameOnly(name)) return true;
    const tombstones = entry(this.#tombstones, type, () => new Set<string>());
    tombstones.add(name);
    const [oldest] = tombstones;
    if (tombstones.size > TOMBSTONES_PER_TYPE && oldest !== undefined) tombstones.delete(oldest);
    return true;
  }

  #of(name: string): Map<string, Map<string, Resource>> {
    return byNameOnly(name) ? this.#byName : this.#types;
  }

  #refold(type: string, before: Resource | undefined, after: Resource | undefined): void {
    const fold = this.#folds.get(type);
    if (fold === undefined) return;
    this.#folds.set(type, fold - (before ? term(before) : 0n) + (after ? term(after) : 0n));
  }
}

function term(resource: Resource): bigint {
  const hash = createHash('sha256').update(resource.name).update('\0').update(resource.version).digest();
  return hash.readBigUInt64BE(0);
}

function entry<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}
