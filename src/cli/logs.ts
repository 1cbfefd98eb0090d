import type { Command } from 'commander';
import type { AccessRecord } from '../core/accesslog/record.js';
import { AdminClient, countOf, type ServerOptions, withServer, workspaceOf } from './admin.js';
import { CliError, EXIT, usage } from './exit.js';
import { explainRequest, requestTable } from './requests.js';
import { workspacePath } from './resources.js';
import { action, line } from './terminal.js';

interface LogsOptions extends ServerOptions {
  readonly requestId?: string;
  readonly api?: string;
  readonly app?: string;
  readonly code?: string;
  readonly since: string;
  readonly from?: string;
  readonly to?: string;
  readonly limit: string;
  readonly follow?: boolean;
}

/** `paifang logs`: requests the gateway served, and why each came out as it did. */
export function addLogs(program: Command): void {
  withServer(program.command('logs'))
    .option('--request-id <id>', 'the request with this id (response header x-gateway-request-id), explained')
    .option('--api <name>', 'only this API, by name or id')
    .option('--app <id>', 'only this App, by name or id')
    .option('--code <code>', 'only this result code')
    .option('--since <duration>', 'how far back: 90s, 15m, 2h, 7d', '15m')
    .option('--from <time>', 'from this time on (ISO 8601), instead of --since')
    .option('--to <time>', 'up to this time (ISO 8601)')
    .option('--limit <count>', 'how many at most, the latest', '50')
    .option('--follow', 'go on printing new ones until Ctrl-C')
    .summary('ask for requests and why they failed')
    .description(
      'Lists requests the gateway served, the latest last, with result code and response flags. A single one is explained in full.',
    )
    .addHelpText(
      'after',
      `
Examples:
  paifang logs                                    the last 15 minutes
  paifang logs --code 6305 --since 2h             time-outs of the last 2 hours
  paifang logs --request-id 5a0c…                 why did I get this?
  paifang logs --api list-orders --follow
  paifang logs --json --since 1d | jq -r '.line.path' | sort | uniq -c

With --json each line of output is one request.
Exit status: 0, 1 with --request-id when there is no such request.`,
    )
    .action(action(logs));
}

async function logs(options: LogsOptions) {
  const admin = new AdminClient(options);
  const path = `${workspacePath(workspaceOf(options))}/requests`;
  const filter = filterOf(options);
  if (options.follow) return follow(admin, path, filter, options);
  const records = (await latest(admin, path, filter, countOf(options.limit))).map(({ record }) => record);
  const [only] = records;
  if (options.requestId !== undefined && only === undefined) {
    throw new CliError(
      EXIT.finding,
      `no request ${options.requestId} is stored.`,
      'Envoy writes its log every few seconds: try again in a moment. The id is in the response header x-gateway-request-id.',
    );
  }
  if (options.json) for (const record of records) process.stdout.write(`${JSON.stringify(record)}\n`);
  else if (only !== undefined && records.length === 1) line(explainRequest(only));
  else if (records.length > 0) line(requestTable(records));
  else if (!options.quiet) line('No request fits. Widen the time with --since, or leave a filter out.');
  return EXIT.ok;
}

function filterOf(options: LogsOptions): URLSearchParams {
  const filter = new URLSearchParams({ unparsed: 'false' });
  const { requestId, api, app, code, since, from, to } = options;
  for (const [name, value] of Object.entries({ requestId, api, app, code }))
    if (value !== undefined) filter.set(name, value);
  // A request id is asked for by itself, however long ago it was, unless a time is given too.
  const start = from === undefined ? Date.now() - durationMs(since) : timeOf(from, '--from');
  if (requestId === undefined || from !== undefined) filter.set('from', new Date(start).toISOString());
  if (to !== undefined) filter.set('to', new Date(timeOf(to, '--to')).toISOString());
  return filter;
}

const UNIT_MS: Record<string, number> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

function durationMs(text: string): number {
  const match = /^(\d{1,6})([smhd])$/.exec(text);
  if (match === null) throw usage(`--since takes a duration such as 90s, 15m, 2h or 7d, not "${text}".`);
  return Number(match[1]) * (UNIT_MS[match[2] as string] as number);
}

function timeOf(text: string, option: string): number {
  const ms = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(ms)) throw usage(`${option} takes a time such as 2026-11-22T10:00:00Z, not "${text}".`);
  return ms;
}

/** A stored request and the place in the log it was read from, or a line that could not be read. */
type Item = Stored | { readonly kind: 'unparsed' };
interface Stored {
  readonly kind: 'request';
  readonly record: AccessRecord;
  readonly origin: { readonly node: string; readonly file: string; readonly offset: number };
}

/** The latest `limit` requests that fit, oldest first. */
async function latest(admin: AdminClient, path: string, filter: URLSearchParams, limit: number): Promise<Stored[]> {
  const items = await admin.list<Item>(path, limit, filter);
  return items.filter((item) => item.kind === 'request').reverse();
}

const POLL_MS = 1000;
const FOLLOW_LIMIT = 1000;
/** A line arrives some time after its request began; looking back this far misses none that is not slower than that. */
const LATE_MS = 60_000;

async function follow(admin: AdminClient, path: string, filter: URLSearchParams, options: LogsOptions): Promise<never> {
  const seen = new Map<string, number>();
  let headed = false;
  for (;;) {
    const stored = await latest(admin, path, filter, FOLLOW_LIMIT);
    const unseen = stored.filter((each) => !seen.has(keyOf(each)));
    for (const each of unseen) seen.set(keyOf(each), each.record.time);
    const fresh = unseen.map(({ record }) => record);
    if (options.json) for (const record of fresh) process.stdout.write(`${JSON.stringify(record)}\n`);
    else if (fresh.length > 0) {
      const text = requestTable(fresh);
      line(headed ? text.slice(text.indexOf('\n') + 1) : text);
      headed = true;
    }
    const start = Date.now() - LATE_MS;
    if (start > Date.parse(filter.get('from') ?? '')) filter.set('from', new Date(start).toISOString());
    for (const [key, time] of seen) if (time < start) seen.delete(key);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

function keyOf({ origin: { node, file, offset } }: Stored): string {
  return `${node} ${file} ${offset}`;
}
