import { LINE_COLUMNS, TABLE } from './schema.js';

/** What can be asked for. All that is given must hold. */
export interface RequestQuery {
  readonly workspace: string;
  readonly requestId?: string;
  /** Id or name of the API. */
  readonly api?: string;
  /** Id of the App. */
  readonly app?: string;
  /** Id of the group. */
  readonly group?: string;
  /** Result code. */
  readonly code?: string;
  /** HTTP status. */
  readonly status?: number;
  /** Unix milliseconds: at or after. */
  readonly from?: number;
  /** Unix milliseconds: before. */
  readonly to?: number;
  /** true: only lines that could not be parsed; false: only those that could. */
  readonly unparsed?: boolean;
  /** 1 to {@link MAX_LIMIT}. */
  readonly limit: number;
  /** `nextCursor` of the page before; everything else unchanged. */
  readonly cursor?: string;
}

export const MAX_LIMIT = 1000;

/** A statement and the values bound to its `{name:Type}` places. Values never stand in the text. */
export interface Statement {
  readonly query: string;
  readonly query_params: Readonly<Record<string, string | number>>;
}

/** Where a page ended: the place of its last row in the order of the answer. */
export interface Position {
  readonly time: number;
  readonly node: string;
  readonly file: string;
  readonly offset: number;
}

/** How far lines of a file are stored: its `stored` is 0 when none are. A node is one of its fleet: other fleets may have the same names. */
export function storedTo(cluster: string, node: string, file: string): Statement {
  return {
    query: `SELECT toString(max(origin_end)) AS stored FROM ${TABLE} WHERE origin_cluster = {cluster:String} AND origin_node = {node:String} AND origin_file = {file:String}`,
    query_params: { cluster, node, file },
  };
}

const CONDITIONS = {
  requestId: ['request_id = {requestId:String}'],
  api: ['(api_id = {api:String} OR api_name = {api:String})'],
  app: ['app_id = {app:String}'],
  group: ['group_id = {group:String}'],
  code: ['code = {code:String}'],
  status: ['response_code = {status:Int64}'],
  from: ['time >= fromUnixTimestamp64Milli({from:Int64})'],
  to: ['time < fromUnixTimestamp64Milli({to:Int64})'],
} as const;

const SELECTED = [
  'toUnixTimestamp64Milli(time) AS time_ms',
  'toUnixTimestamp64Milli(received) AS received_ms',
  'toString(origin_offset) AS offset_text',
  ...[
    'owner',
    'origin_node',
    'origin_cluster',
    'origin_file',
    'parsed',
    'code',
    'memo',
    'success',
    'raw',
    'reason',
    'extra',
  ],
  ...Object.keys(LINE_COLUMNS),
];

/** One page of requests, newest first, one row more than `limit` to tell whether another page follows. */
export function requests(query: RequestQuery, after: Position | undefined): Statement {
  const where = ['owner = {workspace:String}'];
  const parameters: Record<string, string | number> = { workspace: query.workspace, limit: query.limit + 1 };
  for (const [name, conditions] of Object.entries(CONDITIONS)) {
    const value = query[name as keyof typeof CONDITIONS];
    if (value === undefined) continue;
    where.push(...conditions);
    parameters[name] = value;
  }
  if (query.unparsed !== undefined) where.push(query.unparsed ? 'NOT parsed' : 'parsed');
  if (after) {
    where.push('time <= fromUnixTimestamp64Milli({afterTime:Int64})');
    where.push(
      '(time, origin_node, origin_file, origin_offset) < (fromUnixTimestamp64Milli({afterTime:Int64}), {afterNode:String}, {afterFile:String}, {afterOffset:UInt64})',
    );
    parameters.afterTime = after.time;
    parameters.afterNode = after.node;
    parameters.afterFile = after.file;
    parameters.afterOffset = after.offset;
  }
  return {
    query: `SELECT ${SELECTED.join(', ')} FROM ${TABLE} WHERE ${where.join(' AND ')}
      ORDER BY time DESC, origin_node DESC, origin_file DESC, origin_offset DESC LIMIT {limit:UInt32}`,
    query_params: parameters,
  };
}

/** Engine of the table with its settings, as the store describes it. */
export function engine(): Statement {
  const [database, name] = TABLE.split('.') as [string, string];
  return {
    query:
      'SELECT engine_full AS engine FROM system.tables WHERE database = {database:String} AND name = {name:String}',
    query_params: { database, name },
  };
}

/** Stored lines of a workspace, and how many of them could not be parsed. */
export function counts(workspace: string): Statement {
  return {
    query: `SELECT toString(count()) AS lines, toString(countIf(NOT parsed)) AS unparsed FROM ${TABLE} WHERE owner = {workspace:String}`,
    query_params: { workspace },
  };
}
