import type { EntityManager } from 'typeorm';

/** How a release came about. Milliseconds from the begin of the write. */
export interface TimelineRow {
  readonly release: number;
  readonly replica: string;
  readonly beganAt: Date;
  readonly validatedMs: number | null;
  readonly storedMs: number | null;
  readonly compiledMs: number | null;
  readonly pushedMs: number | null;
  /** Keys of the fleets whose configuration changed. */
  readonly fleets: readonly string[];
}

/** `pending`: not answered yet; `acked`: in force; `refused`: the node said no; `away`: it left before it answered. */
export type NodeState = 'pending' | 'acked' | 'refused' | 'away';

/** What became of a release at one node; instants in ms since 1970. */
export interface ReceiptRow {
  readonly release: number;
  readonly fleet: string;
  readonly node: string;
  readonly replica: string;
  readonly state: NodeState;
  /** It took, or has taken until now, longer than it should. */
  readonly late: boolean;
  readonly pushedAt: number | null;
  readonly ackedAt: number | null;
  readonly types: readonly TypeReceipt[];
}

/** The share of one resource type. */
export interface TypeReceipt {
  readonly type: string;
  /** Resources of the type that the release changed and the node is to have. */
  readonly changed: number;
  /** Of these, not in force yet. */
  readonly waiting: number;
  readonly pushedAt?: number;
  readonly ackedAt?: number;
  readonly refused?: { readonly name: string; readonly error: string };
  /** Why it is held back. */
  readonly held?: string;
}

/** A node as the replica tells that it is, or was last, connected to. */
export interface NodeRow {
  readonly fleet: string;
  readonly node: string;
  readonly replica: string;
  readonly connected: boolean;
  readonly firstSeenAt: Date;
  readonly upSince: Date;
  readonly connectedAt: Date;
  readonly lastSeenAt: Date;
  readonly about: NodeAbout;
}

/** What a replica knows of a node beyond who it is. */
export interface NodeAbout {
  readonly role: 'envoy' | 'edge' | 'grpc' | 'other';
  /** Of an edge: the node it stands beside. */
  readonly beside?: string;
  readonly version: string;
  readonly locality: { readonly region: string; readonly zone: string; readonly subZone: string };
  readonly peer: string;
  readonly variant: 'delta' | 'sotw';
  /** How it proved who it is; not kept by older versions. */
  readonly identity?: {
    readonly by: 'certificate' | 'token' | 'shared-token' | 'none';
    readonly serial?: string;
    readonly expiresAtMs?: number;
  };
  /** Newest release that it has in force with all before it; null while it is not known, soon after it came. */
  readonly release: number | null;
  /** The same of what needs no release; absent while it is not known. */
  readonly revision?: number;
  /** Names it is still to be told, or has not answered. */
  readonly drift: number;
  /** Since when there is any, in ms since 1970. */
  readonly behindSince?: number;
  readonly heardAt: number;
  readonly held: readonly HeldChange[];
  readonly refused: readonly {
    readonly type: string;
    readonly name: string;
    readonly version: string;
    readonly error: string;
  }[];
}

export interface HeldChange {
  readonly type: string;
  readonly name: string;
  readonly change: 'upsert' | 'removal';
  readonly why: string;
  readonly on: { readonly type: string; readonly name: string };
  readonly sinceMs: number;
}

/** Releases of a workspace whose receipts are kept. */
export const KEPT_RELEASES = 500;
/** How long after its last sign of life a node is forgotten, and a replica. */
const FORGET_NODE = '7 days';
const FORGET_REPLICA = '1 day';
/** Nodes of a workspace that are kept, the latest seen first. */
const MOST_NODES = 20_000;
/** A gap between streams that does not end a node's uptime. */
const UPTIME_GAP = '60 seconds';

export async function putTimeline(
  manager: EntityManager,
  rows: readonly (TimelineRow & { workspace: string })[],
): Promise<void> {
  await manager.query(
    `insert into release_timeline (workspace, release, replica, began_at, validated_ms, stored_ms, compiled_ms, pushed_ms, fleets)
     select r.workspace, r.release, r.replica, r."beganAt", r."validatedMs", r."storedMs", r."compiledMs", r."pushedMs",
       array(select jsonb_array_elements_text(r.fleets))
     from jsonb_to_recordset($1::jsonb) as r(workspace text, release integer, replica text, "beganAt" timestamptz, "validatedMs" float8,
       "storedMs" float8, "compiledMs" float8, "pushedMs" float8, fleets jsonb) join workspace w on w.name = r.workspace
     on conflict (workspace, release) do nothing`,
    [JSON.stringify(rows)],
  );
}

/**
 * Stores what became of releases at nodes, then drops what is older than {@link KEPT_RELEASES}. A row that says less than one
 * that is there, because the node has moved to another replica meanwhile, takes nothing away.
 */
export async function putReceipts(
  manager: EntityManager,
  rows: readonly (ReceiptRow & { workspace: string })[],
): Promise<void> {
  if (rows.length === 0) return;
  await manager.query(
    `insert into release_receipt (workspace, release, fleet, node, replica, state, late, pushed_at, acked_at, types)
     select r.workspace, r.release, r.fleet, r.node, r.replica, r.state, r.late, to_timestamp(r."pushedAt" / 1000),
       to_timestamp(r."ackedAt" / 1000), r.types
     from jsonb_to_recordset($1::jsonb) as r(workspace text, release integer, fleet text, node text, replica text, state text, late boolean,
       "pushedAt" float8, "ackedAt" float8, types jsonb) join workspace w on w.name = r.workspace
     order by r.workspace, r.release, r.fleet, r.node
     on conflict (workspace, release, fleet, node) do update set replica = excluded.replica, state = excluded.state,
       late = release_receipt.late or excluded.late, pushed_at = coalesce(release_receipt.pushed_at, excluded.pushed_at),
       acked_at = excluded.acked_at, types = excluded.types
       where release_receipt.state in ('pending', 'away') or (release_receipt.replica = excluded.replica and excluded.state in ('acked', 'refused'))`,
    [JSON.stringify(rows)],
  );
  const newest = new Map<string, number>();
  for (const { workspace, release } of rows) newest.set(workspace, Math.max(release, newest.get(workspace) ?? 0));
  for (const [workspace, release] of newest) {
    if (release <= KEPT_RELEASES) continue;
    for (const table of ['release_receipt', 'release_timeline'])
      await manager.query(`delete from ${table} where workspace = $1 and release <= $2`, [
        workspace,
        release - KEPT_RELEASES,
      ]);
  }
}

/**
 * Stores how nodes are. A replica that has lost a node does not overwrite the one that has it now; one that has it is believed
 * over one that says it has not, or that is dead, whatever their clocks say. Returns whose rows were stored, as `fleet\nnode`.
 */
export async function putNodes(
  manager: EntityManager,
  rows: readonly (Omit<NodeRow, 'firstSeenAt' | 'upSince' | 'lastSeenAt'> & { workspace: string })[],
  aliveMs: number,
): Promise<Set<string>> {
  if (rows.length === 0) return new Set();
  const stored: { fleet: string; node: string }[] = await manager.query(
    `insert into node (workspace, fleet, node, replica, connected, first_seen_at, up_since, connected_at, last_seen_at, about)
     select r.workspace, r.fleet, r.node, r.replica, r.connected, r."connectedAt", r."connectedAt", r."connectedAt", now(), r.about
     from jsonb_to_recordset($1::jsonb) as r(workspace text, fleet text, node text, replica text, connected boolean,
       "connectedAt" timestamptz, about jsonb) join workspace w on w.name = r.workspace
     order by r.workspace, r.fleet, r.node
     on conflict (workspace, fleet, node) do update set replica = excluded.replica, connected = excluded.connected,
       connected_at = excluded.connected_at, last_seen_at = now(), about = excluded.about,
       up_since = case when excluded.connected_at > node.last_seen_at + interval '${UPTIME_GAP}' then excluded.connected_at
         else node.up_since end
       where excluded.connected_at >= node.connected_at or node.replica = excluded.replica or (excluded.connected and (not node.connected
         or not exists (select 1 from replica r where r.id = node.replica and r.seen_at > now() - $2 * interval '1 ms')))
     returning fleet, node`,
    [JSON.stringify(rows), aliveMs],
  );
  return new Set(stored.map(({ fleet, node }) => `${fleet}\n${node}`));
}

/** Says that `replica` lives, and forgets replicas and nodes nobody has heard of for long. Returns the ids of those that live. */
export async function beat(
  manager: EntityManager,
  replica: { readonly id: string; readonly startedAt: Date },
  aliveMs: number,
): Promise<string[]> {
  await manager.query(
    'insert into replica (id, started_at, seen_at) values ($1, $2, now()) on conflict (id) do update set seen_at = now()',
    [replica.id, replica.startedAt],
  );
  await manager.query(`delete from replica where seen_at < now() - interval '${FORGET_REPLICA}'`);
  await manager.query(
    `delete from node where last_seen_at < now() - interval '${FORGET_NODE}' and not exists (
       select 1 from replica r where r.id = node.replica and node.connected and r.seen_at > now() - $1 * interval '1 ms')`,
    [aliveMs],
  );
  await manager.query(
    `delete from node n using (
       select workspace, fleet, node, row_number() over (partition by workspace order by connected desc, last_seen_at desc) as place from node
     ) old where old.place > ${MOST_NODES} and (n.workspace, n.fleet, n.node) = (old.workspace, old.fleet, old.node)`,
  );
  const rows: { id: string }[] = await manager.query(
    `select id from replica where seen_at > now() - $1 * interval '1 ms' order by id`,
    [aliveMs],
  );
  return rows.map(({ id }) => id);
}

/** A replica that ends in order: its nodes are away from now on. */
export async function leave(manager: EntityManager, replica: string): Promise<void> {
  await manager.query('update node set connected = false, last_seen_at = now() where replica = $1 and connected', [
    replica,
  ]);
  await manager.query('delete from replica where id = $1', [replica]);
}

export async function timelineOf(
  manager: EntityManager,
  workspace: string,
  release: number,
): Promise<TimelineRow | undefined> {
  const rows: TimelineRow[] = await manager.query(
    `select release, replica, began_at as "beganAt", validated_ms as "validatedMs", stored_ms as "storedMs", compiled_ms as "compiledMs",
       pushed_ms as "pushedMs", fleets from release_timeline where workspace = $1 and release = $2`,
    [workspace, release],
  );
  return rows[0];
}

export function receiptsOf(manager: EntityManager, workspace: string, release: number): Promise<ReceiptRow[]> {
  return manager.query(
    `select release, fleet, node, replica, state, late, (extract(epoch from pushed_at) * 1000)::float8 as "pushedAt",
       (extract(epoch from acked_at) * 1000)::float8 as "ackedAt", types
     from release_receipt where workspace = $1 and release = $2 order by fleet, node`,
    [workspace, release],
  );
}

/** Nodes by workspace, all of them or one's; `connected` is false where the replica that said otherwise is dead. */
export function nodesOf(
  manager: EntityManager,
  aliveMs: number,
  workspace?: string,
): Promise<(NodeRow & { workspace: string })[]> {
  return manager.query(
    `select n.workspace, n.fleet, n.node, n.replica,
       n.connected and exists (select 1 from replica r where r.id = n.replica and r.seen_at > now() - $1 * interval '1 ms') as connected,
       n.first_seen_at as "firstSeenAt", n.up_since as "upSince", n.connected_at as "connectedAt", n.last_seen_at as "lastSeenAt", n.about
     from node n where $2::text is null or n.workspace = $2 order by n.workspace, n.fleet, n.node`,
    [aliveMs, workspace ?? null],
  );
}
