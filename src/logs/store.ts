import { setImmediate as yieldToOthers } from 'node:timers/promises';
import { type ClickHouseClient, ClickHouseLogLevel, createClient } from '@clickhouse/client';
import type { AccessLine, AccessRecord, UnparsedLine } from '../core/accesslog/record.js';
import * as queries from './queries.js';
import { type Cell, fromRow, type Row, type StoredRequest, toCells } from './rows.js';
import { COLUMNS, changeRetention, keepsFor, statements, TABLE } from './schema.js';

/** How lines are understood; the doors of core (`readLine`, `toRecord`), handed in because this room knows only types of core. */
export interface LineMeaning {
  readonly readLine: (bytes: Uint8Array, receivedAt: number) => AccessRecord | UnparsedLine;
  readonly toRecord: (line: AccessLine, receivedAt: number) => AccessRecord;
}

export interface LogStoreOptions {
  readonly url: string;
  readonly user?: string;
  readonly password?: string;
  readonly meaning: LineMeaning;
  /** Lines are removed this many days after they came in. Default 30. */
  readonly retentionDays?: number;
  /**
   * true: no other process writes to this store (the embedded one), so what is stored is remembered here. false (default):
   * it is asked before each batch, because another replica may have stored a batch whose answer was lost.
   */
  readonly exclusive?: boolean;
  /** Unix milliseconds; the clock of the machine by default. */
  readonly now?: () => number;
}

/** Lines of one file as an edge ships them. */
export interface LogBatch {
  readonly node: string;
  readonly cluster: string;
  readonly file: string;
  readonly offset: number;
  /** Whole lines with their line feeds; a last one without is stored as it is. */
  readonly lines: Uint8Array;
}

export interface Appended {
  /** Offset up to which the file's lines are stored. */
  readonly storedTo: number;
  /** Lines stored now, and those among them that could not be parsed. */
  readonly lines: number;
  readonly unparsed: number;
}

export interface RequestPage {
  readonly records: readonly StoredRequest[];
  /** Present when there are older ones. */
  readonly nextCursor?: string;
}

/** A cursor that no page of this store has given out. A mistake of the caller. */
export class InvalidCursor extends Error {}

/** Makes database and table where they are missing. Rejects when the store cannot be reached. */
export async function openLogStore(options: LogStoreOptions): Promise<LogStore> {
  const client = createClient({
    url: options.url,
    ...(options.user !== undefined && { username: options.user }),
    ...(options.password !== undefined && { password: options.password }),
    application: 'paifang',
    request_timeout: 30_000,
    // Failures are thrown and told once, by whoever asked; the client's own log would print bound values.
    log: { level: ClickHouseLogLevel.OFF },
  });
  try {
    const days = options.retentionDays ?? 30;
    for (const query of statements(days)) await client.command({ query });
    const { query, query_params } = queries.engine();
    const [table] = await (await client.query({ query, query_params, format: 'JSONEachRow' })).json<{
      engine: string;
    }>();
    if (table && !keepsFor(table.engine, days)) await client.command({ query: changeRetention(days) });
  } catch (error) {
    await client.close();
    throw error;
  }
  return new LogStore(client, options);
}

/** Access-log lines with their meaning, in ClickHouse or the embedded engine behind the same protocol. */
export class LogStore {
  readonly #client: ClickHouseClient;
  readonly #meaning: LineMeaning;
  readonly #exclusive: boolean;
  readonly #now: () => number;
  /** What is known to be stored, by fleet, node and file; only for an exclusive store. Bounded: the oldest is asked for again. */
  readonly #stored = new Map<string, number>();
  /** Batches of one file are stored one after the other, also when an edge sends one again before the first is done. */
  readonly #queues = new Map<string, Promise<unknown>>();

  constructor(client: ClickHouseClient, options: LogStoreOptions) {
    this.#client = client;
    this.#meaning = options.meaning;
    this.#exclusive = options.exclusive ?? false;
    this.#now = options.now ?? Date.now;
  }

  /**
   * Stores the lines of the batch that are not stored yet, all or none. Resolves only after they are on disk; rejects when the
   * store is away, and then the batch may be sent again: a line is stored once, told apart by (fleet, node, file, offset).
   */
  async append(batch: LogBatch): Promise<Appended> {
    const key = JSON.stringify([batch.cluster, batch.node, batch.file]);
    const previous = this.#queues.get(key) ?? Promise.resolve();
    const mine = previous.catch(() => {}).then(() => this.#append(batch, key));
    this.#queues.set(key, mine);
    try {
      return await mine;
    } finally {
      if (this.#queues.get(key) === mine) this.#queues.delete(key);
    }
  }

  /** Offset up to which lines of that file are stored; 0 when none are. */
  async storedTo(cluster: string, node: string, file: string): Promise<number> {
    const [row] = await this.#rows(queries.storedTo(cluster, node, file));
    return Number(row?.stored ?? 0);
  }

  /** Newest first. Rejects with {@link InvalidCursor} for a cursor that is none, and RangeError for a limit out of range. */
  async query(query: queries.RequestQuery): Promise<RequestPage> {
    const { limit } = query;
    if (!Number.isSafeInteger(limit) || limit < 1 || limit > queries.MAX_LIMIT) {
      throw new RangeError(`limit must be 1 to ${queries.MAX_LIMIT}`);
    }
    const after = query.cursor === undefined ? undefined : readCursor(query.cursor);
    const rows = await this.#rows(queries.requests(query, after));
    const page = rows.slice(0, limit);
    const records = page.map((row) => fromRow(row, this.#meaning.toRecord));
    const last = page.at(-1);
    return rows.length > limit && last ? { records, nextCursor: writeCursor(last) } : { records };
  }

  /** Lines of a workspace, and how many of them could not be parsed. */
  async counts(workspace: string): Promise<{ lines: number; unparsed: number }> {
    const [row] = await this.#rows(queries.counts(workspace));
    return { lines: Number(row?.lines ?? 0), unparsed: Number(row?.unparsed ?? 0) };
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#queues.values());
    await this.#client.close();
  }

  async #append(batch: LogBatch, key: string): Promise<Appended> {
    const { node, cluster, file, offset, lines } = batch;
    let stored = (this.#exclusive ? this.#stored.get(key) : undefined) ?? (await this.storedTo(cluster, node, file));
    const receivedAt = this.#now();
    const values: Cell[][] = [];
    let unparsed = 0;
    for (const { start, end, bytes } of splitLines(lines)) {
      if (offset + start < stored) continue;
      const line = this.#meaning.readLine(bytes, receivedAt);
      if ('raw' in line) unparsed++;
      // A full batch is a thousand lines: others of this process get their turn in between.
      if (values.length % 128 === 127) await yieldToOthers();
      values.push(toCells(line, { node, cluster, file, offset: offset + start, end: offset + end }, receivedAt));
    }
    if (values.length > 0) {
      // One insert of one partition is one part on disk, which is there whole or not at all.
      await this.#client.insert({
        table: TABLE,
        values,
        columns: COLUMNS as [string, ...string[]],
        format: 'JSONCompactEachRow',
      });
    }
    stored = Math.max(stored, offset + lines.length);
    this.#remember(key, stored);
    return { storedTo: stored, lines: values.length, unparsed };
  }

  #remember(key: string, stored: number): void {
    if (!this.#exclusive) return;
    this.#stored.delete(key);
    this.#stored.set(key, stored);
    const oldest = this.#stored.keys().next().value;
    if (this.#stored.size > 10_000 && oldest !== undefined) this.#stored.delete(oldest);
  }

  async #rows(statement: queries.Statement): Promise<Row[]> {
    const { query, query_params } = statement;
    const result = await this.#client.query({ query, query_params: { ...query_params }, format: 'JSONEachRow' });
    return result.json<Row>();
  }
}

/** Lines with their place in `bytes`; `bytes` of each without line feed. */
function* splitLines(bytes: Uint8Array): Generator<{ start: number; end: number; bytes: Uint8Array }> {
  for (let start = 0; start < bytes.length; ) {
    const feed = bytes.indexOf(0x0a, start);
    const end = feed < 0 ? bytes.length : feed + 1;
    yield { start, end, bytes: bytes.subarray(start, feed < 0 ? end : feed) };
    start = end;
  }
}

function writeCursor(row: Row): string {
  const position = [row.time_ms, row.origin_node, row.origin_file, row.offset_text];
  return Buffer.from(JSON.stringify(position)).toString('base64url');
}

function readCursor(cursor: string): queries.Position {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
  } catch {
    throw new InvalidCursor('the cursor is not one that an answer has given');
  }
  const [time, node, file, offset] = Array.isArray(value) ? value : [];
  const ok = isCount(time) && typeof node === 'string' && typeof file === 'string' && isCount(offset);
  if (!ok) throw new InvalidCursor('the cursor is not one that an answer has given');
  return { time: Number(time), node, file, offset: Number(offset) };
}

function isCount(value: unknown): boolean {
  return (typeof value === 'string' || typeof value === 'number') && /^\d{1,16}$/.test(String(value));
}
