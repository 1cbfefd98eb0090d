import type { status } from '@grpc/grpc-js';
import { Quarantine, type Quarantined } from '../core/ads/quarantine.js';
import type { TableDelta } from '../core/ads/resource.js';
import type { ResourceStatus } from '../core/ads/session.js';
import type { Possessions } from '../core/ads/session-sotw.js';
import { type EffectiveChange, ResourceTable } from '../core/ads/table.js';
import type { NodeStream } from './ads-events.js';

/** Names that are gone of which the release is remembered; the oldest is forgotten first. */
const GONE = 10_000;
/** Nodes remembered per fleet; the oldest is forgotten first. */
const KNOWN_NODES = 10_000;
/** Nodes of state-of-the-world streams of which a fleet remembers what they had. */
const LEFT_NODES = 200;

/** A stream as its fleet needs it. */
export interface FleetStream extends NodeStream {
  /** Its node.id. */
  readonly node: string;
  /** Whether it is an edge's: such streams are told first, so that policies arrive before the routes that name them. */
  readonly isEdge: boolean;
  /** The table of the fleet has changed; nothing is sent before {@link pump}. */
  changed(change: EffectiveChange): void;
  /** Sends what there is to say, as long as the client takes it. */
  pump(): void;
  /** Ends it with a status the node can show. */
  fail(code: status, message: string): void;
  /** Where one resource stands at the node; undefined when the stream has ended. */
  status(type: string, name: string): ResourceStatus | undefined;
  /** Whether the node has something in force that needs this resource. */
  uses(type: string, name: string): boolean;
  /** What the node has, of a state-of-the-world stream. */
  possessions(): Possessions | undefined;
}

/** One fleet: what its nodes should have, and the streams they have open. */
export class Fleet {
  readonly table = new ResourceTable();
  readonly streams = new Set<FleetStream>();
  readonly quarantine = new Quarantine();
  /** Names in {@link #releases} that are gone, the latest last: policies are named by their content, so each edit leaves some. */
  readonly #gone = new Set<string>();
  readonly #releases = new Map<string, number>();
  readonly #nodes = new Set<string>();
  readonly #left = new Map<string, Possessions>();

  constructor(readonly key: string) {}

  /** Changes the table and tells all streams; edges first. Costs the change times the streams. */
  publish(
    delta: TableDelta,
    release: number | undefined,
    onChange?: (change: EffectiveChange) => void,
  ): EffectiveChange {
    const change = this.table.apply(delta);
    onChange?.(change);
    if (release !== undefined) this.#note(change, release);
    if (change.upserts.length + change.removals.length === 0) return change;
    for (const { type, name } of change.removals) this.quarantine.removed(type, name);
    for (const stream of this.streams) stream.changed(change);
    for (const stream of this.streams) if (stream.isEdge) stream.pump();
    for (const stream of this.streams) if (!stream.isEdge) stream.pump();
    return change;
  }

  #note({ upserts, removals }: EffectiveChange, release: number): void {
    for (const { type, name } of upserts) {
      this.#releases.set(`${type}\n${name}`, release);
      this.#gone.delete(`${type}\n${name}`);
    }
    for (const { type, name } of removals) {
      this.#releases.set(`${type}\n${name}`, release);
      this.#gone.add(`${type}\n${name}`);
    }
    for (const oldest of this.#gone) {
      if (this.#gone.size <= GONE) break;
      this.#gone.delete(oldest);
      this.#releases.delete(oldest);
    }
  }

  /** The newest release that changed any of these names, if it is still remembered. */
  release(type: string, names: readonly string[]): number | undefined {
    let newest: number | undefined;
    for (const name of names) {
      const release = this.#releases.get(`${type}\n${name}`);
      if (release !== undefined && (newest === undefined || release > newest)) newest = release;
    }
    return newest;
  }

  /** What is held back from nodes now: what they refused, unless they have meanwhile what is wanted. Costs those and the streams. */
  heldBack(): Quarantined[] {
    const byNode = new Map<string, FleetStream[]>();
    for (const stream of this.streams) {
      const streams = byNode.get(stream.node);
      if (streams) streams.push(stream);
      else byNode.set(stream.node, [stream]);
    }
    return [...this.quarantine.all()].filter(({ node, resource: { type, name, version } }) => {
      const desired = this.table.get(type, name)?.version;
      if (desired === version || desired === undefined) return desired !== undefined;
      return byNode.get(node)?.some((stream) => stream.acked(type, name) !== desired) ?? false;
    });
  }

  /** Whether a node other than that of `except` has something in force that needs this resource. */
  uses(type: string, name: string, except: FleetStream): boolean {
    for (const stream of this.streams) if (stream !== except && stream.uses(type, name)) return true;
    return false;
  }

  /** Remembers what a node has when its stream ends, which a state-of-the-world client does not tell when it comes back. */
  left(node: string, possessions: Possessions): void {
    this.#left.delete(node);
    this.#left.set(node, possessions);
    const [oldest] = this.#left.keys();
    if (this.#left.size > LEFT_NODES && oldest !== undefined) this.#left.delete(oldest);
  }

  /** What a node had when its last stream ended, or has on one that is not known to have ended. */
  last(node: string): Possessions | undefined {
    for (const stream of this.streams) {
      const possessions = stream.node === node ? stream.possessions() : undefined;
      if (possessions) return possessions;
    }
    return this.#left.get(node);
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
