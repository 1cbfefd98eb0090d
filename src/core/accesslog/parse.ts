import { ALIASES, FIELD_NAMES, FIELDS } from './fields.js';
import type { AccessLine, UnparsedLine } from './record.js';
import { parseTextLine } from './text-format.js';

/** Longest line that is read, in UTF-16 units. Envoy's lines stay far below: request headers are at most 60 KiB. */
export const MAX_LINE_CHARS = 1 << 20;

/** Deepest nesting of a line: writing back a deeper one would exhaust the stack. */
const MAX_DEPTH = 64;

/** A line that was understood. */
export interface ParsedLine extends AccessLine {
  /**
   * Fields the line had and {@link AccessLine} has not (another product's `consumer`, `custom_log` …); null when there were
   * none. They are kept so that nothing of a foreign log is lost.
   */
  readonly extra: Readonly<Record<string, unknown>> | null;
}

/** Whether a line was understood. */
export function isParsed(line: ParsedLine | UnparsedLine): line is ParsedLine {
  return !('raw' in line);
}

/**
 * Reads one line (without its line feed) of any of three formats: our typed JSON, the cloud-native gateway's JSON (every value
 * a text, `-` for nothing, `ai_log` a JSON text inside a text) and Envoy's default text format.
 *
 * Total: never throws. What cannot be read whole and without doubt (cut off, too long, a known field of the wrong type, a key
 * twice) comes back as an {@link UnparsedLine} with the line itself and one sentence that says why.
 */
export function parseLine(text: string): ParsedLine | UnparsedLine {
  if (text.length > MAX_LINE_CHARS) return unparsed(text, `The line is longer than ${MAX_LINE_CHARS} characters.`);
  const line = text.endsWith('\r') ? text.slice(0, -1) : text;
  if (line.trim() === '') return unparsed(text, 'The line is empty.');
  if (line.startsWith('[')) {
    const fields = parseTextLine(line);
    return fields
      ? { ...EMPTY, ...fields, extra: null }
      : unparsed(text, "The line begins like Envoy's default text format but does not go on like it.");
  }
  if (!line.startsWith('{'))
    return unparsed(text, "The line is neither a JSON object nor Envoy's default text format.");
  return parseJson(line, text);
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const latin1 = new TextDecoder('latin1');

/**
 * {@link parseLine} of bytes as they stand in a file. Bytes that are no UTF-8 give an {@link UnparsedLine} whose `raw` shows
 * every byte as the character of the same number (windows-1252 where that has one), so that none is lost. Envoy's JSON is
 * always UTF-8; its text format hands on whatever a client sent.
 */
export function parseBytes(bytes: Uint8Array): ParsedLine | UnparsedLine {
  let text: string;
  try {
    text = utf8.decode(bytes);
  } catch {
    return unparsed(latin1.decode(bytes), 'The line is not UTF-8; its bytes are shown as single characters.');
  }
  return parseLine(text);
}

/** A line with nothing in it. */
const EMPTY: AccessLine = Object.freeze(Object.fromEntries(FIELD_NAMES.map((name) => [name, null]))) as never;

function parseJson(line: string, raw: string): ParsedLine | UnparsedLine {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (error) {
    return unparsed(raw, `The line is not well-formed JSON: ${error instanceof Error ? error.message : 'unknown'}.`);
  }
  // A line that begins with { and parses is an object.
  const source = value as Record<string, unknown>;
  const keys = Object.keys(source);
  const shape = shapeOf(line);
  if (shape.depth > MAX_DEPTH) return unparsed(raw, `The line is nested deeper than ${MAX_DEPTH} levels.`);
  if (shape.keys !== keys.length) return unparsed(raw, 'The line has a key twice, so one of its values would be lost.');
  const fields: Record<string, string | number | null> = { ...(EMPTY as object) };
  const extra: Record<string, unknown> = Object.create(null);
  let known = 0;
  for (const key of keys) {
    const name = Object.hasOwn(FIELDS, key)
      ? (key as keyof AccessLine)
      : Object.hasOwn(ALIASES, key)
        ? ALIASES[key]
        : undefined;
    if (name === undefined) {
      extra[key] = source[key];
      continue;
    }
    known++;
    const converted = convert(name, source[key]);
    if (converted === undefined) return unparsed(raw, `The field ${key} does not have the type ${FIELDS[name]}.`);
    // With both response_flags and an alias on one line, the one that says something counts.
    if (converted !== null) fields[name] = converted;
  }
  if (known === 0) return unparsed(raw, 'The line is JSON but has no field of an access log.');
  return { ...(fields as unknown as AccessLine), extra: Object.keys(extra).length > 0 ? { ...extra } : null };
}

/** The value in the type of the field, null for nothing, undefined when it cannot be that type. */
function convert(name: keyof AccessLine, value: unknown): string | number | null | undefined {
  if (value === null) return null;
  const type = FIELDS[name];
  if (typeof value === 'string') {
    if (type === 'number') return value === '-' || value === '' ? null : number(value);
    // All-text logs write `-` for nothing in every field.
    return value === '-' ? null : value;
  }
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) return undefined;
    return type === 'text' ? String(value) : value;
  }
  // Some pipelines unpack ai_log on the way.
  if (name === 'ai_log' && typeof value === 'object') return JSON.stringify(value);
  return undefined;
}

function number(text: string): number | undefined {
  return /^-?\d{1,16}(?:\.\d{1,9})?$/.test(text) ? Number(text) : undefined;
}

/**
 * How many keys the outermost object of well-formed JSON has, counting a key as often as it stands there, and how deep the
 * deepest value is.
 */
function shapeOf(json: string): { keys: number; depth: number } {
  let depth = 0;
  let deepest = 0;
  let keys = 0;
  for (let i = 0; i < json.length; i++) {
    const c = json.charCodeAt(i);
    if (c === 0x22) {
      for (i++; json.charCodeAt(i) !== 0x22; i++) if (json.charCodeAt(i) === 0x5c) i++;
    } else if (c === 0x7b || c === 0x5b) {
      depth++;
      if (depth > deepest) deepest = depth;
    } else if (c === 0x7d || c === 0x5d) depth--;
    else if (c === 0x3a && depth === 1) keys++;
  }
  return { keys, depth: deepest };
}

function unparsed(raw: string, reason: string): UnparsedLine {
  return { raw, reason };
}
