import { Ajv2020, type AnySchemaObject, type ErrorObject, type ValidateFunction } from 'ajv/dist/2020.js';
import { type Diagnostic, diagnostic, pointerSegment } from '../diagnostic.js';
import { SPEC } from './definitions.js';
import { KINDS, type Kind } from './kind.js';
import { nearest } from './nearest.js';

/** Values larger than this get only their first fault told: telling all would cost memory in proportion. */
const MOST_VALUES = 100_000;

/** A check that stops at the first fault, and one that finds all; compiled on first use. */
interface Schema {
  readonly first: ValidateFunction;
  readonly all: ValidateFunction;
}

const AJV_OPTIONS = { strict: true, verbose: true, unicodeRegExp: true } as const;
const stopping = new Ajv2020({ ...AJV_OPTIONS, allErrors: false });
const complete = new Ajv2020({ ...AJV_OPTIONS, allErrors: true });

/** Prepares `schema` (JSON Schema 2020-12) for {@link validate}; code is made of it once, on first use. */
export function schemaOf(schema: AnySchemaObject): Schema {
  let first: ValidateFunction | undefined;
  let all: ValidateFunction | undefined;
  return {
    get first() {
      first ??= stopping.compile(schema);
      return first;
    },
    get all() {
      all ??= complete.compile(schema);
      return all;
    },
  };
}

const SPEC_SCHEMAS: Readonly<Record<Kind, Schema>> = Object.fromEntries(
  KINDS.map((kind) => [kind, schemaOf(SPEC[kind])]),
) as Record<Kind, Schema>;

/**
 * Checks that `value` has the shape of a spec of `kind`, as its JSON Schema says. Pure; never throws.
 *
 * @param value plain JSON data.
 * @returns every fault, with a JSON pointer relative to `value`; empty: `value` is a spec of `kind`.
 */
export function validateSpec(kind: Kind, value: unknown): Diagnostic[] {
  return validate(SPEC_SCHEMAS[kind], value);
}

/** Checks `value` against `schema`; every fault is told, with a JSON pointer relative to `value`. */
export function validate(schema: Schema, value: unknown): Diagnostic[] {
  if (schema.first(value)) return [];
  const check = hasFewValues(value) ? schema.all : schema.first;
  check(value);
  const errors = branchesMeant(check.errors ?? []);
  return errors.map(toDiagnostic);
}

function hasFewValues(value: unknown): boolean {
  const open: unknown[] = [value];
  for (let seen = 0; open.length > 0; ) {
    const next = open.pop();
    if (typeof next !== 'object' || next === null) continue;
    const inner = Object.values(next);
    seen += inner.length;
    if (seen > MOST_VALUES) return false;
    for (const item of inner) open.push(item);
  }
  return true;
}

/**
 * Reduces the errors of each union to those of the branch that was meant: the one whose constant `type` or `kind` the value
 * has. Where none is, one error about that field takes their place.
 */
function branchesMeant(errors: readonly ErrorObject[]): ErrorObject[] {
  let kept = [...errors];
  for (const union of errors.filter((e) => e.keyword === 'anyOf')) {
    const branches = union.schema as AnySchemaObject[];
    const tag = ['type', 'kind'].find((field) => branches.every((b) => b.properties?.[field]?.const !== undefined));
    if (tag === undefined || !isMapping(union.data)) {
      kept = kept.filter((e) => e === union || !within(e, union));
      continue;
    }
    const chosen = union.data[tag];
    const meant = branches.findIndex((branch) => branch.properties[tag].const === chosen);
    if (meant >= 0) {
      kept = kept.filter((e) => !within(e, union) || e.schemaPath.startsWith(`${union.schemaPath}/${meant}/`));
      kept.splice(kept.indexOf(union), 1);
    } else {
      kept = kept.filter((e) => e === union || !within(e, union));
      kept[kept.indexOf(union)] = tagError(union, tag, branches, chosen);
    }
  }
  return kept;
}

function within(error: ErrorObject, union: ErrorObject): boolean {
  return (
    error !== union &&
    error.schemaPath.startsWith(`${union.schemaPath}/`) &&
    (error.instancePath === union.instancePath || error.instancePath.startsWith(`${union.instancePath}/`))
  );
}

function tagError(union: ErrorObject, tag: string, branches: readonly AnySchemaObject[], chosen: unknown): ErrorObject {
  const allowedValues = branches.map((branch) => branch.properties[tag].const as unknown);
  if (chosen === undefined) {
    const schema = { properties: { [tag]: { description: `One of ${allowedValues.map(shown).join(', ')}.` } } };
    return { ...union, keyword: 'required', params: { missingProperty: tag }, parentSchema: schema };
  }
  return {
    ...union,
    keyword: 'enum',
    params: { allowedValues },
    instancePath: `${union.instancePath}/${tag}`,
    data: chosen,
    parentSchema: {},
  };
}

function toDiagnostic(error: ErrorObject): Diagnostic {
  const { keyword, params, instancePath: at, data } = error;
  const schema = (error.parentSchema ?? {}) as AnySchemaObject;
  const label = labelOf(at);
  const advice = (fallback: string) => (typeof schema.description === 'string' ? schema.description : fallback);
  const schemaFault = (message: string, hint: string, path = at) => diagnostic('schema', path, message, hint);
  switch (keyword) {
    case 'additionalProperties': {
      const field = String(params.additionalProperty);
      const known = Object.keys(schema.properties ?? {});
      const guess = nearest(field, known);
      const hint = guess ? `Did you mean "${guess}"?` : `Known here: ${known.join(', ')}.`;
      return diagnostic(
        'unknown-field',
        `${at}/${pointerSegment(field)}`,
        `${label} has no field ${shown(field)}.`,
        hint,
      );
    }
    case 'required': {
      const field = String(params.missingProperty);
      const description: unknown = schema.properties?.[field]?.description;
      const hint = typeof description === 'string' ? `Add it. ${description}` : 'Add it.';
      return schemaFault(`${label} lacks the field "${field}".`, hint, `${at}/${pointerSegment(field)}`);
    }
    case 'type':
      return schemaFault(
        `${label} must be ${TYPES[String(params.type)] ?? params.type}, got ${shown(data)}.`,
        typeHint(String(params.type), data) ?? advice('Write a value of that type.'),
      );
    case 'enum':
    case 'const': {
      const allowed: unknown[] = params.allowedValues ?? [params.allowedValue];
      const guess =
        typeof data === 'string'
          ? nearest(
              data,
              allowed.filter((v) => typeof v === 'string'),
            )
          : undefined;
      return schemaFault(
        `${label} must be one of ${allowed.map(shown).join(', ')}, got ${shown(data)}.`,
        guess ? `Did you mean "${guess}"?` : advice('Choose one of them.'),
      );
    }
    case 'pattern':
      return schemaFault(
        `${label} does not have the form it must have: ${shown(data)}.`,
        advice(`It must match ${params.pattern}.`),
      );
    case 'uniqueItems':
      return schemaFault(
        `${label} has ${shown((data as unknown[])[params.i])} twice.`,
        'Remove one of them.',
        `${at}/${params.i}`,
      );
    case 'anyOf':
      return schemaFault(`${label} must be a mapping, got ${shown(data)}.`, advice('Write its fields below it.'));
    default: {
      const bound = BOUNDS[keyword];
      if (!bound)
        return schemaFault(
          `${label} ${error.message ?? 'is not valid'}, got ${shown(data)}.`,
          advice('See the reference.'),
        );
      return schemaFault(
        `${label} must ${bound.replace('N', String(params.limit))}, got ${sizeOf(data)}.`,
        advice('Change it accordingly.'),
      );
    }
  }
}

const TYPES: Readonly<Record<string, string>> = {
  string: 'text',
  integer: 'a whole number',
  number: 'a number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a mapping',
};

const BOUNDS: Readonly<Record<string, string>> = {
  minimum: 'be at least N',
  maximum: 'be at most N',
  minLength: 'have at least N characters',
  maxLength: 'have at most N characters',
  minItems: 'have at least N items',
  maxItems: 'have at most N items',
};

function typeHint(type: string, data: unknown): string | undefined {
  if (type === 'string' && (typeof data === 'number' || typeof data === 'boolean'))
    return `Put it in quotes: "${data}".`;
  if ((type === 'integer' || type === 'number') && typeof data === 'string' && /^\d+$/.test(data))
    return 'Write it without quotes.';
  if (data === null)
    return type === 'array' ? 'Write [] for none, or leave the field out.' : 'Give it a value, or leave the field out.';
  if (type === 'array') return 'Write a list: [first, second].';
  return undefined;
}

/** `value` as it may stand in a message: short, on one line. */
function shown(value: unknown): string {
  if (value === null || value === undefined) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'a mapping';
  if (typeof value !== 'string') return String(value);
  return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value);
}

function sizeOf(value: unknown): string {
  if (Array.isArray(value)) return String(value.length);
  return typeof value === 'string' ? String([...value].length) : shown(value);
}

/** `match.methods[0]` for `/match/methods/0`. */
function labelOf(pointer: string): string {
  let label = '';
  for (const segment of pointer.split('/').slice(1)) {
    const text = segment.replaceAll('~1', '/').replaceAll('~0', '~');
    label += /^\d+$/.test(text) ? `[${text}]` : `${label === '' ? '' : '.'}${text}`;
  }
  return label === '' ? 'The object' : label.length > 120 ? `${label.slice(0, 120)}…` : label;
}

function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
