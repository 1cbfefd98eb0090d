import { TYPE } from './resource.js';

/** What a release made of one resource of a fleet. */
export interface ResourceChange {
  readonly type: string;
  readonly name: string;
  /** `''` = taken away. */
  readonly version: string;
}

/** What is known of one node: what it should have, and what it has in force. */
export interface Holder {
  /** Whether the node is to have resources of this name at all. */
  wants(type: string, name: string): boolean;
  /** Version the node acknowledged; undefined when it has nothing under the name. */
  acked(type: string, name: string): string | undefined;
}

/** Releases of a fleet whose changes are remembered; a node that is further behind is told by its oldest open one. */
const RELEASES = 64;
/** Resources named by all remembered releases together, at most. */
const CHANGES = 200_000;
/** Contents of one resource after the newest release that are remembered; a node that took an older one is given the newest. */
const AMENDED = 64;
/** Types whose disappearance callers can see. What is left over of the others serves nobody: nothing refers to it any more. */
const SEEN_WHEN_GONE: ReadonlySet<string> = new Set([TYPE.listener, TYPE.scope, TYPE.app]);

/**
 * What the latest releases changed for one fleet, from which follows whether a node has a release in force: *it has
 * acknowledged, of every resource of the fleet that the release changed and that the node is to have, the version of that
 * release or of a later one*. Taking away what nothing refers to any more (policies, clusters, endpoints, route tables) is
 * not waited for. Pure; bounded by 64 releases.
 */
export class FleetHistory {
  readonly #releases = new Map<number, readonly ResourceChange[]>();
  readonly #versions = new Map<string, { release: number; version: string }[]>();
  #changes = 0;

  /** Newest release that is remembered; 0 = none. */
  get newest(): number {
    return [...this.#releases.keys()].at(-1) ?? 0;
  }

  /** Releases that are remembered, oldest first. */
  known(): Iterable<number> {
    return this.#releases.keys();
  }

  has(release: number): boolean {
    return this.#releases.has(release);
  }

  /**
   * Notes what `release`, newer than all before it, changed; an equal number adds to it. Returns the releases that are
   * forgotten for it.
   */
  released(release: number, changes: readonly ResourceChange[]): number[] {
    const counted = changes.filter(({ type, version }) => version !== '' || SEEN_WHEN_GONE.has(type));
    this.#releases.set(release, [...(this.#releases.get(release) ?? []), ...counted]);
    this.#changes += counted.length;
    for (const change of changes) this.#note(release, change);
    const forgotten: number[] = [];
    for (const oldest of this.#releases.keys()) {
      if (oldest === release || (this.#releases.size <= RELEASES && this.#changes <= CHANGES)) break;
      this.#forget(oldest);
      forgotten.push(oldest);
    }
    return forgotten;
  }

  /** Notes a change that is no part of a release, as that of a key: it counts as newer than what the releases said. */
  amended(changes: readonly ResourceChange[]): void {
    for (const change of changes) {
      const said = this.#versions.get(key(change));
      if (!said) continue;
      this.#note(this.newest, change);
      // Endpoints change all the time without a release: what a release itself said stays, and the latest after it.
      const since = said.findIndex(({ release }) => release === this.newest);
      if (said.length - since > AMENDED) said.splice(since + 1, 1);
    }
  }

  /** What of `release` the node still lacks; empty = it has it in force. Unknown releases lack nothing. */
  lacks(release: number, holder: Holder): ResourceChange[] {
    return (this.#releases.get(release) ?? []).filter((change) => !this.settled(release, change, holder));
  }

  /** Whether the node is past what `release` made of one resource. */
  settled(release: number, { type, name }: { readonly type: string; readonly name: string }, holder: Holder): boolean {
    if (!holder.wants(type, name)) return true;
    const said = this.#versions.get(key({ type, name })) ?? [];
    const newest = said.at(-1);
    if (newest?.version === '' && !SEEN_WHEN_GONE.has(type)) return true;
    const acked = holder.acked(type, name) ?? '';
    return said.some((entry) => entry.release >= release && entry.version === acked);
  }

  #note(release: number, change: ResourceChange): void {
    const said = this.#versions.get(key(change));
    const entry = { release, version: change.version };
    if (said) said.push(entry);
    else this.#versions.set(key(change), [entry]);
  }

  #forget(release: number): void {
    const changes = this.#releases.get(release) ?? [];
    this.#releases.delete(release);
    this.#changes -= changes.length;
    for (const change of changes) {
      const kept = this.#versions.get(key(change))?.filter((entry) => entry.release > release) ?? [];
      if (kept.length > 0) this.#versions.set(key(change), kept);
      else this.#versions.delete(key(change));
    }
  }
}

function key({ type, name }: { readonly type: string; readonly name: string }): string {
  return `${type}\n${name}`;
}
