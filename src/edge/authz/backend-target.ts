const PATTERNS = new Map<string, RegExp | undefined>();
/** Patterns come from configuration, one per rewriting route; more than this is a fault that must not fill memory. */
const MOST_PATTERNS = 20_000;

/**
 * `target` after Envoy's `regex_rewrite` (https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/route/v3/route_components.proto):
 * all matches in the path are replaced, the query stays. The patterns are those our compiler makes, which mean the same in RE2
 * and here; of one that does not compile here the target stays as it is.
 * @param substitution with `\1` … for groups.
 */
export function rewrittenTarget(target: string, pattern: string, substitution: string): string {
  const regex = compiled(pattern);
  if (!regex) return target;
  const query = target.indexOf('?');
  const path = query < 0 ? target : target.slice(0, query);
  const replacement = substitution
    .replaceAll('$', '$$$$')
    .replace(/\\(\d)/g, (_, group) => (group === '0' ? '$&' : `$${group}`));
  return path.replace(regex, replacement) + (query < 0 ? '' : target.slice(query));
}

function compiled(pattern: string): RegExp | undefined {
  if (PATTERNS.has(pattern)) return PATTERNS.get(pattern);
  let regex: RegExp | undefined;
  try {
    regex = new RegExp(pattern, 'g');
  } catch {
    regex = undefined;
  }
  if (PATTERNS.size < MOST_PATTERNS) PATTERNS.set(pattern, regex);
  return regex;
}
