import type { PathIr } from '../ir/group.js';

/** `text` with every character that RE2 gives a meaning escaped. */
export const escapeRegex = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');

/** The path itself, when it has neither parameter nor `/*`; else undefined. */
export function exactPath(path: PathIr): string | undefined {
  if (path.prefix || path.segments.some((segment) => segment.kind === 'parameter')) return undefined;
  return `/${literals(path).join('/')}`;
}

/** What the path must begin with, ending in a slash, when it is a prefix without parameters (`/orders/*` gives `/orders/`). */
export function literalPrefix(path: PathIr): string | undefined {
  if (!path.prefix || path.segments.some((segment) => segment.kind === 'parameter')) return undefined;
  return underSegments(literals(path));
}

/**
 * RE2 pattern over the whole path without query. A parameter is one segment that is not empty; `/*` is a slash and
 * anything, also nothing.
 */
export function pathRegex(path: PathIr): string {
  const segments = path.segments.map((segment) => (segment.kind === 'literal' ? escapeRegex(segment.text) : '[^/]+'));
  const head = segments.map((segment) => `/${segment}`).join('');
  return path.prefix ? `${head}/.*` : head || '/';
}

/** The literal segments before the first parameter; all of them when there is none. */
export function leadingLiterals(path: PathIr): readonly string[] {
  const first = path.segments.findIndex((segment) => segment.kind === 'parameter');
  return literals({ segments: first === -1 ? path.segments : path.segments.slice(0, first) });
}

/** The prefix of everything below these segments. It ends in a slash, so that `/pets/` does not take `/petshop`. */
export const underSegments = (segments: readonly string[]): string =>
  `/${segments.map((segment) => `${segment}/`).join('')}`;

function literals({ segments }: Pick<PathIr, 'segments'>): string[] {
  return segments.flatMap((segment) => (segment.kind === 'literal' ? [segment.text] : []));
}
