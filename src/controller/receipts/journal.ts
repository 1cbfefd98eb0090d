import type { Log } from '../../logger.js';
import {
  beat,
  leave,
  type NodeRow,
  nodesOf,
  putNodes,
  putReceipts,
  putTimeline,
  type TimelineRow,
} from '../../store/receipts.js';
import type { Store } from '../../store/store.js';
import { SharedLook } from '../shared-look.js';
import { nodeAbout } from './node-about.js';
import type { Row } from './row.js';
import { type TrackedNode, type Tracker, workspaceOf } from './tracker.js';

/** How often a replica says that it lives, and reads what others tell, in ms. */
const BEAT_MS = 5_000;
/** After how long without it what a replica said of its nodes is no longer believed, in ms. */
export const ALIVE_MS = 15_000;
/** How long rows gather before they are written, in ms: alone, and while other replicas may be waited at. */
const GATHER_ALONE_MS = 250;
const GATHER_MS = 20;
const RETRY_MS = 1_000;
/** Rows kept for writing while the database is away. */
const MOST_ROWS = 20_000;

export type KnownNode = NodeRow & { readonly workspace: string };
type Written = Parameters<typeof putReceipts>[1][number];
type WrittenNode = Parameters<typeof putNodes>[1][number];

/** Brings what the tracker knows into the database, behind everything else, and reads what other replicas know. */
export class Journal {
  /** All nodes as the database had them at the last look. */
  known: readonly KnownNode[] = [];
  /** Ids of the replicas that live, this one included. */
  alive: readonly string[];
  readonly #rows = new Map<string, Row>();
  readonly #nodes = new Map<string, string>();
  readonly #timelines = new Set<string>();
  readonly #startedAt = new Date();
  readonly #beat: NodeJS.Timeout;
  readonly #look = new SharedLook(() => this.#read());
  #timer: NodeJS.Timeout | undefined;
  #busy: Promise<void> | undefined;
  #nodesDue = true;
  #closed = false;

  constructor(
    private readonly tracker: Tracker,
    private readonly store: Pick<Store, 'read'>,
    private readonly log: Log,
  ) {
    this.alive = [tracker.replica];
    tracker.onChange.add((came) => this.#gather(came));
    this.#beat = setInterval(() => void this.#live(), BEAT_MS);
    this.#beat.unref();
    void this.#live();
  }

  /** Whether another replica may have nodes. */
  get others(): boolean {
    return this.alive.length > 1;
  }

  /** Writes what is left and says that this replica's nodes are away. */
  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#beat);
    clearTimeout(this.#timer);
    await this.#busy;
    this.tracker.catchUp();
    this.#nodesDue = true;
    this.#take();
    await this.#write().catch(() => {});
    await this.store.read((manager) => leave(manager, this.tracker.replica)).catch(() => {});
  }

  /**
   * Reads the nodes anew; keeps what it knew when the database is away. Who asks at once shares what is read after that: hundreds may
   * wait, and each hears of everything that another replica writes.
   */
  look(): Promise<void> {
    return this.#look.run();
  }

  async #read(): Promise<void> {
    try {
      this.known = await this.store.read((manager) => nodesOf(manager, ALIVE_MS));
    } catch (error) {
      this.log.debug('the nodes of other controllers cannot be read', { reason: (error as Error).message });
    }
  }

  #gather(came: boolean): void {
    this.#take();
    // Others tell from the node what it has in force; alone, the next beat is soon enough.
    if (came || this.others) this.#nodesDue = true;
    const advanced = this.tracker.takeAdvanced() && this.others;
    if (this.#rows.size > 0 || this.tracker.timelines.size > this.#timelines.size || came || advanced)
      this.#soon(this.others ? GATHER_MS : GATHER_ALONE_MS);
  }

  /** Takes changed rows over from the tracker. */
  #take(): void {
    for (const row of this.tracker.dirty) {
      this.#rows.set(`${row.workspace}\n${row.release}\n${row.fleet}\n${row.node}`, row);
      const [oldest] = this.#rows.keys();
      if (this.#rows.size > MOST_ROWS && oldest !== undefined) this.#rows.delete(oldest);
    }
    this.tracker.dirty.clear();
  }

  #soon(ms: number): void {
    if (this.#timer || this.#closed) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (this.#busy) return this.#soon(ms);
      this.#busy = this.#write()
        .catch((error: Error) => {
          this.log.debug('receipts are not written yet', { reason: error.message });
          this.#soon(RETRY_MS);
        })
        .finally(() => {
          this.#busy = undefined;
        });
    }, ms);
    this.#timer.unref();
  }

  async #write(): Promise<void> {
    const rows = [...this.#rows];
    this.#rows.clear();
    const timelines = this.#newTimelines();
    const due = this.#nodesDue ? this.#changedNodes() : [];
    this.#nodesDue = false;
    if (rows.length + timelines.length + due.length === 0) return;
    let stored = new Set<string>();
    const receipts = rows.map(([, row]): Written => ({ workspace: row.workspace, ...row.stored() }));
    try {
      await this.store.read(async (manager) => {
        if (timelines.length > 0) await putTimeline(manager, timelines);
        stored = await putNodes(
          manager,
          due.map(([, node]) => node),
          ALIVE_MS,
        );
        await putReceipts(manager, receipts);
        if (!this.others || receipts.length + due.length === 0) return;
        const workspaces = [
          ...new Set([...receipts, ...due.map(([, node]) => node)].map(({ workspace }) => workspace)),
        ];
        const payload = { replica: this.tracker.replica, workspaces: workspaces.slice(0, 100) };
        await manager.query(`select pg_notify('paifang_receipt', $1)`, [JSON.stringify(payload)]);
      });
    } catch (error) {
      for (const [key, row] of rows) if (!this.#rows.has(key)) this.#rows.set(key, row);
      this.#nodesDue = true;
      throw error;
    }
    // A node that another replica still tells of is told again: that one will say that it has lost it.
    for (const [key, { connected }, text] of due) if (!connected || stored.has(key)) this.#nodes.set(key, text);
    for (const { workspace, release } of timelines) this.#timelines.add(`${workspace}\n${release}`);
    for (const key of this.#timelines) if (!this.tracker.timelines.has(key)) this.#timelines.delete(key);
  }

  #newTimelines(): (TimelineRow & { workspace: string })[] {
    const rows: (TimelineRow & { workspace: string })[] = [];
    for (const [key, timeline] of this.tracker.timelines) {
      if (this.#timelines.has(key) || timeline.pushedMs === undefined) continue;
      const [workspace = '', release] = key.split('\n');
      rows.push({ workspace, ...timeline.stored(this.tracker.replica, Number(release)) });
    }
    return rows;
  }

  /** Nodes that are not as they were written last. */
  #changedNodes(): [key: string, row: WrittenNode, text: string][] {
    const changed: [string, WrittenNode, string][] = [];
    for (const [key, node] of this.tracker.nodes) {
      const row = this.#nodeRow(node);
      if (!row) continue;
      const { heardAt: _, ...about } = row.about;
      const text = JSON.stringify([row.connected, row.connectedAt, about]);
      if (this.#nodes.get(key) !== text) changed.push([key, row, text]);
    }
    for (const key of this.#nodes.keys()) if (!this.tracker.nodes.has(key)) this.#nodes.delete(key);
    return changed;
  }

  #nodeRow(node: TrackedNode): WrittenNode | undefined {
    const about = nodeAbout(this.tracker, node);
    if (!about) return undefined;
    return {
      workspace: workspaceOf(node.fleet),
      fleet: node.fleet,
      node: node.node,
      replica: this.tracker.replica,
      connected: node.stream !== undefined,
      connectedAt: new Date(node.connectedAtMs),
      about,
    };
  }

  async #live(): Promise<void> {
    this.#nodesDue = true;
    this.#soon(0);
    try {
      const replica = { id: this.tracker.replica, startedAt: this.#startedAt };
      this.alive = await this.store.read((manager) => beat(manager, replica, ALIVE_MS));
      await this.look();
    } catch (error) {
      this.log.debug('this controller cannot say that it lives', { reason: (error as Error).message });
    }
  }
}
