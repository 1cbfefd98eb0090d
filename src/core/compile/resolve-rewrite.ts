import type { RewriteIr } from '../ir/group.js';
import { type ApiPath, parseUpstreamPath } from '../model/path.js';
import { escapeRegex } from '../xds/path.js';

/**
 * How Envoy makes the path for the backend out of the client's; undefined: it stays. The pattern matches every path the API
 * matches, as a whole, and captures no more than is used, since RE2 rewrites refer to nine captures at most.
 *
 * @param upstreamPath conforms to the rules of the model.
 */
export function resolveRewrite(apiText: string, api: ApiPath, upstreamPath: string | undefined): RewriteIr | undefined {
  if (upstreamPath === undefined || upstreamPath === apiText) return undefined;
  const { path: upstream } = parseUpstreamPath(upstreamPath);
  if (!upstream) return undefined;
  const used = new Set(upstream.parts.flatMap((part) => (typeof part === 'string' ? [] : [part.parameter])));
  const captured: string[] = [];
  let pattern = '';
  for (const segment of api.segments) {
    if (segment.kind === 'literal') pattern += `/${escapeRegex(segment.text)}`;
    else if (used.has(segment.name)) {
      captured.push(segment.name);
      pattern += '/([^/]+)';
    } else pattern += '/[^/]+';
  }
  const parts = upstream.parts.map((part) =>
    typeof part === 'string' ? part : `\\${captured.indexOf(part.parameter) + 1}`,
  );
  if (upstream.rest) {
    pattern += '/(.*)';
    parts.push(`\\${captured.length + 1}`);
  }
  if (captured.length === 0 && !upstream.rest) return { pattern: '^/.*$', substitution: parts.join('') };
  if (api.prefix && !upstream.rest) pattern += '/.*';
  return { pattern: `^${pattern}$`, substitution: parts.join('') };
}
