import { pointerSegment } from '../core/diagnostic.js';
import { readJson } from '../core/model/json.js';
import { decodeText } from '../core/model/text.js';
import { type Fault, faultsOf } from './problem.js';

export type ReadBody =
  | { readonly kind: 'value'; readonly value: unknown }
  | { readonly kind: 'faults'; readonly faults: Fault[] };

/**
 * Reads a JSON body as core reads definitions (UTF-8, no duplicate keys, bounded size and depth), and finds what PostgreSQL
 * could not store: the character U+0000 and halves of surrogate pairs. Never throws.
 */
export function readBody(body: Uint8Array): ReadBody {
  const decoded = decodeText(body);
  if ('fault' in decoded) return { kind: 'faults', faults: faultsOf([decoded.fault]) };
  const read = readJson(decoded.text);
  if (read.diagnostics.length > 0) return { kind: 'faults', faults: faultsOf(read.diagnostics) };
  // Only an escape can bring such a character in: the decoder refuses it in the bytes.
  const faults = /\\u(?:0000|[dD][89a-fA-F])/.test(decoded.text) ? unstorable(read.value, '') : [];
  return faults.length > 0 ? { kind: 'faults', faults } : { kind: 'value', value: read.value };
}

/** Depth is bounded by the reader. */
function unstorable(value: unknown, pointer: string): Fault[] {
  if (typeof value === 'string') {
    if (!/[\0\p{Surrogate}]/u.test(value)) return [];
    const message = value.includes('\0')
      ? 'The text holds the character U+0000.'
      : 'The text holds half of a surrogate pair.';
    return [{ code: 'schema', pointer, message, hint: 'It cannot be stored; leave the character out.' }];
  }
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => [
    ...unstorable(key, pointer),
    ...unstorable(inner, `${pointer}/${pointerSegment(key)}`),
  ]);
}
