import { LineCounter, type Node, parseDocument } from 'yaml';
import type { Diagnostic } from '../core/diagnostic.js';
import type { Definitions } from '../core/model/definitions.js';
import { readDefinitions } from '../core/model/document.js';
import type { Kind } from '../core/model/kind.js';
import { EXIT, type Exit } from './exit.js';
import { readInput } from './input.js';
import { json, note, paint, visible } from './terminal.js';

/** A place in a text file, counted from 1. */
interface Position {
  readonly line: number;
  readonly column: number;
}

/**
 * A function from JSON pointers to places in `text` (YAML or JSON). Where the pointer leads nowhere, because something is
 * missing, it is the place of the nearest container that exists; undefined for the whole document, and when `text` cannot
 * be parsed at all.
 */
function positionsIn(text: string): (pointer: string) => Position | undefined {
  const counter = new LineCounter();
  let root: unknown;
  try {
    root = parseDocument(text, { lineCounter: counter, uniqueKeys: false, logLevel: 'silent' }).contents;
  } catch {
    return () => undefined; // nested too deeply for the parser's stack
  }
  return (pointer) => {
    let node = root;
    let offset: number | undefined;
    for (const segment of pointer.split('/').slice(1)) {
      const step = child(node, segment.replaceAll('~1', '/').replaceAll('~0', '~'));
      if (step === undefined) break;
      node = step.node;
      offset = step.offset ?? offset;
    }
    if (offset === undefined) return undefined;
    const { line, col } = counter.linePos(offset);
    return { line, column: col };
  };
}

function child(node: unknown, segment: string): { node: unknown; offset: number | undefined } | undefined {
  const items = (node as { items?: unknown[] } | null)?.items;
  if (!Array.isArray(items)) return undefined;
  for (const [i, item] of items.entries()) {
    const pair = item as { key?: unknown; value?: unknown };
    const isPair = typeof item === 'object' && item !== null && 'key' in item;
    if (isPair && String((pair.key as { value?: unknown })?.value) === segment) {
      return { node: pair.value, offset: startOf(pair.key) };
    }
    if (!isPair && String(i) === segment) return { node: item, offset: startOf(item) };
  }
  return undefined;
}

function startOf(node: unknown): number | undefined {
  return (node as Node | null)?.range?.[0];
}

/** A diagnostic with its place in the file it was found in. */
export interface PlacedDiagnostic extends Diagnostic, Partial<Position> {
  readonly file: string;
}

/** Adds file, line and column to `diagnostics`, whose paths are pointers into `input`. */
export function placed(diagnostics: readonly Diagnostic[], file: string, input: Buffer): PlacedDiagnostic[] {
  // Parsing a second time is only worth it when there is a place to find.
  const position = diagnostics.some((d) => d.path !== '') ? positionsIn(input.toString('utf8')) : () => undefined;
  return diagnostics.map((diagnostic) => ({ file, ...position(diagnostic.path), ...diagnostic }));
}

const SHOWN = 200;

/** Prints findings to standard error as `file:line:column: severity code: message` with the hint below. */
export function printDiagnostics(diagnostics: readonly PlacedDiagnostic[]): void {
  for (const { file, line, column, severity, code, path, object, message, hint } of diagnostics.slice(0, SHOWN)) {
    const place = line === undefined ? file : `${file}:${line}:${column}`;
    const mark = paint(severity === 'error' ? 'red' : 'yellow', severity, process.stderr);
    const about = object ? `${object.kind} ${object.name}: ` : '';
    note(`${visible(place)}: ${mark} ${code}: ${visible(about + message)}`);
    note(paint('dim', `    ${visible(path || '/')}: ${visible(hint)}`, process.stderr));
  }
  const rest = diagnostics.length - SHOWN;
  if (rest > 0) note(`… and ${rest} more; --json lists all.`);
}

/** `3 errors, 1 warning`, or the empty string. */
export function countOf(diagnostics: readonly Diagnostic[]): string {
  const errors = diagnostics.filter((d) => d.severity === 'error').length;
  const warnings = diagnostics.length - errors;
  const parts = [
    errors > 0 ? `${errors} error${errors === 1 ? '' : 's'}` : '',
    warnings > 0 ? `${warnings} warning${warnings === 1 ? '' : 's'}` : '',
  ];
  return parts.filter((part) => part !== '').join(', ');
}

/** How messages call an input file. */
export function nameOf(file: string): string {
  return file === '-' ? 'stdin' : file;
}

/** A definitions file after reading: either definitions, or a way to tell the person why there are none. */
export interface ReadFile {
  readonly input: Buffer;
  readonly diagnostics: readonly PlacedDiagnostic[];
  /** Pointer to an object in the document, e.g. `/apis/3`. */
  readonly pointerOf: (kind: Kind, name: string) => string;
  /** Absent when any finding is an error. */
  readonly definitions?: Definitions;
  /** Prints the findings and returns the exit status for a file with errors. */
  fail(options: { json?: boolean }): Exit;
}

/**
 * Reads a definitions file and checks the shape of its objects; the compiler checks what they mean together.
 */
export function readDefinitionsFile(file: string): ReadFile {
  const input = readInput(file);
  const name = nameOf(file);
  const read = readDefinitions(input, file.endsWith('.json') ? 'json' : undefined);
  const diagnostics = placed(read.diagnostics, name, input);
  return {
    input,
    diagnostics,
    pointerOf: read.pointerOf,
    ...(read.definitions && { definitions: read.definitions }),
    fail({ json: asJson }) {
      if (asJson) json({ ok: false, diagnostics });
      else {
        printDiagnostics(diagnostics);
        note(`${countOf(diagnostics)} in ${name}.`);
      }
      return EXIT.finding;
    },
  };
}
