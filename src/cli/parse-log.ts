import { createReadStream } from 'node:fs';
import { type Command, Option } from 'commander';
import { meaningOfFlag } from '../core/accesslog/flags.js';
import { isParsed, MAX_LINE_CHARS, parseBytes } from '../core/accesslog/parse.js';
import type { AccessRecord, UnparsedLine } from '../core/accesslog/record.js';
import { codeOf } from '../core/codes/catalogue.js';
import { toRecord } from '../core/explain/log-line.js';
import { withOutput } from './admin.js';
import { EXIT, usage } from './exit.js';
import { explainRequest, requestTable } from './requests.js';
import { table } from './table.js';
import { action, json, line, note, paint, visible } from './terminal.js';

interface ParseLogOptions {
  readonly format: 'auto' | 'text' | 'json';
  readonly limit: string;
  readonly summary?: boolean;
  readonly json?: boolean;
  readonly quiet?: boolean;
}

/** `paifang parse-log`: what lines of an access log mean; asks no server. */
export function addParseLog(program: Command): void {
  withOutput(program.command('parse-log'))
    .argument('[file]', 'access log; - or nothing for standard input', '-')
    .addOption(
      new Option(
        '--format <format>',
        "auto looks at each line; text is Envoy's default, json is ours or the cloud-native gateway's",
      )
        .choices(['auto', 'text', 'json'])
        .default('auto'),
    )
    .option('--limit <lines>', 'requests to show; 0 shows all', '100')
    .option('--summary', 'print the counts only')
    .summary('explain an access log')
    .description(
      "Reads an access log, gives each request its result code by cause and says what its response flags mean. A single request is explained in full. Knows Envoy's default text format, our JSON and the JSON of the cloud-native gateway. Needs no server.",
    )
    .addHelpText(
      'after',
      `
Examples:
  paifang parse-log access.log
  tail -n 1 access.log | paifang parse-log              one request, explained
  paifang parse-log --summary --json access.log
  paifang parse-log --json access.log | jq 'select(.code == "6305")'

With --json each line of output is one request, or a line that could not be read with the reason; the last one is the summary.
Exit status: 0 lines were read, 1 not one could be, 2 the file cannot be read.`,
    )
    .action(action(parseLog));
}

/** Counts of a log. */
interface Summary {
  lines: number;
  unparsed: number;
  readonly codes: Map<string, number>;
  readonly flags: Map<string, number>;
}

async function parseLog(file: string, options: ParseLogOptions) {
  if (!/^\d{1,9}$/.test(options.limit)) throw usage(`--limit takes a number, not "${options.limit}".`);
  const limit = Number(options.limit) || Number.POSITIVE_INFINITY;
  const summary: Summary = { lines: 0, unparsed: 0, codes: new Map(), flags: new Map() };
  const shown: AccessRecord[] = [];
  const faults: (UnparsedLine & { number: number })[] = [];
  for await (const bytes of linesOf(file)) {
    summary.lines++;
    const read = parseFormat(bytes, options.format);
    if ('raw' in read) {
      summary.unparsed++;
      if (faults.length < 10) faults.push({ ...read, number: summary.lines });
      if (options.json && !options.summary)
        process.stdout.write(`${JSON.stringify({ line: summary.lines, ...read })}\n`);
      continue;
    }
    const record = toRecord(read);
    count(summary.codes, record.code);
    for (const { flag } of record.flags) count(summary.flags, flag);
    if (options.json && !options.summary) process.stdout.write(`${JSON.stringify(record)}\n`);
    else if (shown.length < limit) shown.push(record);
  }
  if (options.json) printJson(summary, options.summary === true);
  else print(summary, options.summary ? [] : shown, faults, options);
  return summary.lines > 0 && summary.unparsed === summary.lines ? EXIT.finding : EXIT.ok;
}

function parseFormat(bytes: Buffer, format: ParseLogOptions['format']) {
  const read = parseBytes(bytes);
  if (format === 'auto' || !isParsed(read)) return read;
  const isJson = bytes[0] === 0x7b;
  if (isJson === (format === 'json')) return read;
  return { raw: bytes.toString('latin1'), reason: `The line is not in the format asked for (${format}).` };
}

// A line far longer than any the parser takes is not kept in memory: what is beyond this is dropped, and the parser refuses it.
const LONGEST = 4 * MAX_LINE_CHARS + 2;

/** The lines of a file or of standard input, without line feeds; empty lines are left out. */
async function* linesOf(file: string): AsyncGenerator<Buffer> {
  const stream = file === '-' ? process.stdin : createReadStream(file);
  let parts: Buffer[] = [];
  let held = 0;
  const keep = (part: Buffer) => {
    if (held < LONGEST && part.length > 0) parts.push(part.subarray(0, LONGEST - held));
    held += part.length;
  };
  const take = () => {
    const whole = Buffer.concat(parts);
    parts = [];
    held = 0;
    return whole;
  };
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      let start = 0;
      for (let end = chunk.indexOf(0x0a); end >= 0; end = chunk.indexOf(0x0a, start)) {
        keep(chunk.subarray(start, end));
        start = end + 1;
        const whole = take();
        if (whole.length > 0) yield whole;
      }
      keep(chunk.subarray(start));
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    throw usage(`${file} cannot be read (${code === 'ENOENT' ? 'there is no such file' : code}).`);
  }
  const last = take();
  if (last.length > 0) yield last;
}

function count(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

function ranked(counts: Map<string, number>): [string, number][] {
  return [...counts].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1));
}

function printJson({ lines, unparsed, codes, flags }: Summary, alone: boolean): void {
  const summary = {
    lines,
    unparsed,
    codes: Object.fromEntries(ranked(codes)),
    flags: Object.fromEntries(ranked(flags)),
  };
  if (alone) json(summary);
  else process.stdout.write(`${JSON.stringify({ summary })}\n`);
}

function print(
  summary: Summary,
  shown: readonly AccessRecord[],
  faults: readonly (UnparsedLine & { number: number })[],
  options: ParseLogOptions,
): void {
  const parsed = summary.lines - summary.unparsed;
  const [only] = shown;
  if (only && parsed === 1) line(explainRequest(only));
  else if (shown.length > 0) line(requestTable(shown));
  if (parsed > shown.length && shown.length > 0) note(`… and ${parsed - shown.length} more; --limit 0 shows all.`);
  for (const { number, reason, raw } of faults) {
    note(
      `line ${number}: ${paint('yellow', reason, process.stderr)}\n    ${visible(raw.slice(0, 160))}${raw.length > 160 ? '…' : ''}`,
    );
  }
  if (options.quiet || (parsed === 1 && summary.unparsed === 0 && !options.summary)) return;
  line(`\n${summary.lines} lines, ${parsed} understood, ${summary.unparsed} not.`);
  if (parsed === 0) return;
  line(
    table(ranked(summary.codes), [
      { head: 'CODE', cell: ([code]) => code },
      { head: 'COUNT', cell: ([, n]) => n, right: true },
      { head: 'SHARE', cell: ([, n]) => `${((100 * n) / parsed).toFixed(1)} %`, right: true },
      { head: 'MEMO', cell: ([code]) => codeOf(code)?.memo },
    ]),
  );
  if (summary.flags.size > 0) {
    line(
      table(ranked(summary.flags), [
        { head: 'FLAG', cell: ([flag]) => flag },
        { head: 'COUNT', cell: ([, n]) => n, right: true },
        { head: 'MEANING', cell: ([flag]) => meaningOfFlag(flag).meaning, flexible: true },
      ]),
    );
  }
}
