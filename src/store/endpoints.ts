import type { EntityManager } from 'typeorm';
import { inTransaction } from './statement.js';
import type { WorkspaceTransaction } from './transaction.js';

/** An endpoint as it registers itself. */
export interface NewEndpoint {
  readonly id: string;
  /** IP address in canonical form. */
  readonly host: string;
  readonly port: number;
  readonly weight: number;
  /** `''`: not said, as zone and room. */
  readonly region: string;
  readonly zone: string;
  readonly room: string;
  /** null: it stays until it is taken out. */
  readonly ttlSeconds: number | null;
}

export interface EndpointRow extends NewEndpoint {
  readonly expiresAt: Date | null;
  readonly registeredAt: Date;
  readonly registeredBy: string;
}

/** All endpoints registered for one cluster. */
export interface EndpointList {
  readonly cluster: string;
  /** Revision of the workspace at which the list last changed. */
  readonly revision: number;
  readonly endpoints: readonly NewEndpoint[];
}

/** Ids of endpoints that a write brought in, altered, or took out; what only went on living is in none of them. */
export interface EndpointChange {
  readonly added: readonly string[];
  readonly changed: readonly string[];
  readonly removed: readonly string[];
}

const COLUMNS = `id, host, port, weight, region, zone, room, ttl_seconds as "ttlSeconds", expires_at as "expiresAt",
  registered_at as "registeredAt", registered_by as "registeredBy"`;

/** What is registered for a cluster, by id. */
export function listEndpoints(manager: EntityManager, workspace: string, cluster: string): Promise<EndpointRow[]> {
  return manager.query(`select ${COLUMNS} from registered_endpoint where workspace = $1 and cluster = $2 order by id`, [
    workspace,
    cluster,
  ]);
}

/**
 * Lets an endpoint that is registered with just these settings live on, without the lock of the workspace: a heartbeat is no
 * change. Undefined when it is not, or not so.
 *
 * @param cluster name, or id.
 */
export async function renewEndpoint(
  manager: EntityManager,
  workspace: string,
  cluster: string,
  endpoint: NewEndpoint,
): Promise<EndpointRow | undefined> {
  const { id, host, port, weight, region, zone, room, ttlSeconds } = endpoint;
  const [rows]: [EndpointRow[], number] = await manager.query(
    `update registered_endpoint set expires_at = now() + make_interval(secs => ttl_seconds)
     where workspace = $1 and id = $3 and host = $4 and port = $5 and weight = $6 and region = $7 and zone = $8
       and room = $9 and ttl_seconds is not distinct from $10::integer
       and cluster = (select name from object where workspace = $1 and kind = 'cluster' and state <> 'deleted' and (name = $2 or id = $2)
         order by name = $2 desc limit 1)
     returning ${COLUMNS}`,
    [workspace, cluster, id, host, port, weight, region, zone, room, ttlSeconds],
  );
  return rows[0];
}

/**
 * Registers endpoints of a cluster; with `whole` those that are not listed are taken out. An address belongs to one id: who
 * registers it under another takes it over. Returns the listed ones by id, and how many there are now. Cost: the cluster's list. Ids and addresses of `endpoints` are each unique.
 */
export async function putEndpoints(
  tx: WorkspaceTransaction,
  cluster: string,
  endpoints: readonly NewEndpoint[],
  { whole }: { whole: boolean },
): Promise<EndpointChange & { readonly count: number; readonly rows: EndpointRow[] }> {
  const before = await listEndpoints(tx.manager, tx.workspace.name, cluster);
  const given = new Map(endpoints.map((endpoint) => [endpoint.id, endpoint]));
  const addresses = new Set(endpoints.map(addressOf));
  const [added, changed] = [new Set(given.keys()), new Set<string>()];
  const removed: string[] = [];
  let kept = 0;
  for (const row of before) {
    const next = given.get(row.id);
    if (next) {
      added.delete(row.id);
      if (!same(row, next)) changed.add(row.id);
    } else if (whole || addresses.has(addressOf(row))) removed.push(row.id);
    else kept++;
  }
  // What changes goes first: two endpoints may have exchanged their addresses.
  await take(tx, cluster, [...removed, ...changed]);
  const rows = await inTransaction<EndpointRow>(tx.manager, PUT, [
    tx.workspace.name,
    cluster,
    JSON.stringify(endpoints),
    tx.actor.name,
  ]);
  const change = { added: [...added], changed: [...changed], removed };
  if (added.size + changed.size + removed.length > 0) await touch(tx, [cluster]);
  return { ...change, count: kept + endpoints.length, rows: rows.sort((a, b) => (a.id < b.id ? -1 : 1)) };
}

/** Takes out one endpoint of a cluster, or all of them; returns their ids. */
export async function removeEndpoints(tx: WorkspaceTransaction, cluster: string, id?: string): Promise<string[]> {
  const rows = await listEndpoints(tx.manager, tx.workspace.name, cluster);
  const ids = rows.map((row) => row.id).filter((known) => id === undefined || known === id);
  if (ids.length === 0) return [];
  await take(tx, cluster, ids);
  await touch(tx, [cluster]);
  return ids;
}

/** Forgets what is registered for clusters that are gone for good. */
export async function removeEndpointsOf(tx: WorkspaceTransaction, clusters: readonly string[]): Promise<void> {
  if (clusters.length === 0) return;
  const gone = await inTransaction<{ cluster: string }>(
    tx.manager,
    {
      name: 'remove-endpoints-of',
      text: `with gone as (delete from registered_endpoint where workspace = $1 and cluster = any ($2::text[]) returning cluster)
        select distinct cluster from gone`,
    },
    [tx.workspace.name, clusters],
  );
  if (gone.length > 0)
    await touch(
      tx,
      gone.map(({ cluster }) => cluster),
    );
}

/**
 * Endpoints that nobody registered again in time, as workspace and count.
 *
 * @param withinSeconds only those whose time to live is shorter: for so long they could have been registered again.
 */
export function expiredEndpoints(
  manager: EntityManager,
  withinSeconds: number,
): Promise<{ workspace: string; count: number }[]> {
  return manager.query(
    `select workspace, count(*)::integer as count from registered_endpoint
     where expires_at < now() and ttl_seconds < $1 group by workspace order by workspace`,
    [Math.floor(withinSeconds)],
  );
}

/** Takes out {@link expiredEndpoints} of a workspace; returns the ids by cluster. */
export async function expireEndpoints(tx: WorkspaceTransaction, withinSeconds: number): Promise<Map<string, string[]>> {
  const gone = await inTransaction<{ cluster: string; id: string }>(
    tx.manager,
    {
      name: 'expire-endpoints',
      text: `delete from registered_endpoint where workspace = $1 and expires_at < now() and ttl_seconds < $2
        returning cluster, id`,
    },
    [tx.workspace.name, Math.floor(withinSeconds)],
  );
  const byCluster = new Map<string, string[]>();
  for (const { cluster, id } of gone) byCluster.set(cluster, [...(byCluster.get(cluster) ?? []), id]);
  if (byCluster.size > 0) await touch(tx, [...byCluster.keys()]);
  return byCluster;
}

/** The full lists of every cluster whose list changed after `since`. Cost: those clusters' endpoints. */
export async function endpointsSince(
  manager: EntityManager,
  workspace: string,
  since: number,
): Promise<EndpointList[]> {
  const rows: (NewEndpoint & { cluster: string; revision: number; id: string | null })[] = await manager.query(
    `select w.cluster, w.revision, e.id, e.host, e.port, e.weight, e.region, e.zone, e.room, e.ttl_seconds as "ttlSeconds"
     from endpoint_owner w left join registered_endpoint e using (workspace, cluster)
     where workspace = $1 and w.revision > $2 order by w.cluster, e.id`,
    [workspace, since],
  );
  const lists = new Map<string, EndpointList & { readonly endpoints: NewEndpoint[] }>();
  for (const { cluster, revision, ...endpoint } of rows) {
    const list = lists.get(cluster) ?? { cluster, revision, endpoints: [] };
    lists.set(cluster, list);
    if (endpoint.id !== null) list.endpoints.push(endpoint);
  }
  return [...lists.values()];
}

const PUT = {
  name: 'put-endpoints',
  text: `
insert into registered_endpoint (workspace, cluster, id, host, port, weight, region, zone, room, ttl_seconds, expires_at, registered_at, registered_by)
select $1, $2, id, host, port, weight, region, zone, room, "ttlSeconds", now() + make_interval(secs => "ttlSeconds"), now(), $4
from jsonb_to_recordset($3::jsonb) as w(id text, host text, port integer, weight integer, region text, zone text, room text, "ttlSeconds" integer)
on conflict (workspace, cluster, id) do update set expires_at = excluded.expires_at
returning ${COLUMNS}`,
};

function take(tx: WorkspaceTransaction, cluster: string, ids: readonly string[]): Promise<unknown> {
  if (ids.length === 0) return Promise.resolve();
  const text = 'delete from registered_endpoint where workspace = $1 and cluster = $2 and id = any ($3::text[])';
  return inTransaction(tx.manager, { name: 'take-endpoints', text }, [tx.workspace.name, cluster, ids]);
}

/** Counts the change, with those of credentials, and tells the replicas at commit. */
async function touch(tx: WorkspaceTransaction, clusters: readonly string[]): Promise<void> {
  await inTransaction(
    tx.manager,
    {
      name: 'touch-endpoints',
      text: `
with counted as (
  update workspace set credentials_revision = credentials_revision + 1 where name = $1 returning credentials_revision as revision),
noted as (
  insert into endpoint_owner (workspace, cluster, revision) select $1, w.cluster, c.revision from unnest($2::text[]) as w(cluster), counted c
  on conflict (workspace, cluster) do update set revision = excluded.revision)
select pg_notify('paifang_credential', json_build_object('workspace', $1::text, 'revision', revision)::text) from counted`,
    },
    [tx.workspace.name, clusters],
  );
}

function addressOf({ host, port }: { readonly host: string; readonly port: number }): string {
  return `${host}\n${port}`;
}

function same(a: NewEndpoint, b: NewEndpoint): boolean {
  return (
    addressOf(a) === addressOf(b) &&
    a.weight === b.weight &&
    a.region === b.region &&
    a.zone === b.zone &&
    a.room === b.room &&
    a.ttlSeconds === b.ttlSeconds
  );
}
