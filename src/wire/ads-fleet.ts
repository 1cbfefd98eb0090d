import { Quarantine, type Quarantined } from '../core/ads/quarantine.js';
import type { TableDelta } from '../core/ads/resource.js';
import { type EffectiveChange, ResourceTable } from '../core/ads/table.js';
import type { AdsStream } from './ads-stream.js';

/** Nodes remembered per fleet; the oldest is forgotten first. */
const KNOWN_NODES = 10_000;

/** One fleet: what its nodes should have, and the streams they have open. */
export class Fleet {
  readonly table = new ResourceTable();
  readonly streams = new Set<AdsStream>();
  readonly quarantine = new Quarantine();
  readonly #releases = new Map<string, number>();
  readonly #nodes = new Set<string>();

  constructor(readonly key: string) {}

  /** Changes the table and tells all streams; edges first. Costs the change times the streams. */
  publish(
    delta: TableDelta,
    release: number | undefined,
    onChange?: (change: EffectiveChange) => void,
  ): EffectiveChange {
    const change = this.table.apply(delta);
    onChange?.(change);
    if (release !== undefined) {
      for (const { type, name } of [...change.upserts, ...change.removals])
        this.#releases.set(`${type}\n${name}`, release);
    }
    if (change.upserts.length + change.removals.length === 0) return change;
    for (const { type, name } of change.removals) this.quarantine.removed(type, name);
    for (const stream of this.streams) stream.changed(change);
    for (const stream of this.streams) if (stream.isEdge) stream.pump();
    for (const stream of this.streams) if (!stream.isEdge) stream.pump();
    return change;
  }

  /** The newest release that changed any of these names. */
  release(type: string, names: readonly string[]): number | undefined {
    let newest: number | undefined;
    for (const name of names) {
      const release = this.#releases.get(`${type}\n${name}`);
      if (release !== undefined && (newest === undefined || release > newest)) newest = release;
    }
    return newest;
  }

  /** What is held back from nodes now: what they refused, unless they have meanwhile what is wanted. */
  heldBack(): Quarantined[] {
    return [...this.quarantine.all()].filter(({ node, resource: { type, name, version } }) => {
      const desired = this.table.get(type, name)?.version;
      if (desired === version || desired === undefined) return desired !== undefined;
      const nodes = [...this.streams].filter((stream) => stream.info()?.node === node);
      return nodes.some((stream) => stream.status(type, name)?.acked !== desired);
    });
  }

  /** Whether a node other than that of `except` has something in force that needs this resource. */
  uses(type: string, name: string, except: AdsStream): boolean {
    for (const stream of this.streams) if (stream !== except && stream.session?.uses(type, name)) return true;
    return false;
  }

  /** Notes a node; returns whether it was known. */
  meet(node: string): boolean {
    const known = this.#nodes.delete(node);
    this.#nodes.add(node);
    const [oldest] = this.#nodes;
    if (this.#nodes.size > KNOWN_NODES && oldest !== undefined) this.#nodes.delete(oldest);
    return known;
  }
}
