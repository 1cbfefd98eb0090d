import { Type } from 'typebox';
import { type Diagnostic, diagnostic, hasErrors } from '../diagnostic.js';
import { Definitions, type Spec, type SpecOf } from './definitions.js';
import { readJson } from './json.js';
import { KINDS, type Kind, PLURAL } from './kind.js';
import { checkSpec } from './rules.js';
import { decodeText, type Read } from './text.js';
import { schemaOf, validate, validateSpec } from './validate.js';
import { readYaml } from './yaml.js';

/** Faults told of one document; further ones are left out. */
const MOST_DIAGNOSTICS = 1000;

/** A definitions file, read. */
export interface ReadDocument {
  /** Absent when anything is wrong that is an error. */
  readonly definitions?: Definitions;
  /** Paths are JSON pointers into the document. */
  readonly diagnostics: readonly Diagnostic[];
  /** Pointer to the object in the document, e.g. `/apis/3`; `''` when it is not there. */
  pointerOf(kind: Kind, name: string): string;
}

/** What surrounds the objects; they are checked one by one, so that a flood of faults can be cut off. */
const SHELL = schemaOf(
  Type.Object(
    Object.fromEntries(
      Object.entries(Definitions.properties).map(([field, schema]) => [
        field,
        Type.Optional(field === 'workspace' ? schema : Type.Array(Type.Unknown())),
      ]),
    ),
    { additionalProperties: false },
  ),
);

/**
 * Reads a definitions file. Pure; never throws, whatever the input: at most 32 MiB, 64 levels deep, UTF-8; duplicate keys,
 * unknown fields, merge keys and alias bombs are refused. When anything is wrong, the rules of single objects are told
 * along with faults of shape, so that all can be mended at once; else they are left to the compiler.
 *
 * @param format left out: JSON when it is JSON, else YAML (of which JSON is nearly a part).
 */
export function readDefinitions(input: string | Uint8Array, format?: 'yaml' | 'json'): ReadDocument {
  const decoded = decodeText(input);
  if ('fault' in decoded) return document([decoded.fault]);
  const read = readText(decoded.text, format);
  if (hasErrors(read.diagnostics)) return document(read.diagnostics);
  if (read.value === null || read.value === undefined) {
    return document([
      diagnostic('schema', '', 'The document is empty.', `Write at least one of: ${Object.values(PLURAL).join(', ')}.`),
    ]);
  }
  const found = validate(SHELL, read.value);
  if (hasErrors(found)) return document(found);
  const definitions = read.value as Definitions;
  const pointers = new Map<string, string>();
  for (const kind of KINDS) {
    for (const [i, spec] of (definitions[PLURAL[kind]] ?? []).entries()) {
      if (found.length > MOST_DIAGNOSTICS) break;
      found.push(...checkObject(kind, spec, `/${PLURAL[kind]}/${i}`, pointers));
    }
  }
  if (!hasErrors(found)) return document([], definitions, pointers);
  return document(capped([...found, ...ruleFaults(definitions, found)]), undefined, pointers);
}

/** Moves the findings about one object, whose paths are relative to its spec, into the document it was read from. */
export function inDocument(
  diagnostics: readonly Diagnostic[],
  { pointerOf }: Pick<ReadDocument, 'pointerOf'>,
): Diagnostic[] {
  return diagnostics.map((d) => (d.object ? { ...d, path: pointerOf(d.object.kind, d.object.name) + d.path } : d));
}

function document(
  diagnostics: readonly Diagnostic[],
  definitions?: Definitions,
  pointers = new Map<string, string>(),
): ReadDocument {
  const pointerOf = (kind: Kind, name: string) => pointers.get(`${kind}\n${name}`) ?? '';
  return Object.freeze({ ...(definitions && { definitions }), diagnostics, pointerOf });
}

function readText(text: string, format: 'yaml' | 'json' | undefined): Read {
  if (format === 'json') return readJson(text);
  if (format === undefined && /^\s*[{[]/.test(text)) {
    const read = readJson(text);
    if (!read.diagnostics.some((d) => d.code === 'syntax')) return read;
  }
  return readYaml(text);
}

function checkObject(kind: Kind, spec: unknown, pointer: string, pointers: Map<string, string>): Diagnostic[] {
  const name = (spec as { name?: unknown } | null)?.name;
  const object = typeof name === 'string' ? { kind, name } : undefined;
  const found = validateSpec(kind, spec).map((d) => ({ ...d, path: pointer + d.path, ...(object && { object }) }));
  if (!object) return found;
  const key = `${kind}\n${object.name}`;
  const first = pointers.get(key);
  if (first === undefined) pointers.set(key, pointer);
  else found.push(duplicateName(kind, object.name, `${pointer}/name`, first));
  return found;
}

function duplicateName(
  kind: Kind,
  name: string,
  path: string,
  first: string,
): Diagnostic & { object: { kind: Kind; name: string } } {
  const message = `The ${kind} "${name}" is defined twice; the first is ${first}.`;
  return { ...diagnostic('duplicate-name', path, message, 'Rename or remove one of them.'), object: { kind, name } };
}

/** What the rules say of the objects whose shape is right, in a document that is refused anyway. */
function ruleFaults(definitions: Definitions, found: readonly Diagnostic[]): Diagnostic[] {
  const broken = new Set(found.map((d) => d.path.split('/').slice(0, 3).join('/')));
  const faults: Diagnostic[] = [];
  for (const kind of KINDS) {
    for (const [i, spec] of ((definitions[PLURAL[kind]] ?? []) as Spec[]).entries()) {
      if (faults.length + found.length > MOST_DIAGNOSTICS) return faults;
      const pointer = `/${PLURAL[kind]}/${i}`;
      if (broken.has(pointer)) continue;
      faults.push(...checkSpec(kind, spec as SpecOf[typeof kind]).map((d) => ({ ...d, path: pointer + d.path })));
    }
  }
  return faults;
}

function capped(found: readonly Diagnostic[]): readonly Diagnostic[] {
  if (found.length <= MOST_DIAGNOSTICS) return found;
  const more = diagnostic(
    'limit',
    '',
    `More than ${MOST_DIAGNOSTICS} faults; the others are not told.`,
    'Mend these and read the document again.',
  );
  return [...found.slice(0, MOST_DIAGNOSTICS), more];
}
