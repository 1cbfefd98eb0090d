import { stripVTControlCharacters, styleText } from 'node:util';
import { CliError, EXIT, type Exit } from './exit.js';

type Style = Parameters<typeof styleText>[0];

/** Columns of the terminal on standard output; undefined when it is a file or a pipe, which is never cut to a width. */
export function columns(): number | undefined {
  return process.stdout.isTTY ? process.stdout.columns : undefined;
}

/** `text` in `style` where a person sees it: a terminal without NO_COLOR (https://no-color.org); FORCE_COLOR forces it. */
export function paint(style: Style, text: string, stream: NodeJS.WriteStream = process.stdout): string {
  return styleText(style, text, { stream, validateStream: true });
}

/** Writes a line to standard output. */
export function line(text = ''): void {
  process.stdout.write(`${text}\n`);
}

/** Writes a line for the person, not for a pipe: standard error. */
export function note(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** Writes `value` as JSON to standard output: what --json prints. */
export function json(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
}

/**
 * `text` with control characters made visible (`\x1b`). Names, paths and user agents in logs are chosen by strangers and
 * must not move the cursor of the person who reads them.
 */
export function visible(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what this is about.
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, (c) => {
    const code = c.charCodeAt(0);
    if (c === '\n') return '\\n';
    if (c === '\t') return '\\t';
    return code < 256 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16)}`;
  });
}

/** Columns `text` takes on a terminal: 2 for wide East Asian characters and emoji, 0 for combining marks, 1 otherwise. */
export function width(text: string): number {
  let sum = 0;
  for (const char of stripVTControlCharacters(text)) sum += WIDE.test(char) ? 2 : ZERO.test(char) ? 0 : 1;
  return sum;
}
// Unicode Standard Annex 11, classes W and F, by block.
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\u33ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1f64f}\u{1f680}-\u{1f6ff}\u{1f900}-\u{1f9ff}\u{20000}-\u{3fffd}]/u;
const ZERO = /[\p{Mn}\p{Me}\p{Cf}]/u;

/** `text` cut to `max` columns, with `…` in place of what was cut. */
export function cut(text: string, max: number): string {
  if (width(text) <= max) return text;
  let out = '';
  let used = 0;
  for (const char of text) {
    const w = width(char);
    if (used + w > max - 1) break;
    out += char;
    used += w;
  }
  return `${out}…`;
}

/**
 * Makes a commander action of `run`, whose result is the exit status (0 when it returns nothing). A CliError is printed
 * as what is wrong and what to do (as JSON with --json); anything else is a bug or an outage and ends with status 5.
 */
export function action<A extends unknown[]>(
  run: (...args: A) => Promise<Exit | undefined> | Promise<void>,
): (...args: A) => Promise<void> {
  return async (...args) => {
    try {
      process.exitCode = (await run(...args)) ?? EXIT.ok;
    } catch (error) {
      const options = args.find((arg): arg is A[number] & { json?: boolean } => isPlainOptions(arg));
      process.exitCode = report(error, options?.json === true);
    }
  };
}

function isPlainOptions(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}

/** Prints an error to standard error and returns the exit status that belongs to it. */
export function report(error: unknown, asJson: boolean): Exit {
  if (!(error instanceof CliError)) {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    if (asJson) note(JSON.stringify({ error: { exit: EXIT.internal, message: 'internal error', detail: text } }));
    else note(`${paint('red', 'paifang: internal error', process.stderr)}\n${text}`);
    return EXIT.internal;
  }
  const { exit, message, hint, faults } = error;
  if (asJson) {
    note(JSON.stringify({ error: { exit, message, ...(hint && { hint }), ...(faults.length > 0 && { faults }) } }));
    return exit;
  }
  note(`${paint('red', 'paifang:', process.stderr)} ${visible(message)}`);
  for (const fault of faults) {
    const code = fault.code ? ` [${visible(fault.code)}]` : '';
    // One fault is often the whole of what was said above.
    const isSaid = message.endsWith(fault.message);
    if (!isSaid) note(`  ${fault.pointer ? `${visible(fault.pointer)}: ` : ''}${visible(fault.message)}${code}`);
    else if (fault.pointer) note(`  ${visible(fault.pointer)}${code}`);
    if (fault.hint)
      note(`${isSaid && !fault.pointer ? '' : '    '}${paint('dim', visible(fault.hint), process.stderr)}`);
  }
  if (hint) note(hint);
  return exit;
}
