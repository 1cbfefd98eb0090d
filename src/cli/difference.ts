import { pointerSegment } from '../core/diagnostic.js';
import type { Definitions, Spec } from '../core/model/definitions.js';
import { KINDS, type Kind, PLURAL } from '../core/model/kind.js';
import { line, paint, visible } from './terminal.js';

/** What would happen, or has happened, to one object. The admin API answers with the same shape. */
export interface ObjectChange {
  readonly kind: Kind;
  readonly name: string;
  readonly change: 'created' | 'changed' | 'deleted';
  /** Each value that differs; empty for objects that are created or deleted. */
  readonly fields: readonly FieldChange[];
}

/** One value that differs; `before` or `after` is absent where there is none. */
export interface FieldChange {
  /** JSON pointer into the spec. */
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
      if (is === undefined) return prune ? [{ kind, name, change: 'deleted', fields: [] }] : [];
      if (was === undefined) return [{ kind, name, change: 'created', fields: [] }];
      const fields = compare(was, is, '');
      return fields.length > 0 ? [{ kind, name, change: 'changed', fields }] : [];
    });
  });
}

function byName(specs: readonly Spec[] | undefined): Map<string, Spec> {
  return new Map((specs ?? []).map((spec) => [spec.name, spec]));
}

function compare(before: unknown, after: unknown, path: string): FieldChange[] {
  if (Object.is(before, after)) return [];
  const bothContain = isContainer(before) && isContainer(after) && Array.isArray(before) === Array.isArray(after);
  if (!bothContain) {
    return [{ path, ...(before !== undefined && { before }), ...(after !== undefined && { after }) }];
  }
  const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  return keys.flatMap((key) => compare(before[key], after[key], `${path}/${pointerSegment(key)}`));
}

function isContainer(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

const SIGN = { created: '+', changed: '~', deleted: '-' } as const;
const COLOUR = { created: 'green', changed: 'yellow', deleted: 'red' } as const;

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
  const count = (change: ObjectChange['change']) => changes.filter((c) => c.change === change).length;
  line(`${count('created')} created, ${count('changed')} changed, ${count('deleted')} deleted.`);
}

const LONGEST_VALUE = 120;

function value(of: unknown): string {
  const text = visible(JSON.stringify(of));
  return text.length > LONGEST_VALUE ? `${text.slice(0, LONGEST_VALUE - 1)}…` : text;
}
