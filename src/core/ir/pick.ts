import type { PathIr, RouteIr } from './group.js';

/**
 * The route of a group that takes a request, or undefined when none does: the first in order of precedence that matches
 * method and path. This is the model that Envoy's tables are made to follow.
 *
 * @param path path as sent, beginning with a slash, without query.
 */
export function pick(routes: readonly RouteIr[], method: string, path: string): RouteIr | undefined {
  const parts = path.split('/').slice(1);
  return routes.find(
    (route) => (route.methods.length === 0 || route.methods.includes(method)) && matches(route.path, parts),
  );
}

function matches({ segments, prefix }: PathIr, parts: readonly string[]): boolean {
  if (segments.length === 0 && !prefix) return parts.length === 1 && parts[0] === '';
  // What `/*` stands for may be empty, but its slash must be there.
  if (prefix ? parts.length <= segments.length : parts.length !== segments.length) return false;
  return segments.every((segment, i) => (segment.kind === 'literal' ? parts[i] === segment.text : parts[i] !== ''));
}
