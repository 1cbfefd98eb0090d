import { FleetHistory, type ResourceChange } from '../../core/ads/in-force.js';
import { ORDER } from '../../core/ads/order.js';
import type { Resource } from '../../core/ads/resource.js';
import type { EffectiveChange } from '../../core/ads/table.js';
import type { AdsEvent, NodeStream } from '../../wire/ads-events.js';
import type { AdsServer } from '../../wire/ads-server.js';
import { AtOnce } from './at-once.js';
import { Row } from './row.js';
import { Timeline } from './timeline.js';

/** A node that is, or was a moment ago, connected to this replica. */
export interface TrackedNode {
  readonly fleet: string;
  readonly node: string;
  /** Undefined: it is away. */
  stream: NodeStream | undefined;
  connectedAtMs: number;
  /** When it went away, in ms since 1970. */
  leftAtMs?: number;
  /** It has had everything since it came; before, its release in force is not known. */
  synced: boolean;
  /** What it was found to lack last, with what it had of it then, after so many changes of its fleet. */
  lacked?: {
    readonly type: string;
    readonly name: string;
    readonly acked: string | undefined;
    readonly published: number;
  };
  /** Newest revision of what needs no release that it has in force with all before it; null while that is not known. */
  revision: number | null;
  /** The latest releases at this node. */
  readonly rows: Map<number, Row>;
  /** Those of them, and older ones, that it does not have in force, oldest first. */
  readonly open: Map<number, Row>;
  /** Responses without answer: nonce, and when they were sent. */
  readonly unanswered: Map<string, number>;
}

type Told =
  | {
      readonly kind: 'published';
      readonly fleet: string;
      readonly change: EffectiveChange;
      readonly release: number | undefined;
      readonly revision: number | undefined;
      readonly atMs: number;
    }
  | AdsEvent;

/** How often open receipts are looked at without an event, in ms. */
const TICK_MS = 500;
/** How long a node that went away is remembered here, in ms; the store remembers it longer. */
const REMEMBER_MS = 600_000;
const MOST_UNANSWERED = 1024;
/** Releases per node that are remembered here although they are in force. */
const ROWS = 16;
const MOST_TIMELINES = 256;

/**
 * What became of releases at the nodes of this replica. Fed by the ADS server and by publications; both only append to a
 * queue, which is worked off afterwards, so that no publication waits for it.
 */
export class Tracker {
  readonly nodes = new Map<string, TrackedNode>();
  readonly timelines = new Map<string, Timeline>();
  readonly atOnce = new AtOnce();
  /** Rows whose content has changed since they were taken. */
  readonly dirty = new Set<Row>();
  /** Told after rows or nodes have changed. `came`: a node came or went. */
  readonly onChange = new Set<(came: boolean) => void>();
  readonly #histories = new Map<string, FleetHistory>();
  /** How often each fleet has changed. */
  readonly #changes = new Map<string, number>();
  readonly #streams = new Map<number, TrackedNode>();
  readonly #releases = new Map<string, number>();
  readonly #releasing = new Map<string, number>();
  readonly #timer: NodeJS.Timeout;
  #queue: Told[] = [];
  #advanced = false;
  /** Nodes that have said something since it was looked at how far they are. */
  readonly #answering = new Set<TrackedNode>();
  #ads: AdsServer | undefined;

  constructor(readonly replica: string) {
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
    this.#timer.unref();
  }

  /** Must be called before the first stream can be there. */
  follow(ads: AdsServer): void {
    this.#ads = ads;
  }

  close(): void {
    clearInterval(this.#timer);
  }

  /** Newest release of a workspace that this replica has pushed; 0 when there is none. */
  release(workspace: string): number {
    return this.#releases.get(workspace) ?? 0;
  }

  /** Newest release the node has in force with all before it; null while that is not known. */
  inForce(node: TrackedNode): number | null {
    if (!node.synced) return null;
    const [oldest] = node.open.keys();
    return oldest === undefined ? this.release(workspaceOf(node.fleet)) : oldest - 1;
  }

  /** A write made a release, and it is stored. */
  stored(workspace: string, release: number, timeline: Timeline): void {
    this.timelines.set(`${workspace}\n${release}`, timeline);
    const [oldest] = this.timelines.keys();
    if (this.timelines.size > MOST_TIMELINES && oldest !== undefined) this.timelines.delete(oldest);
  }

  /** A release is compiled: what is published until `pushed` is its doing. */
  compiled(workspace: string, release: number): void {
    this.#releasing.set(workspace, release);
    this.timelines.get(`${workspace}\n${release}`)?.mark('compiledMs');
  }

  pushed(workspace: string, release: number): void {
    this.#releasing.delete(workspace);
    this.#releases.set(workspace, release);
    this.timelines.get(`${workspace}\n${release}`)?.mark('pushedMs');
    this.#later();
  }

  /** A workspace is gone, or is loaded anew: its releases may be counted anew too. */
  forget(workspace: string): void {
    this.catchUp();
    this.#releases.delete(workspace);
    this.atOnce.forget(workspace);
    for (const key of this.timelines.keys()) if (key.startsWith(`${workspace}\n`)) this.timelines.delete(key);
    for (const fleet of this.#histories.keys()) if (workspaceOf(fleet) === workspace) this.#histories.delete(fleet);
    for (const node of this.nodes.values()) {
      if (workspaceOf(node.fleet) !== workspace) continue;
      node.open.clear();
      node.rows.clear();
    }
    for (const row of this.dirty) if (row.workspace === workspace) this.dirty.delete(row);
  }

  onPublish(fleet: string, change: EffectiveChange, release: number | undefined): void {
    const workspace = workspaceOf(fleet);
    const releasing = this.#releasing.get(workspace);
    if (releasing !== undefined) this.timelines.get(`${workspace}\n${releasing}`)?.fleets.add(fleet);
    else if (release !== undefined) this.#releases.set(workspace, Math.max(release, this.release(workspace)));
    if (change.upserts.length + change.removals.length === 0) return;
    this.#tell({
      kind: 'published',
      fleet,
      change,
      release: releasing,
      revision: this.atOnce.current(workspace),
      atMs: now(),
    });
  }

  onEvent(event: AdsEvent): void {
    this.#tell(event);
  }

  /** Fleets that a release changed, as far as it is remembered here. */
  fleetsOf(workspace: string, release: number): Set<string> {
    const fleets = new Set(this.timelines.get(`${workspace}\n${release}`)?.fleets);
    for (const [fleet, history] of this.#histories)
      if (workspaceOf(fleet) === workspace && history.has(release)) fleets.add(fleet);
    return fleets;
  }

  /** Whether a node has something in force, since the last call, that others may wait for and no row tells. */
  takeAdvanced(): boolean {
    const advanced = this.#advanced;
    this.#advanced = false;
    return advanced;
  }

  #tell(told: Told): void {
    this.#queue.push(told);
    if (this.#queue.length === 1) this.#later();
  }

  #later(): void {
    setImmediate(() => this.#work());
  }

  /** Works off what is queued now, for those who ask right after a publication. */
  catchUp(): void {
    if (this.#queue.length > 0) this.#work();
  }

  #work(): void {
    const queue = this.#queue;
    this.#queue = [];
    let came = false;
    for (const told of queue) {
      if (told.kind === 'published') this.#published(told);
      else if (told.kind === 'connected') came = this.#connected(told) || came;
      else if (told.kind === 'disconnected') came = this.#disconnected(told) || came;
      else this.#answered(told);
    }
    // Now that everything published is known.
    for (const node of this.#answering) this.#reach(node);
    this.#answering.clear();
    this.#announce(came);
  }

  #announce(came: boolean): void {
    for (const listener of this.onChange) listener(came);
  }

  #published({ fleet, change, release, revision, atMs }: Extract<Told, { kind: 'published' }>): void {
    const history = this.#histories.get(fleet) ?? new FleetHistory();
    this.#histories.set(fleet, history);
    this.#changes.set(fleet, (this.#changes.get(fleet) ?? 0) + 1);
    const changes: ResourceChange[] = [
      ...change.upserts.map(({ type, name, version }) => ({ type, name, version })),
      ...change.removals.map(({ type, name }) => ({ type, name, version: '' })),
    ];
    const forgotten = release === undefined ? [] : history.released(release, changes);
    if (release === undefined) history.amended(changes);
    this.atOnce.published(fleet, changes, revision);
    for (const node of this.nodes.values()) {
      if (node.fleet !== fleet) continue;
      for (const old of forgotten) node.open.delete(old);
      // A later release may have made an earlier one's change needless.
      for (const row of node.open.values()) this.#look(node, row, atMs);
      if (release !== undefined && node.stream) this.#open(node, release, atMs);
    }
  }

  #open(node: TrackedNode, release: number, atMs: number): void {
    const history = this.#histories.get(node.fleet);
    if (!history?.has(release) || !node.stream) return;
    const row = new Row(this.replica, workspaceOf(node.fleet), release, node.fleet, node.node, atMs);
    row.begin(history, node.stream);
    this.dirty.add(row);
    node.rows.set(release, row);
    const [oldest] = node.rows.keys();
    if (node.rows.size > ROWS && oldest !== undefined) node.rows.delete(oldest);
    if (row.waits) node.open.set(release, row);
    else row.look(history, node.stream, now());
  }

  #connected({ stream: id, fleet, node: name, atMs }: AdsEvent): boolean {
    const stream = this.#ads?.nodeStreams(fleet).find((candidate) => candidate.id === id);
    if (!stream) return false;
    const key = `${fleet}\n${name}`;
    const before = this.nodes.get(key);
    if (before?.stream) this.#streams.delete(before.stream.id);
    const node: TrackedNode = {
      fleet,
      node: name,
      stream,
      connectedAtMs: atMs,
      synced: false,
      revision: null,
      rows: before?.rows ?? new Map<number, Row>(),
      open: before?.open ?? new Map<number, Row>(),
      unanswered: new Map(),
    };
    this.nodes.set(key, node);
    this.#streams.set(id, node);
    const newest = this.#histories.get(fleet)?.newest ?? 0;
    for (const row of node.open.values()) {
      row.returned();
      this.dirty.add(row);
      this.#look(node, row, atMs);
    }
    if (newest > 0 && !node.open.has(newest) && !node.rows.has(newest)) this.#open(node, newest, atMs);
    return true;
  }

  #disconnected({ stream: id, atMs }: AdsEvent): boolean {
    const node = this.#streams.get(id);
    this.#streams.delete(id);
    if (!node) return false;
    node.stream = undefined;
    node.leftAtMs = atMs;
    node.unanswered.clear();
    for (const row of node.open.values()) if (row.left()) this.dirty.add(row);
    return true;
  }

  #answered(event: Exclude<AdsEvent, { kind: 'connected' } | { kind: 'disconnected' }>): void {
    const node = this.#streams.get(event.stream);
    if (!node?.stream) return;
    if (event.kind === 'sent') {
      node.unanswered.set(event.nonce, event.atMs);
      const [oldest] = node.unanswered.keys();
      if (node.unanswered.size > MOST_UNANSWERED && oldest !== undefined) node.unanswered.delete(oldest);
      for (const row of node.open.values()) row.sent(event.type, event.names, event.atMs);
      return;
    }
    if (event.kind === 'late') {
      for (const row of node.open.values()) if (row.held(event.type, event.names, event.why)) this.dirty.add(row);
      return;
    }
    node.unanswered.delete(event.nonce);
    for (const row of node.open.values()) {
      if (row.waitsFor(event.type)) this.#look(node, row, event.atMs, event.type);
    }
    this.#sync(node);
    this.#answering.add(node);
  }

  #reach(node: TrackedNode): void {
    if (!node.synced || !node.stream) return;
    const before = node.revision;
    node.revision = this.atOnce.reached(node.fleet, before ?? 0, node.stream);
    if (node.revision !== before) this.#advanced = true;
  }

  #look(node: TrackedNode, row: Row, atMs: number, type?: string): void {
    const history = this.#histories.get(node.fleet);
    if (!history || !node.stream) return;
    if (row.look(history, node.stream, atMs, type)) this.dirty.add(row);
    if (!row.waits) node.open.delete(row.release);
  }

  /**
   * Whether a node that came lately has everything now. Looks at the whole table, but only when nothing is under way, and not
   * again before something has become of what it lacked: a node that refuses something lacks it for long.
   */
  #sync(node: TrackedNode): void {
    const { stream, lacked } = node;
    if (node.synced || !stream?.quiet) return;
    const published = this.#changes.get(node.fleet) ?? 0;
    if (lacked?.published === published && stream.wants(lacked.type, lacked.name)) {
      if (stream.acked(lacked.type, lacked.name) === lacked.acked) return;
    }
    for (const type of ORDER) {
      const lacks = ({ name, version }: Resource) => {
        if (!stream.wants(type, name)) return false;
        const acked = stream.acked(type, name);
        if (acked === version) return false;
        node.lacked = { type, name, acked, published };
        return true;
      };
      for (const resource of stream.named(type)) if (lacks(resource)) return;
      for (const resource of this.#ads?.desired(node.fleet, type) ?? []) if (lacks(resource)) return;
    }
    node.synced = true;
  }

  #tick(): void {
    const at = now();
    let changed = false;
    for (const [key, node] of this.nodes) {
      if (!node.stream && at - (node.leftAtMs ?? at) > REMEMBER_MS) this.nodes.delete(key);
      const wasSynced = node.synced;
      this.#sync(node);
      if (wasSynced !== node.synced) changed = true;
      if (this.#queue.length === 0) this.#reach(node);
      for (const row of [...node.open.values()]) {
        this.#look(node, row, at);
        if (row.grows(at)) this.dirty.add(row);
      }
    }
    if (changed || this.dirty.size > 0) this.#announce(changed);
  }
}

/** Workspace of a fleet key. */
export function workspaceOf(fleet: string): string {
  return fleet.slice(0, fleet.indexOf('/'));
}

/** Wall clock in ms since 1970, as ADS events have it. */
export function now(): number {
  return performance.timeOrigin + performance.now();
}
