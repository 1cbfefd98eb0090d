import { TYPE } from '../core/ads/resource.js';
import { readApp, readPolicy, readServiceKey } from '../core/decision/resources.js';
import type { Caller, Policy, ServiceKey, Tables } from '../core/decision/tables.js';
import type { AdsUpdate } from '../wire/ads-client.js';

/** Types the edge subscribes to, all of each. */
export const EDGE_TYPES: readonly string[] = [TYPE.policy, TYPE.app, TYPE.serviceKey];

/**
 * All that decisions are made from, in memory. An update costs what it contains, not what is held, and takes effect as a
 * whole: requests see the state before it or after it.
 */
export class EdgeTables implements Tables {
  readonly #policies = new Map<string, Policy>();
  readonly #callers = new Map<string, Caller>();
  /** Access keys of each App, by resource name. */
  readonly #apps = new Map<string, readonly Caller[]>();
  readonly #serviceKeys = new Map<string, ServiceKey>();
  /** Version of each resource held, by type and name. */
  readonly #versions = new Map(EDGE_TYPES.map((type) => [type, new Map<string, string>()]));
  readonly #waiting = new Map<string, Set<() => void>>();

  policy(name: string): Policy | undefined {
    return this.#policies.get(name);
  }

  caller(accessKey: string): Caller | undefined {
    return this.#callers.get(accessKey);
  }

  serviceKey(clusterId: string): ServiceKey | undefined {
    return this.#serviceKeys.get(clusterId);
  }

  /** Names and versions held of a type; what a node endpoint may show, since no content is among it. */
  versions(type: string): ReadonlyMap<string, string> {
    return this.#versions.get(type) ?? new Map();
  }

  /** Access keys of an App by resource name. */
  callersOf(appId: string): readonly Caller[] {
    return this.#apps.get(appId) ?? [];
  }

  /**
   * Takes an update in.
   * @throws RangeError naming the resource when one cannot be read; then nothing of the update is in force. Types this edge
   * does not know are ignored.
   */
  apply(update: AdsUpdate): void {
    const versions = this.#versions.get(update.type);
    if (!versions) return;
    // All are read before any is taken, so that a bad one leaves the old state whole.
    const takes = update.upserts.map((upsert) => this.#reader(update.type, upsert));
    for (const name of update.removals) {
      this.#remove(update.type, name);
      versions.delete(name);
    }
    for (const take of takes) take();
    for (const { name, version } of update.upserts) versions.set(name, version);
  }

  /** Resolves true as soon as the policy is there, false after `withinMs`. */
  whenPolicy(name: string, withinMs: number): Promise<boolean> {
    if (this.#policies.has(name)) return Promise.resolve(true);
    return new Promise((resolve) => {
      const waiters = this.#waiting.get(name) ?? new Set();
      this.#waiting.set(name, waiters);
      const arrived = () => {
        clearTimeout(timer);
        resolve(true);
      };
      const timer = setTimeout(() => {
        waiters.delete(arrived);
        if (waiters.size === 0 && this.#waiting.get(name) === waiters) this.#waiting.delete(name);
        resolve(false);
      }, withinMs);
      waiters.add(arrived);
    });
  }

  #reader(type: string, upsert: AdsUpdate['upserts'][number]): () => void {
    const { name, bytes } = upsert;
    try {
      switch (type) {
        case TYPE.policy: {
          const policy = readPolicy(bytes);
          return () => this.#setPolicy(name, policy);
        }
        case TYPE.app: {
          const { callers } = readApp(bytes);
          return () => this.#setApp(name, callers);
        }
        default: {
          const key = readServiceKey(bytes);
          return () => this.#serviceKeys.set(name, key);
        }
      }
    } catch (error) {
      throw new RangeError(`${type} "${name}" cannot be read: ${(error as Error).message}`);
    }
  }

  #remove(type: string, name: string): void {
    if (type === TYPE.policy) this.#policies.delete(name);
    else if (type === TYPE.app) this.#setApp(name, []);
    else this.#serviceKeys.delete(name);
  }

  #setPolicy(name: string, policy: Policy): void {
    this.#policies.set(name, policy);
    const waiters = this.#waiting.get(name);
    if (!waiters) return;
    this.#waiting.delete(name);
    for (const arrived of waiters) arrived();
  }

  #setApp(name: string, callers: readonly Caller[]): void {
    // An access key may have moved to another App before its old owner's update came: only one's own entries are taken away.
    for (const old of this.#apps.get(name) ?? []) {
      if (this.#callers.get(old.accessKey) === old) this.#callers.delete(old.accessKey);
    }
    for (const caller of callers) this.#callers.set(caller.accessKey, caller);
    if (callers.length > 0) this.#apps.set(name, callers);
    else this.#apps.delete(name);
  }
}
