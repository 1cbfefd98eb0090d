import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { RouteListSchema, RouteSchema } from '../../gen/envoy/config/route/v3/route_components_pb.js';
import { HttpRequestHeaderMatchInputSchema } from '../../gen/envoy/type/matcher/v3/http_inputs_pb.js';
import { type Matcher, type Matcher_OnMatchSchema, MatcherSchema } from '../../gen/xds/type/matcher/v3/matcher_pb.js';
import type { RouteIr } from '../ir/group.js';
import { extension, packed } from './any.js';
import { concat, lengthDelimited } from './encoded.js';
import { HEADER } from './names.js';
import { exactPath, leadingLiterals, underSegments } from './path.js';

/** An encoded Route with the definition it was made of. */
export interface TableEntry {
  readonly ir: RouteIr;
  readonly route: Uint8Array;
}

type OnMatch = MessageInitShape<typeof Matcher_OnMatchSchema>;

/** Patterns may be copied into several buckets, but not more often than this on average. */
const COPIES = 4;

/**
 * The routes as a matcher tree, in place of a list that Envoy would try from the top: first a map of exact paths, then a map
 * of prefixes, each with the few patterns that can match below it, in order of precedence, and `last` behind them.
 *
 * It takes the same route as the list: an exact path outranks every pattern that matches the same path, since no pattern
 * has more segments than the path, and a literal segment outranks the rest. A matcher without match falls through to the
 * next; a list of routes, once chosen, decides.
 *
 * @param entries at least one, in order of precedence.
 */
export function routeMatcher(entries: readonly TableEntry[], last: Uint8Array): Matcher {
  const exact = entries.filter(({ ir }) => exactPath(ir.path) !== undefined);
  const patterns = entries.filter(({ ir }) => exactPath(ir.path) === undefined);
  if (exact.length === 0) return patternMatcher(patterns, last);
  // Envoy refuses an empty map.
  const below = patterns.length === 0 ? one(last) : nested(patternMatcher(patterns, last));
  return tree('exactMatchMap', HEADER.path, mapValues(byPath(exact), methodMatcher), below);
}

/** The routes of one exact path, by method. */
function methodMatcher(entries: readonly TableEntry[]): OnMatch {
  const byMethod = new Map<string, OnMatch>();
  for (const { ir, route } of entries) {
    if (ir.methods.length === 0) {
      // Any method: what stands behind it can never be reached.
      return byMethod.size === 0 ? one(route) : nested(tree('exactMatchMap', ':method', byMethod, one(route)));
    }
    for (const method of ir.methods) if (!byMethod.has(method)) byMethod.set(method, one(route));
  }
  return nested(tree('exactMatchMap', ':method', byMethod));
}

function patternMatcher(patterns: readonly TableEntry[], last: Uint8Array): Matcher {
  const buckets = bucketsOf(patterns);
  const onMatch = mapValues(buckets, (entries) => list([...entries.map(({ route }) => route), last]));
  return tree('prefixMatchMap', HEADER.path, onMatch, one(last));
}

/**
 * Patterns by prefix. Each bucket holds, in order of precedence, all patterns whose own prefix begins the bucket's, so the
 * bucket of the longest prefix of a path holds all that can match it. Prefixes are as long as the literals before the first
 * parameter allow, or shorter where patterns near the root would be copied into too many buckets.
 */
export function bucketsOf(patterns: readonly TableEntry[]): ReadonlyMap<string, readonly TableEntry[]> {
  const literals = patterns.map(({ ir }) => leadingLiterals(ir.path));
  for (let depth = Math.max(0, ...literals.map((segments) => segments.length)); ; depth--) {
    const prefixes = literals.map((segments) => underSegments(segments.slice(0, depth)));
    const buckets = new Map<string, TableEntry[]>();
    let copies = 0;
    for (const bucket of [...new Set(prefixes)].sort()) {
      const entries = patterns.filter((_, i) => bucket.startsWith(prefixes[i] as string));
      copies += entries.length;
      buckets.set(bucket, entries);
    }
    if (depth === 0 || copies <= COPIES * patterns.length) return buckets;
  }
}

function tree(
  kind: 'exactMatchMap' | 'prefixMatchMap',
  headerName: string,
  map: ReadonlyMap<string, OnMatch>,
  onNoMatch?: OnMatch,
): Matcher {
  // Sorted: equal tables must have equal bytes.
  const sorted = [...map].sort(([a], [b]) => (a < b ? -1 : 1));
  return create(MatcherSchema, {
    matcherType: {
      case: 'matcherTree',
      value: {
        input: extension(headerName, HttpRequestHeaderMatchInputSchema, { headerName }),
        treeType: { case: kind, value: { map: Object.fromEntries(sorted) } },
      },
    },
    ...(onNoMatch && { onNoMatch }),
  });
}

const nested = (matcher: Matcher): OnMatch => ({ onMatch: { case: 'matcher', value: matcher } });
const one = (route: Uint8Array): OnMatch => ({
  onMatch: { case: 'action', value: { name: 'route', typedConfig: packed(RouteSchema, route) } },
});
/** Number of the field of RouteList. */
const ROUTES = 1;
const list = (routes: readonly Uint8Array[]): OnMatch => {
  const bytes = concat(...routes.map((route) => lengthDelimited(ROUTES, route)));
  return { onMatch: { case: 'action', value: { name: 'routes', typedConfig: packed(RouteListSchema, bytes) } } };
};

function byPath(entries: readonly TableEntry[]): ReadonlyMap<string, TableEntry[]> {
  const groups = new Map<string, TableEntry[]>();
  for (const entry of entries) {
    const path = exactPath(entry.ir.path) as string;
    groups.set(path, [...(groups.get(path) ?? []), entry]);
  }
  return groups;
}

function mapValues<T>(map: ReadonlyMap<string, T>, value: (entry: T) => OnMatch): Map<string, OnMatch> {
  return new Map([...map].map(([key, entry]) => [key, value(entry)]));
}
