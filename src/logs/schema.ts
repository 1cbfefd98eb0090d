import type { AccessLine } from '../core/accesslog/record.js';

const NAME = 'LowCardinality(String)';
const TEXT = 'String';
const COUNT = 'Nullable(Int64)';

/**
 * Type of each field of a line in the store. Texts are not nullable (it costs a column each): the empty text stands for
 * null. Names that come back again and again are kept as numbers into a dictionary.
 */
export const LINE_COLUMNS: { readonly [K in keyof AccessLine]-?: typeof NAME | typeof TEXT | typeof COUNT } = {
  __time__: TEXT,
  cluster_id: NAME,
  ai_log: TEXT,
  authority: NAME,
  bytes_received: COUNT,
  bytes_sent: COUNT,
  downstream_local_address: NAME,
  downstream_remote_address: TEXT,
  duration: COUNT,
  method: NAME,
  path: TEXT,
  protocol: NAME,
  request_duration: COUNT,
  request_id: TEXT,
  requested_server_name: NAME,
  response_code: COUNT,
  response_code_details: NAME,
  response_flags: NAME,
  response_tx_duration: COUNT,
  route_name: NAME,
  start_time: TEXT,
  trace_id: TEXT,
  upstream_cluster: NAME,
  upstream_host: NAME,
  upstream_local_address: TEXT,
  upstream_service_time: TEXT,
  upstream_transport_failure_reason: NAME,
  user_agent: NAME,
  x_forwarded_for: TEXT,
  workspace: NAME,
  group_id: NAME,
  api_id: NAME,
  api_name: NAME,
  release: NAME,
  policy: NAME,
  app_id: NAME,
  app_name: NAME,
  edge_code: NAME,
  edge_detail: TEXT,
  result_code: NAME,
  backend_protocol: NAME,
  target_path: TEXT,
  gateway_host: NAME,
  client_trace_id: TEXT,
  attempts: COUNT,
  gateway_us: COUNT,
  backend_us: COUNT,
  node: NAME,
};

/** What the store knows about a line beside its own fields. */
export const RECORD_COLUMNS = {
  /** When the collector got it. Partitions are cut by it, so that one batch is one partition and is stored whole or not. */
  received: "DateTime64(3, 'UTC')",
  time: "DateTime64(3, 'UTC')",
  /** Workspace whose users may see it. */
  owner: NAME,
  /** Where it came from: node.id of the Envoy, its file, and the bytes of the line in that file. */
  origin_node: NAME,
  origin_cluster: NAME,
  origin_file: NAME,
  origin_offset: 'UInt64',
  origin_end: 'UInt64',
  parsed: 'Bool',
  code: NAME,
  memo: NAME,
  success: 'Bool',
  /** The line itself and why it could not be read; both empty for lines that were parsed. */
  raw: TEXT,
  reason: TEXT,
  /** Fields of a foreign log as a JSON object, or empty. */
  extra: TEXT,
} as const;

/** A number of a line; larger ones (a foreign log may hold any) would be refused with their whole batch. */
export const LARGEST_COUNT = Number.MAX_SAFE_INTEGER;

export const DATABASE = 'paifang';
export const TABLE = `${DATABASE}.requests`;

/** Columns in the order in which rows are sent. */
export const COLUMNS: readonly string[] = [...Object.keys(RECORD_COLUMNS), ...Object.keys(LINE_COLUMNS)];

/**
 * Statements that make the store, in order; each may be run again; an existing table stays as it is.
 *
 * Sorted so that the newest requests of a workspace are read from the end. A request id, API or App is found by a bloom
 * filter over granules, a time by the smallest and largest of each part. Every insert is synced before it is answered,
 * because the edge forgets a line once it is.
 */
export function statements(retentionDays: number): readonly string[] {
  const columns = Object.entries({ ...RECORD_COLUMNS, ...LINE_COLUMNS }).map(([name, type]) => `${name} ${type}`);
  return [
    `CREATE DATABASE IF NOT EXISTS ${DATABASE}`,
    `CREATE TABLE IF NOT EXISTS ${TABLE} (
      ${columns.join(',\n      ')},
      INDEX by_request request_id TYPE bloom_filter(0.01) GRANULARITY 4,
      INDEX by_trace trace_id TYPE bloom_filter(0.01) GRANULARITY 4,
      INDEX by_api api_id TYPE bloom_filter(0.01) GRANULARITY 4,
      INDEX by_app app_id TYPE bloom_filter(0.01) GRANULARITY 4,
      INDEX by_file origin_file TYPE bloom_filter(0.01) GRANULARITY 4,
      INDEX by_time time TYPE minmax GRANULARITY 1
    ) ENGINE = MergeTree
    PARTITION BY toYYYYMMDD(received)
    ORDER BY (owner, time, origin_node, origin_file, origin_offset)
    TTL ${expiry(retentionDays)}
    SETTINGS ttl_only_drop_parts = 1, fsync_after_insert = 1, fsync_part_directory = 1`,
  ];
}

/** The statement that changes how long lines are kept. Only when that has changed: it touches every part on disk. */
export function changeRetention(retentionDays: number): string {
  return `ALTER TABLE ${TABLE} MODIFY TTL ${expiry(retentionDays)}`;
}

/** Whether the engine of the table, as the store describes it, keeps lines that long. */
export function keepsFor(engine: string, retentionDays: number): boolean {
  return engine.includes(`toIntervalDay(${retentionDays})`);
}

function expiry(retentionDays: number): string {
  if (!Number.isSafeInteger(retentionDays) || retentionDays < 1) throw new Error('retention must be at least one day');
  return `toDateTime(received) + INTERVAL ${retentionDays} DAY`;
}
