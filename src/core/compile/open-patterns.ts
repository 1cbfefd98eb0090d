import { type Diagnostic, diagnostic } from '../diagnostic.js';
import type { Kind } from '../model/kind.js';
import { type ApiPath, parseApiPath } from '../model/path.js';
import { byText } from './frozen.js';
import { clustersOf, type Objects, type StoredObject } from './objects.js';

type Api = StoredObject<'api'>;

/** Names that are listed in one message before "and n more". */
const MOST_NAMED = 3;

/** Open patterns by the segments they begin with; a parameter stands for any segment. */
interface Branch {
  readonly literals: Map<string, Branch>;
  parameter?: Branch;
  /** Patterns that end here, and those that go on with `/*`. */
  readonly whole: Api[];
  readonly prefixes: Api[];
}

/**
 * Adds a warning for each API that asks for a signature while an open pattern of its group matches what its path may be written
 * as, leads to one of its clusters and takes one of its methods: a server that drops `;x` from paths, or does not tell letter case
 * apart, can then be reached around the signature. Only what the change touches is told, at what was touched. Costs what the
 * group costs.
 */
export function checkOpenPatterns(
  objects: Objects,
  group: string,
  isTouched: (kind: Kind, name: string) => boolean,
  found: Diagnostic[],
): void {
  const apis = [...objects.apisOfGroup.of(group)].flatMap((name) => objects.find('api', name) ?? []);
  const guarded = apis.filter(({ spec }) => spec.auth?.type === 'signature');
  const open = apis.filter(({ spec }) => spec.auth?.type !== 'signature');
  if (guarded.length === 0 || open.length === 0) return;
  const root = branch();
  for (const api of open) plant(root, api);
  /** Guarded APIs that were not touched, by the open one that was. */
  const exposed = new Map<Api, Api[]>();
  for (const api of guarded.sort((a, b) => byText(a.name, b.name))) {
    const around = matching(root, api).filter((other) => shareRequests(api, other));
    if (isTouched('api', api.name)) {
      if (around.length > 0) found.push(warning(api, around, 'open'));
      continue;
    }
    for (const other of around)
      if (isTouched('api', other.name)) exposed.set(other, [...(exposed.get(other) ?? []), api]);
  }
  for (const [other, apis] of exposed) found.push(warning(other, apis, 'guarded'));
}

function branch(): Branch {
  return { literals: new Map(), whole: [], prefixes: [] };
}

function plant(root: Branch, api: Api): void {
  const { path } = parseApiPath(api.spec.match.path);
  // Without a parameter or a prefix it matches one spelling only, which is not the guarded API's.
  if (!path || (!path.prefix && path.segments.every(({ kind }) => kind === 'literal'))) return;
  let at = root;
  for (const segment of path.segments) {
    if (segment.kind === 'parameter') {
      at.parameter ??= branch();
      at = at.parameter;
    } else {
      const next = at.literals.get(segment.text) ?? branch();
      at.literals.set(segment.text, next);
      at = next;
    }
  }
  (path.prefix ? at.prefixes : at.whole).push(api);
}

/** Open APIs whose pattern holds every path of `api`. */
function matching(root: Branch, api: Api): Api[] {
  const { path } = parseApiPath(api.spec.match.path);
  return path ? below(root, path, 0) : [];
}

function below(at: Branch, path: ApiPath, depth: number): Api[] {
  const segment = path.segments[depth];
  // `/orders/*` does not match `/orders`.
  const found = segment !== undefined || path.prefix ? [...at.prefixes] : [];
  if (segment === undefined) return path.prefix ? found : [...found, ...at.whole];
  if (at.parameter) found.push(...below(at.parameter, path, depth + 1));
  const literal = segment.kind === 'literal' ? at.literals.get(segment.text) : undefined;
  if (literal) found.push(...below(literal, path, depth + 1));
  return found;
}

function shareRequests(a: Api, b: Api): boolean {
  const [methods, others] = [a.spec.match.methods, b.spec.match.methods];
  if (methods && others && !methods.some((method) => others.includes(method))) return false;
  const clusters = clustersOf(a);
  return clustersOf(b).some((cluster) => clusters.includes(cluster));
}

function warning(api: Api, others: readonly Api[], theirs: 'open' | 'guarded'): Diagnostic {
  const { name, spec } = api;
  const sorted = [...others].sort((a, b) => byText(a.name, b.name));
  const shown = sorted.slice(0, MOST_NAMED).map((other) => `"${other.name}" (${other.spec.match.path})`);
  const names = `${shown.join(', ')}${sorted.length > MOST_NAMED ? ` and ${sorted.length - MOST_NAMED} more` : ''}`;
  const message =
    theirs === 'open'
      ? `${spec.match.path} asks for a signature, and the open API ${names} of the group leads to the same cluster: a spelling that only the backend takes for the same path, such as ${variant(spec.match.path)}, goes around it.`
      : `${spec.match.path} is open and leads to the same cluster as the API ${names} of the group, which asks for a signature: a spelling that only the backend takes for the same path, such as ${variant(sorted[0]?.spec.match.path ?? '')}, goes around it.`;
  const hint =
    'Give open and guarded APIs different hosts or clusters, or narrow the open pattern. If the backend takes no ";x" and tells letter case apart, nothing is wrong.';
  return diagnostic('open-around-guarded', '/match/path', message, hint, { kind: 'api', name });
}

/** The path with a path parameter, which some servers drop. */
function variant(path: string): string {
  return `${path.replace(/\/\*$/, '')};x${path.endsWith('/*') ? '/…' : ''}`;
}
