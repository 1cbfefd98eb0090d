import { createHash, timingSafeEqual } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { RawInsertFormat, Session } from 'chdb';

export interface ChdbServerOptions {
  /** Data directory; made when missing. One server per directory. */
  readonly dir: string;
  /** A loopback address; any other is refused. */
  readonly host: string;
  /** 0: the kernel chooses. */
  readonly port: number;
  /** What clients present as the password of any user (`Authorization: Basic` or `X-ClickHouse-Key`). */
  readonly password: string;
}

export interface ChdbServer {
  readonly port: number;
  /** Answers what is under way, then closes the database. */
  close(): Promise<void>;
}

/** A request body beyond this is refused: batches are far smaller. */
const MAX_BODY_BYTES = 64 << 20;

/**
 * Serves an embedded chDB over the part of the ClickHouse HTTP protocol that its official client uses: ping, statements with
 * bound parameters, inserts in row formats, typed errors. A ClickHouse server takes its place by a change of URL.
 *
 * It belongs in a process of its own: chDB locks its directory per process, and an abort of the engine ends the process.
 * Rejects when the address is not loopback, the port is taken, or another process holds the directory.
 */
export async function runChdbServer(options: ChdbServerOptions): Promise<ChdbServer> {
  const { dir, host, port, password } = options;
  if (!/^(?:127\.\d+\.\d+\.\d+|::1|localhost)$/.test(host)) {
    throw new Error(`the embedded log store listens on loopback only, not on ${host}`);
  }
  if (password === '') throw new Error('the embedded log store needs a password');
  await mkdir(dir, { recursive: true, mode: 0o700 });
  // Loaded only here: the engine takes 100 MB of memory, and only this process is to pay for it.
  const { Session } = await import('chdb');
  const session = new Session(join(dir, 'data'), { connectionArgs: ['--async_load_databases=0'] });
  // Names who holds the directory and for whom, so that an orphan can be told from a store in use.
  await writeFile(join(dir, 'server.pid'), JSON.stringify({ pid: process.pid, parent: process.ppid }));
  const server = createServer((request, response) => {
    answer(session, password, request, response).catch((error: unknown) => fail(response, error));
  });
  try {
    await listen(server, host, port);
  } catch (error) {
    session.close();
    throw error;
  }
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      await new Promise((resolve) => {
        server.close(resolve);
        server.closeIdleConnections();
      });
      session.close();
    },
  };
}

async function answer(
  session: Session,
  password: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const url = new URL(request.url ?? '/', 'http://localhost');
  if (url.pathname === '/ping') return void response.end('Ok.\n');
  if (url.pathname !== '/') return refuse(response, 404, 'there is nothing here but / and /ping');
  if (!isAuthorized(request, password)) return refuse(response, 401, 'Code: 516. DB::Exception: Authentication failed');
  const body = await read(request);
  if (!body) return refuse(response, 413, `the body is larger than ${MAX_BODY_BYTES} bytes`);
  const inUrl = url.searchParams.get('query');
  const insert = inUrl === null ? undefined : parseInsert(inUrl);
  if (insert) {
    const summary = await session.insert({ ...insert, values: body, format: insert.format as RawInsertFormat });
    response.setHeader('x-clickhouse-summary', JSON.stringify({ written_rows: String(summary.rowsWritten) }));
    return void response.end();
  }
  const { query, format } = splitFormat(inUrl === null ? body.toString('utf8') : `${inUrl} ${body.toString('utf8')}`);
  const result = await session.queryBindAsync(query, parametersOf(url), { format });
  response.setHeader('x-clickhouse-format', format);
  response.end(result.bytes());
}

function isAuthorized(request: IncomingMessage, password: string): boolean {
  const basic = /^Basic (.+)$/i.exec(request.headers.authorization ?? '')?.[1];
  const decoded = basic === undefined ? '' : Buffer.from(basic, 'base64').toString('utf8');
  const given = request.headers['x-clickhouse-key'] ?? decoded.slice(decoded.indexOf(':') + 1);
  const hash = (text: string) => createHash('sha256').update(text).digest();
  return typeof given === 'string' && timingSafeEqual(hash(given), hash(password));
}

/** `INSERT INTO table [(columns)] FORMAT format` with the rows in the body. */
function parseInsert(query: string): { table: string; columns?: string[]; format: string } | undefined {
  const match = /^\s*INSERT\s+INTO\s+([\w.]+)\s*(?:\(([\w\s,`"]+)\))?\s*FORMAT\s+(\w+)\s*$/i.exec(query);
  if (!match?.[1] || !match[3]) return undefined;
  const columns = match[2]?.split(',').map((name) => name.replace(/[\s`"]/g, ''));
  return { table: match[1], format: match[3], ...(columns && { columns }) };
}

/** The client appends the format to the statement, the engine takes it apart from it. */
function splitFormat(text: string): { query: string; format: string } {
  const match = /\s+FORMAT\s+(\w+)\s*;?\s*$/i.exec(text);
  return match?.[1] ? { query: text.slice(0, match.index), format: match[1] } : { query: text, format: 'TabSeparated' };
}

/**
 * Bound scalar parameters (`param_<name>`). The protocol carries them with the escapes of tab-separated text; the engine's
 * binding escapes by itself, so the protocol's are undone here. Arrays are not supported: the binding escapes them twice.
 */
function parametersOf(url: URL): Record<string, string | null> {
  const parameters: Record<string, string | null> = {};
  for (const [name, value] of url.searchParams) {
    if (name.startsWith('param_')) parameters[name.slice('param_'.length)] = value === '\\N' ? null : unescaped(value);
  }
  return parameters;
}

const ESCAPES: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', '0': '\0' };

function unescaped(text: string): string {
  return text.replace(/\\([\s\S])/g, (_, character: string) => ESCAPES[character] ?? character);
}

async function read(request: IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_BODY_BYTES) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, size);
}

function fail(response: ServerResponse, error: unknown): void {
  const { clickhouseCode, message } = error as { clickhouseCode?: number; message: string };
  if (response.headersSent) return void response.destroy();
  response.statusCode = 500;
  if (clickhouseCode !== undefined) response.setHeader('x-clickhouse-exception-code', String(clickhouseCode));
  response.end(message);
}

function refuse(response: ServerResponse, status: number, message: string): void {
  response.statusCode = status;
  // A body that is not read would be taken for the next request.
  response.setHeader('connection', 'close');
  response.end(message);
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port }, () => {
      server.off('error', reject);
      resolve();
    });
  });
}
