import type { Definitions, Spec } from '../core/model/definitions.js';
import { KINDS, type Kind, PLURAL } from '../core/model/kind.js';
import { line, paint, visible } from './terminal.js';

/** What would happen to one object. */
export interface ObjectChange {
  readonly change: 'create' | 'update' | 'delete';
  readonly kind: Kind;
  readonly name: string;
  /** Only for updates: each value that differs. */
  readonly fields: readonly FieldChange[];
}

/** One value that differs; `before` or `after` is absent where there is none. */
export interface FieldChange {
  /** As people write it: `match.methods[1]`. */
  readonly path: string;
  readonly before?: unknown;
  readonly after?: unknown;
}

/**
 * What turns `before` into `after`, in the order of KINDS and then of names. The order of keys in a mapping does not count;
 * that of a list does. Objects that only `before` has are deletions when `prune` is set, and left alone otherwise.
 */
export function difference(before: Definitions, after: Definitions, { prune }: { prune: boolean }): ObjectChange[] {
  return KINDS.flatMap((kind) => {
    const old = byName(before[PLURAL[kind]]);
    const now = byName(after[PLURAL[kind]]);
    return [...new Set([...old.keys(), ...now.keys()])].sort().flatMap((name): ObjectChange[] => {
      const was = old.get(name);
      const is = now.get(name);
      if (is === undefined) return prune ? [{ change: 'delete', kind, name, fields: [] }] : [];
      if (was === undefined) return [{ change: 'create', kind, name, fields: [] }];
      const fields = compare(was, is, '');
      return fields.length > 0 ? [{ change: 'update', kind, name, fields }] : [];
    });
  });
}

function byName(specs: readonly Spec[] | undefined): Map<string, Spec> {
  return new Map((specs ?? []).map((spec) => [spec.name, spec]));
}

function compare(before: unknown, after: unknown, path: string): FieldChange[] {
  if (Object.is(before, after)) return [];
  if (Array.isArray(before) && Array.isArray(after)) {
    const indices = Array.from({ length: Math.max(before.length, after.length) }, (_, i) => i);
    return indices.flatMap((i) => compare(before[i], after[i], `${path}[${i}]`));
  }
  if (isMapping(before) && isMapping(after)) {
    const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort();
    return keys.flatMap((key) => compare(before[key], after[key], path === '' ? key : `${path}.${key}`));
  }
  return [{ path, ...(before !== undefined && { before }), ...(after !== undefined && { after }) }];
}

function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const SIGN = { create: '+', update: '~', delete: '-' } as const;
const COLOUR = { create: 'green', update: 'yellow', delete: 'red' } as const;

/** Prints changes for a person: one line an object, one line a value below it, and the sum. */
export function printDifference(changes: readonly ObjectChange[]): void {
  for (const { change, kind, name, fields } of changes) {
    line(paint(COLOUR[change], `${SIGN[change]} ${kind} ${visible(name)}`));
    for (const field of fields) {
      const before = 'before' in field ? value(field.before) : '(not set)';
      const after = 'after' in field ? value(field.after) : '(not set)';
      line(`    ${visible(field.path)}: ${before} → ${after}`);
    }
  }
  line(sumOf(changes));
}

/** `2 to create, 1 to update, 0 to delete`. */
function sumOf(changes: readonly ObjectChange[]): string {
  const count = (change: ObjectChange['change']) => changes.filter((c) => c.change === change).length;
  return `${count('create')} to create, ${count('update')} to update, ${count('delete')} to delete.`;
}

function value(of: unknown): string {
  const text = visible(JSON.stringify(of));
  return text.length > 120 ? `${text.slice(0, 119)}…` : text;
}
