import type { AccessLine, AccessRecord, UnparsedLine } from '../core/accesslog/record.js';
import { COLUMNS, LARGEST_COUNT, LINE_COLUMNS } from './schema.js';

/** Where a line came from. */
export interface Origin {
  readonly node: string;
  readonly cluster: string;
  readonly file: string;
  /** Byte of its beginning, and of the line after it. */
  readonly offset: number;
  readonly end: number;
}

export type Cell = string | number | boolean | null;
export type Row = Record<string, Cell>;

/** A stored line as a query answers it. */
export type StoredRequest =
  | { readonly kind: 'request'; readonly record: AccessRecord; readonly origin: Omit<Origin, 'end'> }
  | {
      readonly kind: 'unparsed';
      readonly line: UnparsedLine;
      readonly receivedAt: number;
      readonly origin: Omit<Origin, 'end'>;
    };

/**
 * The cells of a line in the order of {@link COLUMNS}. A line belongs to the workspace of the fleet that its sender has proved to be of,
 * whatever workspace it names: its content is the sender's.
 */
export function toCells(line: AccessRecord | UnparsedLine, origin: Origin, receivedAt: number): Cell[] {
  const row: Row = {
    received: receivedAt,
    time: receivedAt,
    owner: workspaceOf(origin.cluster),
    origin_node: origin.node,
    origin_cluster: origin.cluster,
    origin_file: origin.file,
    origin_offset: origin.offset,
    origin_end: origin.end,
    parsed: !('raw' in line),
    code: '',
    memo: '',
    success: false,
    raw: '',
    reason: '',
    extra: '',
  };
  if ('raw' in line) {
    row.raw = wellFormed(line.raw);
    row.reason = wellFormed(line.reason);
  } else {
    row.time = line.time;
    row.code = line.code;
    row.memo = line.memo;
    row.success = line.success;
    row.extra = line.extra ? JSON.stringify(line.extra) : '';
    for (const name of LINE_FIELDS) row[name] = cell(name, line.line[name]);
  }
  return COLUMNS.map((name) => row[name] ?? (isCount(name) ? null : ''));
}

/** A row of {@link requests} read back; `toRecord` gives flags their meaning. */
export function fromRow(row: Row, toRecord: (line: AccessLine, time: number) => AccessRecord): StoredRequest {
  const origin = {
    node: text(row.origin_node),
    cluster: text(row.origin_cluster),
    file: text(row.origin_file),
    offset: Number(row.offset_text),
  };
  if (row.parsed !== true) {
    const line = { raw: text(row.raw), reason: text(row.reason) };
    return { kind: 'unparsed', line, receivedAt: Number(row.received_ms), origin };
  }
  const line = Object.fromEntries(
    LINE_FIELDS.map((name) => [name, field(name, row[name] ?? null)]),
  ) as unknown as AccessLine;
  const time = Number(row.time_ms);
  const stored = {
    time,
    code: text(row.code),
    memo: text(row.memo),
    success: row.success === true,
    extra: row.extra ? (JSON.parse(text(row.extra)) as Record<string, unknown>) : null,
  };
  // What was stored counts: a newer table of causes must not give an old request another code than the one it was found by.
  return { kind: 'request', record: { ...toRecord(line, time), ...stored }, origin };
}

const LINE_FIELDS = Object.keys(LINE_COLUMNS) as (keyof AccessLine)[];

function cell(name: keyof AccessLine, value: string | number | null): Cell {
  if (isCount(name)) {
    if (typeof value !== 'number') return null;
    return Math.max(-LARGEST_COUNT, Math.min(LARGEST_COUNT, Math.trunc(value)));
  }
  return value === null ? '' : wellFormed(String(value));
}

function field(name: keyof AccessLine, value: Cell): string | number | null {
  if (value === null || value === '') return null;
  if (isCount(name)) return Number(value);
  // Envoy may log the release as a number or a text; it is one here.
  if (name === 'release' && /^\d{1,15}$/.test(String(value))) return Number(value);
  return String(value);
}

function isCount(name: string): boolean {
  return LINE_COLUMNS[name as keyof AccessLine] === 'Nullable(Int64)';
}

/** `<workspace>/<fleet>`; empty when it is not of this form. */
function workspaceOf(cluster: string): string {
  const slash = cluster.indexOf('/');
  return slash > 0 ? cluster.slice(0, slash) : '';
}

/** JSON can carry half a surrogate pair, the store cannot: one would refuse the whole batch. */
function wellFormed(value: string): string {
  return value.replace(/\p{Surrogate}/gu, '\ufffd');
}

function text(value: Cell | undefined): string {
  return value === null || value === undefined ? '' : String(value);
}
