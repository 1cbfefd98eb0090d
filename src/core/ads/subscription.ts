import { byNameOnly, TYPE } from './resource.js';

/**
 * Types whose first request without names means "all" (xDS protocol, "How the client specifies what resources to
 * return"). Envoy asks so for listeners, clusters and scopes; for virtual hosts the same bytes mean "nothing yet".
 */
const LEGACY_WILDCARD: ReadonlySet<string> = new Set([TYPE.listener, TYPE.cluster, TYPE.scope]);

/** What a request did to a subscription. Each name stands in at most one of the lists. */
export interface SubscriptionChange {
  /** Names the client asked for in this request; each must be answered. */
  readonly asked: readonly string[];
  /** Names it no longer wants and that nothing else covers. */
  readonly dropped: readonly string[];
  /** Names it unsubscribed while the wildcard still covers them: the server must say what becomes of them. */
  readonly restated: readonly string[];
  /** The wildcard came into force with this request. */
  readonly gainedAll: boolean;
  /** The wildcard ended with this request. */
  readonly lostAll: boolean;
}

/** What one stream wants of one type. */
export class Subscription {
  readonly names = new Set<string>();
  #all = false;
  #named = false;
  #begun = false;

  constructor(readonly type: string) {}

  get wildcard(): boolean {
    return this.#all;
  }

  /** Whether a resource of this name is wanted. What is given by name only is wanted only by name. */
  covers(name: string): boolean {
    return (this.#all && !byNameOnly(name)) || this.names.has(name);
  }

  /**
   * A delta request. The first one without names is the legacy wildcard, which later names do not end; only `*` in
   * `unsubscribe` does. A name in both lists is asked for again.
   */
  delta(subscribe: readonly string[], unsubscribe: readonly string[]): SubscriptionChange {
    const before = this.#all;
    const legacy = !this.#begun && subscribe.length === 0 && LEGACY_WILDCARD.has(this.type);
    this.#begun = true;
    const asked = new Set(subscribe);
    if (legacy || asked.has('*')) this.#all = true;
    else if (unsubscribe.includes('*')) this.#all = false;
    asked.delete('*');
    const left = unsubscribe.filter((name) => name !== '*' && !asked.has(name) && this.names.delete(name));
    for (const name of asked) this.names.add(name);
    return {
      asked: [...asked],
      dropped: left.filter((name) => !this.covers(name)),
      restated: left.filter((name) => this.covers(name)),
      gainedAll: !before && this.#all,
      lostAll: before && !this.#all,
    };
  }

  /**
   * A state-of-the-world request: `wanted` replaces what was wanted. Empty means "all" only until a request of this stream
   * named something; from then on it means "nothing".
   */
  whole(wanted: readonly string[]): SubscriptionChange {
    const before = this.#all;
    const next = new Set(wanted);
    this.#all = next.has('*') || (next.size === 0 && !this.#named && LEGACY_WILDCARD.has(this.type));
    if (next.size > 0) this.#named = true;
    next.delete('*');
    const asked = [...next].filter((name) => !this.names.has(name));
    const dropped = [...this.names].filter((name) => !next.has(name));
    this.names.clear();
    for (const name of next) this.names.add(name);
    return {
      asked,
      dropped: dropped.filter((name) => !this.covers(name)),
      restated: [],
      gainedAll: !before && this.#all,
      lostAll: before && !this.#all,
    };
  }
}
