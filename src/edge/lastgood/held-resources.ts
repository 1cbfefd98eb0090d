import type { AdsUpdate } from '../../wire/ads-client.js';

/** A resource as the controller sent it. */
export type HeldResource = AdsUpdate['upserts'][number];

/** Everything the controller has in force for one fleet, as bytes, by type and name. */
export class HeldResources {
  readonly #types = new Map<string, Map<string, HeldResource>>();

  /** Takes an update in. Bytes are copied, so that a large response is not kept for the sake of a small part of it. */
  apply(update: AdsUpdate): void {
    const names = this.#types.get(update.type) ?? new Map<string, HeldResource>();
    this.#types.set(update.type, names);
    for (const name of update.removals) names.delete(name);
    for (const { name, version, bytes } of update.upserts) names.set(name, { name, version, bytes: bytes.slice() });
  }

  /** Resources of a type by name. */
  of(type: string): ReadonlyMap<string, HeldResource> {
    return this.#types.get(type) ?? new Map();
  }

  /** Versions of a type by name: what a subscription need not be sent again. */
  versions(type: string): ReadonlyMap<string, string> {
    return new Map([...this.of(type)].map(([name, { version }]) => [name, version]));
  }

  types(): string[] {
    return [...this.#types.keys()];
  }

  get count(): number {
    let count = 0;
    for (const names of this.#types.values()) count += names.size;
    return count;
  }
}
