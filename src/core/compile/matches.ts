import { type Diagnostic, diagnostic } from '../diagnostic.js';
import type { Kind } from '../model/kind.js';
import { parseApiPath, pathShape } from '../model/path.js';
import { byText } from './frozen.js';
import type { Objects, StoredObject } from './objects.js';

/** Most APIs one group may have: a group is one route table, and an edit costs what its table costs. */
const MOST_APIS = 5000;
/** Stands for any method among the methods of a shape. */
const ANY = '*';

/** Shapes of paths by API; parsing is most of the work. */
const shapes = new WeakMap<StoredObject<'api'>, string>();

/**
 * Adds what is wrong among the APIs of a group: too many, or two that match the same requests. Two paths of one shape may
 * share no method. An API for any method yields to one that names the request's (documented precedence), so these two may
 * stand together.
 */
export function checkMatches(
  objects: Objects,
  group: string,
  isTouched: (kind: Kind, name: string) => boolean,
  found: Diagnostic[],
): void {
  const names = objects.apisOfGroup.of(group);
  if (names.size > MOST_APIS) {
    const message = `The group "${group}" has ${names.size} APIs; at most ${MOST_APIS} fit into one route table.`;
    found.push(
      diagnostic('group-too-large', '', message, 'Divide it into several groups, each with its hosts.', {
        kind: 'group',
        name: group,
      }),
    );
  }
  // Touched ones come last, so that a finding stands at what was changed.
  const order = [...names].sort((a, b) => Number(isTouched('api', a)) - Number(isTouched('api', b)) || byText(a, b));
  const claims = new Map<string, string>();
  for (const name of order) {
    const api = objects.find('api', name);
    const shape = api && shapeOf(api);
    if (!api || shape === undefined) continue;
    const taken = new Map<string, string[]>();
    for (const method of api.spec.match.methods ?? [ANY]) {
      const key = `${method} ${shape}`;
      const other = claims.get(key);
      if (other === undefined) claims.set(key, name);
      else taken.set(other, [...(taken.get(other) ?? []), method]);
    }
    for (const [other, methods] of taken) found.push(ambiguous(api, other, methods));
  }
}

function ambiguous(api: StoredObject<'api'>, other: string, methods: readonly string[]): Diagnostic {
  const { name, spec } = api;
  const how = methods.includes(ANY) ? 'any method' : methods.join(', ');
  return diagnostic(
    'ambiguous-match',
    '/match',
    `${how} ${spec.match.path} matches the same requests as the API "${other}" of the group "${spec.group}".`,
    'Change path or methods of one of them; names of parameters make no difference.',
    { kind: 'api', name },
  );
}

function shapeOf(api: StoredObject<'api'>): string | undefined {
  const known = shapes.get(api);
  if (known !== undefined) return known;
  const { path } = parseApiPath(api.spec.match.path);
  if (!path) return undefined;
  const shape = pathShape(path);
  shapes.set(api, shape);
  return shape;
}
