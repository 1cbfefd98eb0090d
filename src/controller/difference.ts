import { type Static, Type } from 'typebox';
import { pointerSegment } from '../core/diagnostic.js';

/** One field that differs; `before` or `after` is left out where there is none. */
export const FieldDifference = Type.Object(
  {
    path: Type.String({ description: 'JSON pointer into the spec; empty for the whole.' }),
    before: Type.Optional(Type.Unknown()),
    after: Type.Optional(Type.Unknown()),
  },
  { title: 'FieldDifference', additionalProperties: false },
);
export type FieldDifference = Static<typeof FieldDifference>;

/** Field by field, what turns `before` into `after`; empty when they are equal. Arrays compare by position. Order of keys is irrelevant. Pure. */
export function difference(before: unknown, after: unknown, path = ''): FieldDifference[] {
  if (Object.is(before, after)) return [];
  if (before === undefined) return [{ path, after }];
  if (after === undefined) return [{ path, before }];
  const containers = typeof before === 'object' && typeof after === 'object' && before !== null && after !== null;
  if (!containers || Array.isArray(before) !== Array.isArray(after)) return [{ path, before, after }];
  const [a, b] = [before as Record<string, unknown>, after as Record<string, unknown>];
  const keys = [...new Set([...Object.keys(a), ...Object.keys(b)])];
  return keys.flatMap((key) => difference(a[key], b[key], `${path}/${pointerSegment(key)}`));
}
