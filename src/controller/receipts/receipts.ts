import { type ReceiptRow, receiptsOf, type TimelineRow, timelineOf } from '../../store/receipts.js';
import type { Store } from '../../store/store.js';
import { type ContentReceipt, contentReceipt } from './content-receipt.js';
import type { Journal, KnownNode } from './journal.js';
import { type NodeOfRelease, type Receipt, receiptView } from './receipt-view.js';
import { type TrackedNode, type Tracker, workspaceOf } from './tracker.js';

/** How often a wait looks at other replicas although none said anything, in ms. */
const LOOK_MS = 1_000;

interface Stored {
  readonly timeline: TimelineRow | undefined;
  readonly rows: readonly ReceiptRow[];
}

/** What became of releases, over all replicas: of this one's nodes from memory, of others' from the database. */
export class Receipts {
  /** Waits that want to know when another replica wrote something. */
  readonly #listeners = new Set<() => void>();

  constructor(
    private readonly tracker: Tracker,
    private readonly journal: Journal,
    private readonly store: Store,
  ) {}

  /** Another replica says that it wrote receipts. */
  heard(replica: string): void {
    if (replica !== this.tracker.replica) for (const listener of this.#listeners) listener();
  }

  /** @throws StoreUnavailable. */
  async of(workspace: string, release: number): Promise<Receipt> {
    this.tracker.catchUp();
    await this.journal.look();
    return receiptView(this.#gather(workspace, release, await this.#stored(workspace, release)));
  }

  /**
   * Resolves when every connected node of the fleets that the release touched has it in force or refused it, or when the
   * time is over; `timedOut` tells. Nodes of this replica are not polled. While the database is away, other replicas' nodes
   * count as they were last known.
   */
  async wait(workspace: string, release: number, timeoutMs: number): Promise<Receipt> {
    const began = performance.now();
    let stored: Stored = { timeline: undefined, rows: [] };
    const news = this.#news();
    let looking: Promise<void> | undefined;
    const look = () => {
      news.due = false;
      // Nodes first: a replica writes them after the timeline, so what a node acknowledged has its timeline by then.
      looking = this.journal
        .look()
        .then(() => this.#stored(workspace, release))
        .then(
          (found) => {
            stored = found;
          },
          () => {},
        )
        .finally(() => {
          looking = undefined;
        });
    };
    // While the nodes answer, the database tells of others'.
    look();
    try {
      for (;;) {
        const left = timeoutMs - (performance.now() - began);
        const here = this.tracker.release(workspace) >= release && this.#hereSettled(workspace, release);
        if (here && news.due && !looking) look();
        if (here || left <= 0) {
          // The bound holds for the database too.
          if (looking) await Promise.race([looking, news.signal.within(Math.max(left, 0))]);
          // What came meanwhile may say more than what was read.
          if ((looking || (here && news.due)) && left > 0) continue;
          const receipt = receiptView(this.#gather(workspace, release, stored));
          const settled = here && receipt.result !== 'pending';
          if (settled || left <= 0) return { ...receipt, waitedMs: performance.now() - began, timedOut: !settled };
        }
        if (!(await news.signal.within(Math.min(left, LOOK_MS)))) news.due = true;
      }
    } finally {
      news.end();
    }
  }

  /**
   * As {@link wait}, of the newest change that needs no release: resolves when every connected node of the fleets that it
   * touched has its content, or newer, in force or refused it, or when the time is over.
   */
  async waitAtOnce(workspace: string, timeoutMs: number): Promise<ContentReceipt> {
    const began = performance.now();
    const revision = this.tracker.atOnce.newest(workspace);
    const news = this.#news();
    let looking: Promise<void> | undefined;
    try {
      for (;;) {
        const left = timeoutMs - (performance.now() - began);
        if (news.due && !looking) {
          news.due = false;
          looking = this.journal.look().finally(() => {
            looking = undefined;
            news.signal.raise();
          });
        }
        // The bound holds for the database too.
        if (!looking || left <= 0) {
          this.tracker.catchUp();
          const receipt = contentReceipt(workspace, revision, this.tracker, this.journal.known);
          if (receipt.result !== 'pending' || left <= 0)
            return { ...receipt, waitedMs: performance.now() - began, timedOut: receipt.result === 'pending' };
        }
        if (!(await news.signal.within(Math.min(left, LOOK_MS)))) news.due = true;
      }
    } finally {
      news.end();
    }
  }

  /** Listens to nodes and other replicas until `end`. `due`: what others wrote is to be read, at first and after each notice. */
  #news(): { due: boolean; readonly signal: Signal; end(): void } {
    const signal = new Signal();
    const onChange = () => signal.raise();
    const onNotice = () => {
      news.due = true;
      signal.raise();
    };
    const news = {
      due: true,
      signal,
      end: () => {
        this.tracker.onChange.delete(onChange);
        this.#listeners.delete(onNotice);
      },
    };
    this.tracker.onChange.add(onChange);
    this.#listeners.add(onNotice);
    return news;
  }

  /** Whether no node of this replica has yet to answer. */
  #hereSettled(workspace: string, release: number): boolean {
    this.tracker.catchUp();
    const fleets = this.tracker.fleetsOf(workspace, release);
    for (const node of this.tracker.nodes.values()) {
      if (!node.stream || !fleets.has(node.fleet)) continue;
      if (this.#stateHere(node, release) === 'pending') return false;
    }
    return true;
  }

  #stateHere(node: TrackedNode, release: number): 'acked' | 'refused' | 'pending' {
    const row = node.rows.get(release) ?? node.open.get(release);
    if (row?.state === 'refused') return 'refused';
    if (row && !row.waits) return 'acked';
    return (this.tracker.inForce(node) ?? 0) >= release ? 'acked' : 'pending';
  }

  async #stored(workspace: string, release: number): Promise<Stored> {
    return this.store.read(async (manager) => ({
      timeline: await timelineOf(manager, workspace, release),
      rows: await receiptsOf(manager, workspace, release),
    }));
  }

  #gather(workspace: string, release: number, { timeline, rows }: Stored): Parameters<typeof receiptView>[0] {
    const own = this.tracker.timelines.get(`${workspace}\n${release}`)?.stored(this.tracker.replica, release);
    const about = own ?? timeline;
    const fleets = new Set([...(about?.fleets ?? []), ...this.tracker.fleetsOf(workspace, release)]);
    const touched = (fleet: string) =>
      workspaceOf(fleet) === workspace && (fleets.has(fleet) || (about === undefined && fleets.size === 0));
    const nodes = new Map<string, NodeOfRelease>();
    for (const row of rows) nodes.set(`${row.fleet}\n${row.node}`, { ...row, role: undefined, connected: false });
    for (const known of this.journal.known) {
      if (known.replica === this.tracker.replica || !touched(known.fleet)) continue;
      const key = `${known.fleet}\n${known.node}`;
      const node = elsewhere(known, release, nodes.get(key));
      if (node) nodes.set(key, node);
    }
    for (const [key, node] of this.tracker.nodes) {
      const row = node.rows.get(release) ?? node.open.get(release);
      const before = nodes.get(key);
      if (!node.stream && !row) continue;
      if (!touched(node.fleet) && !row && !before) continue;
      if (!node.stream && before?.connected) continue;
      const role = node.stream?.info()?.role;
      const state = node.stream ? this.#stateHere(node, release) : (row?.state ?? 'away');
      const said = row?.stored() ?? before ?? unheardOf(node, release, this.tracker.replica);
      nodes.set(key, {
        ...said,
        replica: this.tracker.replica,
        state: state === 'pending' && before && before.state !== 'away' && !row ? before.state : state,
        role,
        connected: node.stream !== undefined,
      });
    }
    return { workspace, release, timeline: about, nodes: [...nodes.values()] };
  }
}

/** A node of another replica: as its row says, or by the release it has in force. */
function elsewhere(known: KnownNode, release: number, row: NodeOfRelease | undefined): NodeOfRelease | undefined {
  if (!known.connected && !row) return undefined;
  const past = (known.about.release ?? 0) >= release;
  const told = row?.state === 'acked' || row?.state === 'refused';
  return {
    ...(row ?? unheardOf(known, release, known.replica)),
    state: told ? row.state : known.connected ? (past ? 'acked' : 'pending') : 'away',
    role: known.about.role,
    connected: known.connected,
  };
}

function unheardOf({ fleet, node }: { fleet: string; node: string }, release: number, replica: string): NodeOfRelease {
  return {
    release,
    fleet,
    node,
    replica,
    state: 'pending',
    late: false,
    pushedAt: null,
    ackedAt: null,
    types: [],
    role: undefined,
    connected: true,
  };
}

/** Something that may happen while nobody listens, and is then seen at once. */
class Signal {
  #raised = false;
  #wake: (() => void) | undefined;

  raise(): void {
    this.#raised = true;
    this.#wake?.();
  }

  /** Whether it was raised within so many ms. */
  async within(ms: number): Promise<boolean> {
    if (!this.#raised) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, ms);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.#wake = undefined;
    }
    const raised = this.#raised;
    this.#raised = false;
    return raised;
  }
}
