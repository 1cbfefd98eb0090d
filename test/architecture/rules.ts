import { posix } from 'node:path';
import { codeOf, importsOf, lineAt, type SourceFile } from './source.js';

/** A place that breaks a rule of the house. */
export interface Breach {
  readonly file: string;
  readonly line: number;
  readonly message: string;
}

/**
 * Which room may import which (docs/architecture.md, "Rules of the house"). A room is a folder of src, or a file beside
 * them; in core, a folder or file of core. `core` stands for all of core; `:types` allows what is erased at compile time.
 * A room may always import itself. Beyond the page, the words that several rooms share have rows of their own: `gen`, the
 * messages on the wire, for those who write or read them; `core/ads` and `core/codes` for those in core who make
 * resources and name codes; `core/diagnostic` for those who judge what users wrote;
 * `core/secret` for those who hold one; the type of `logger` for those who are given one by main.
 */
export const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  main: ['config', 'logger', 'cli', 'up', 'controller', 'edge', 'store', 'logs', 'core'],
  config: [],
  logger: [],
  cli: ['core'],
  console: ['core:types'],
  controller: ['core', 'wire', 'canary', 'store', 'logs', 'discovery', 'gen:types', 'logger:types'],
  canary: ['core', 'wire', 'gen', 'logger:types'],
  edge: ['core', 'wire', 'rpc', 'gen:types', 'logger:types'],
  up: ['logger:types'],
  store: ['core:types', 'core/model', 'core/diagnostic', 'core/secret', 'wire', 'logger:types'],
  logs: ['core:types', 'wire', 'logger:types'],
  discovery: ['core:types', 'core/model', 'wire', 'logger:types'],
  rpc: ['core:types', 'wire', 'logger:types'],
  wire: ['gen', 'core/ads', 'logger:types'],
  gen: [],
  'core/compile': [
    'core/model',
    'core/ir',
    'core/xds',
    'core/policy',
    'core/ads',
    'core/codes',
    'core/diagnostic',
    'core/secret',
  ],
  'core/xds': ['core/ir', 'core/codes', 'core/ads', 'core/accesslog:types', 'gen'],
  'core/policy': ['core/ir', 'core/codes', 'core/ads', 'gen'],
  'core/ir': ['core/secret:types'],
  'core/model': ['core/codes', 'core/diagnostic', 'core/secret'],
  'core/decision': ['core/ir:types', 'core/codes', 'core/secret', 'gen'],
  'core/explain': ['core/model', 'core/ir', 'core/codes', 'core/accesslog', 'core/diagnostic', 'core/xds'],
  'core/ads': [],
  'core/accesslog': [],
  'core/codes': [],
  'core/diagnostic': [],
  'core/secret': [],
};

/** What must not be said in core: it has no clock, no randomness, no environment, no network and no files. */
const IMPURE: readonly [pattern: RegExp, what: string][] = [
  [/\bDate\s*\.\s*now\b/g, 'the clock (Date.now)'],
  [/\bnew\s+Date\s*(?:\(\s*\)|(?![\s\w.(]))/g, 'the clock (new Date())'],
  [/(?<!\bnew\s+)\bDate\s*\(/g, 'the clock (Date())'],
  [/\bperformance\s*\./g, 'the clock (performance)'],
  [/\bMath\s*\.\s*random\b/g, 'randomness (Math.random)'],
  [/\b(?:randomUUID|randomBytes|randomInt|randomFill(?:Sync)?|getRandomValues)\b/g, 'randomness (crypto)'],
  [/\bprocess\s*\./g, 'the process and its environment'],
  [/\b(?:setTimeout|setInterval|setImmediate)\b/g, 'timers'],
  [/\bfetch\s*\(/g, 'the network (fetch)'],
  [/\bconsole\s*\./g, 'the console'],
];
const PURE_NODE_MODULES = new Set(['node:crypto', 'node:buffer', 'node:util']);
const IMPURE_PACKAGE =
  /^(?:@nestjs\/|@grpc\/|typeorm(?:\/|$)|pg(?:\/|$)|fastify(?:\/|$)|winston(?:\/|$)|chdb(?:\/|$)|@clickhouse\/)/;

const LONGEST_FILE = 400;
const EMPTY_NAMES = new Set(['utils', 'util', 'common', 'helpers', 'helper', 'dto', 'dtos', 'misc', 'shared']);

/** Every breach in `files`, which are all those of src, test and tools (src/gen left out). */
export function breaches(files: readonly SourceFile[]): Breach[] {
  return [...files.flatMap(shape), ...files.flatMap(layering), ...files.flatMap(purity), ...cycles(files)];
}

/** Length, names of files and of folders. */
function shape({ path, text }: SourceFile): Breach[] {
  const found: Breach[] = [];
  const lines = text.replace(/\n$/, '').split('\n').length;
  if (lines > LONGEST_FILE) {
    const message = `${lines} lines; a file has ${LONGEST_FILE} at most. Split it along a noun`;
    found.push({ file: path, line: LONGEST_FILE + 1, message });
  }
  const folders = path.split('/');
  const name = folders.pop() as string;
  if (/^index\.[cm]?[jt]sx?$/.test(name)) {
    found.push({ file: path, line: 1, message: 'no barrels: import from the file that has it, and name this one' });
  }
  const empty = [...folders, name.replace(/\..*$/, '')].find((part) => EMPTY_NAMES.has(part));
  if (empty !== undefined) {
    const message = `"${empty}" says nothing: keep a helper beside its only user, or give it a noun`;
    found.push({ file: path, line: 1, message });
  }
  return found;
}

/** Imports from rooms that the table does not allow. */
function layering({ path, text }: SourceFile): Breach[] {
  const room = roomOf(path);
  if (room === undefined) return [];
  const allowed = ALLOWED[room];
  if (allowed === undefined) {
    return [{ file: path, line: 1, message: `room ${room} has no row in the table of allowed imports` }];
  }
  return importsOf(text).flatMap(({ specifier, typeOnly, line }) => {
    const target = targetRoom(path, specifier);
    if (target === undefined || target === room) return [];
    if (allowed.some((entry) => covers(entry, target, typeOnly))) return [];
    const types = !typeOnly && allowed.some((entry) => covers(entry, target, true));
    const message = types
      ? `${room} may import only types of ${target}: write "import type"`
      : `${room} may not import ${target} (it may: ${allowed.join(', ') || 'nothing'})`;
    return [{ file: path, line, message }];
  });
}

function covers(entry: string, target: string, typeOnly: boolean): boolean {
  const [room, types] = entry.split(':') as [string, string?];
  return (types === undefined || typeOnly) && (target === room || target.startsWith(`${room}/`));
}

/** Clock, randomness, environment, network, files and frameworks in core. */
function purity({ path, text }: SourceFile): Breach[] {
  if (!path.startsWith('src/core/')) return [];
  const code = codeOf(text);
  const said = IMPURE.flatMap(([pattern, what]) =>
    [...code.matchAll(pattern)].map(({ index }) => ({
      file: path,
      line: lineAt(text, index),
      message: `core is pure: it may not use ${what}; let the caller pass it in`,
    })),
  );
  const imported = importsOf(text)
    .filter(({ specifier }) =>
      specifier.startsWith('node:') ? !PURE_NODE_MODULES.has(specifier) : IMPURE_PACKAGE.test(specifier),
    )
    .map(({ specifier, line }) => ({ file: path, line, message: `core is pure: it may not import ${specifier}` }));
  return [...said, ...imported];
}

/** Circles of rooms, each told once, at an import that is part of it. */
function cycles(files: readonly SourceFile[]): Breach[] {
  const edges = new Map<string, Map<string, { file: string; line: number }>>();
  for (const { path, text } of files) {
    const room = roomOf(path);
    if (room === undefined) continue;
    const out = edges.get(room) ?? new Map();
    edges.set(room, out);
    for (const { specifier, line } of importsOf(text)) {
      const target = targetRoom(path, specifier);
      if (target !== undefined && target !== room && !out.has(target)) out.set(target, { file: path, line });
    }
  }
  const found: Breach[] = [];
  const done = new Set<string>();
  const visit = (room: string, trail: readonly string[]) => {
    for (const [target, place] of edges.get(room) ?? []) {
      const from = trail.indexOf(target);
      if (from !== -1) {
        const circle = [...trail.slice(from), target].join(' -> ');
        found.push({ ...place, message: `rooms import one another in a circle: ${circle}` });
      } else if (!done.has(target)) {
        visit(target, [...trail, target]);
      }
    }
    done.add(room);
  };
  for (const room of edges.keys()) if (!done.has(room)) visit(room, [room]);
  return found;
}

/** Room of a file of src (`edge`, `core/xds`, `main`); undefined for files outside src. */
function roomOf(path: string): string | undefined {
  const [top, first, second] = path.split('/');
  if (top !== 'src' || first === undefined) return undefined;
  const bare = (part: string) => part.replace(/\.[^/]*$/, '');
  return first === 'core' && second !== undefined ? `core/${bare(second)}` : bare(first);
}

/** Room that a relative specifier leads to; undefined for packages and for what lies outside src. */
function targetRoom(path: string, specifier: string): string | undefined {
  return specifier.startsWith('.') ? roomOf(posix.join(posix.dirname(path), specifier)) : undefined;
}
