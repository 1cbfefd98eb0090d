import { type Diagnostic, diagnostic, type ObjectRef, pointerSegment } from '../diagnostic.js';
import type { Kind } from '../model/kind.js';
import { clusterIdOf } from '../xds/names.js';

/** A resource that Envoy refused. */
export interface Refusal {
  /** Last part of the type URL, e.g. `RouteConfiguration`. */
  readonly type: string;
  readonly name: string;
  /** What Envoy said. */
  readonly text: string;
  /** Name of the fleet it was made for. */
  readonly fleet: string;
  /** The resource in protobuf's JSON form with the field names of the .proto files; without it routes are not told apart. */
  readonly json?: unknown;
}

/** Where objects are found that resources are made from. */
export interface Known {
  withId(kind: Kind, id: string): Stored | undefined;
  find(kind: Kind, name: string): Stored | undefined;
}
interface Stored {
  readonly name: string;
  readonly spec: unknown;
}

/** The object a refusal is about. */
export interface Origin {
  readonly object: ObjectRef;
  /** JSON pointer into the object's spec; `''` when Envoy's text does not tell the field. */
  readonly path: string;
}

/** Longest text of Envoy that is shown: it repeats whole resources. */
const LONGEST = 1000;
const VALIDATION = 'Proto constraint validation failed';

/**
 * What of Envoy's text is the reason: where it fails a constraint, Envoy prints the whole resource before. At most 1000
 * characters, on one line.
 */
export function reasonOf(text: string): string {
  const at = text.lastIndexOf(VALIDATION);
  const reason = (at < 0 ? text : text.slice(at)).replaceAll(/\s+/g, ' ').trim();
  return reason.length > LONGEST ? `${reason.slice(0, LONGEST)}…` : reason;
}

/**
 * The objects that produced what Envoy refused, as near as its text leads: the API whose route it names by position or by
 * a value only that route has, else its group; the cluster; the fleet. Empty when nobody knows the resource. Pure.
 */
export function originsOf(refusal: Refusal, known: Known): Origin[] {
  const reason = reasonOf(refusal.text);
  const origin = (kind: ObjectRef['kind'], stored: Stored | undefined): Origin[] =>
    stored ? [{ object: { kind, name: stored.name }, path: fieldOf(kind, stored.spec, reason) }] : [];
  switch (refusal.type) {
    case 'RouteConfiguration': {
      const apis = suspects(refusal.json, reason).flatMap((id) => origin('api', known.withId('api', id)));
      return apis.length > 0 ? apis : origin('group', known.withId('group', refusal.name));
    }
    case 'ScopedRouteConfiguration': {
      const table = member(refusal.json, 'route_configuration_name');
      return typeof table === 'string' ? origin('group', known.withId('group', table)) : [];
    }
    case 'Cluster':
    case 'ClusterLoadAssignment':
      return origin('cluster', known.withId('cluster', clusterIdOf(refusal.name)));
    case 'Listener':
      return origin('fleet', known.find('fleet', refusal.fleet));
    default:
      return [];
  }
}

/** The refusal as findings about the objects behind it; one without an object when nobody knows them. Pure. */
export function refusalDiagnostics(refusal: Refusal, known: Known): Diagnostic[] {
  const message = `Envoy refuses the ${refusal.type} "${refusal.name}" that is made from it: ${reasonOf(refusal.text)}`;
  const hint = 'Change what Envoy names. Nothing was published; nodes keep what they have.';
  const origins = originsOf(refusal, known);
  if (origins.length === 0) return [diagnostic('envoy-refused', '', message, hint)];
  return origins.map(({ object, path }) => diagnostic('envoy-refused', path, message, hint, object));
}

/** Ids of the APIs whose routes the reason points to: by position in the list, or by text that no other route has. */
function suspects(json: unknown, reason: string): string[] {
  const routes = routesOf(json);
  const position = /\bRoutes\[(\d+)\]/i.exec(reason)?.[1];
  if (position !== undefined) {
    const [host] = list(member(json, 'virtual_hosts'));
    const id = apiOf(list(member(host, 'routes'))[Number(position)]);
    return id === undefined ? [] : [id];
  }
  if (reason.includes(VALIDATION)) return [];
  const matches = routes.flatMap(({ id, route }) => {
    const longest = Math.max(0, ...leaves(route).map(({ text }) => (says(reason, text) ? text.length : 0)));
    return longest > 0 ? [{ id, longest }] : [];
  });
  const most = Math.max(0, ...matches.map(({ longest }) => longest));
  const best = [...new Set(matches.filter(({ longest }) => longest === most).map(({ id }) => id))];
  // What many have in common points to none of them.
  return best.length <= 3 ? best : [];
}

/** Every route that is an API's, wherever it stands: in the list, or in a tree of matchers. */
function routesOf(json: unknown): { id: string; route: unknown }[] {
  const id = apiOf(json);
  if (id !== undefined) return [{ id, route: json }];
  if (Array.isArray(json)) return json.flatMap(routesOf);
  return typeof json === 'object' && json !== null ? Object.values(json).flatMap(routesOf) : [];
}

function apiOf(route: unknown): string | undefined {
  const id = member(member(member(member(route, 'metadata'), 'filter_metadata'), 'paifang'), 'api_id');
  return typeof id === 'string' ? id : undefined;
}

/** What Envoy calls the parts of its resources, and ours they are made from. The first that applies and is there counts. */
const FIELDS: Readonly<Partial<Record<ObjectRef['kind'], readonly (readonly [RegExp, string])[]>>> = {
  cluster: [
    [/trusted.?CA|certificate|PEM/i, '/tls/caPem'],
    [/\bsni\b|subject.?alt/i, '/tls/sni'],
    [/LbEndpoints\[(\d+)\].*PortValue/s, '/endpoints/$1/port'],
    [/LbEndpoints\[(\d+)\].*(?:Address|Hostname)/s, '/endpoints/$1/host'],
    [/LbEndpoints\[(\d+)\].*Weight/s, '/endpoints/$1/weight'],
    [/LbEndpoints\[(\d+)\]/, '/endpoints/$1'],
    [/HealthChecks?\b.*\bPath\b/is, '/healthCheck/path'],
    [/HealthChecks?\b.*\bInterval\b/is, '/healthCheck/intervalMs'],
    [/HealthChecks?\b.*\bTimeout\b/is, '/healthCheck/timeoutMs'],
    [/health.?check/i, '/healthCheck'],
    [/outlier|ejection/i, '/outlierDetection'],
    [/circuit.?breaker|threshold/i, '/circuitBreaker'],
    [/connect.?timeout/i, '/connectTimeoutMs'],
    [/load.?assignment|endpoint|malformed IP address/i, '/endpoints'],
    [/tls|transport.?socket/i, '/tls'],
  ],
  api: [
    [/retry/i, '/retry'],
    [/direct.?response.*status/is, '/upstream/status'],
    [/direct.?response|response body/i, '/upstream/body'],
    [/weighted.?cluster/i, '/upstream/clusters'],
    [/(?:host|authority).?rewrite/i, '/upstream/host'],
    [/rewrite|substitution/i, '/upstream/path'],
    [/response.?headers?.?to.?add|header.?value/i, '/upstream/headers'],
    [/timeout/i, '/timeoutMs'],
    [/regex|\bRE2\b|expression|path|prefix|RouteMatch/i, '/match/path'],
  ],
  group: [[/domains?|scope|\bkey\b/i, '/hosts']],
  fleet: [
    [/unable to open|access.?log|log file/i, '/accessLogPath'],
    [/address|port|bind/i, '/listeners'],
    [/header/i, '/headers'],
  ],
};

/** The field of a spec that `reason` is about: the one whose value it repeats, else the one its words stand for. */
function fieldOf(kind: ObjectRef['kind'], spec: unknown, reason: string): string {
  const repeated = leaves(spec)
    .filter(({ path, text }) => !NAMES.test(path) && says(reason, text))
    .sort((a, b) => b.text.length - a.text.length)[0];
  if (repeated) return repeated.path;
  for (const [pattern, template] of FIELDS[kind] ?? []) {
    const match = pattern.exec(reason);
    let path = match ? template.replace('$1', match[1] ?? '') : '';
    // What the spec leaves to its default is shown where it would stand.
    while (path !== '' && !isThere(spec, path)) path = path.slice(0, path.lastIndexOf('/'));
    if (path !== '') return path;
  }
  return '';
}

/** Where specs hold names, which Envoy's text may repeat without meaning them. */
const NAMES = /^\/(?:name|id|group|fleets\/\d+|upstream\/(?:clusters\/\d+\/)?cluster|listeners\/\d+\/name)$/;

/** Whether `reason` repeats `text`, as a value and not as a part of a word. */
function says(reason: string, text: string): boolean {
  if (text.length < 3) return false;
  for (let at = reason.indexOf(text); at >= 0; at = reason.indexOf(text, at + 1)) {
    const around = [reason[at - 1] ?? ' ', reason[at + text.length] ?? ' '];
    if (!around.some((character) => /\w/.test(character))) return true;
  }
  return false;
}

/** Texts in a value, with where they stand. */
function leaves(value: unknown, path = ''): { path: string; text: string }[] {
  if (typeof value === 'string') return [{ path, text: value }];
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, child]) => leaves(child, `${path}/${pointerSegment(key)}`));
}

const isThere = (spec: unknown, path: string): boolean =>
  path
    .split('/')
    .slice(1)
    .reduce<unknown>((value, key) => member(value, key), spec) !== undefined;

function member(value: unknown, key: string): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined;
  return (value as Record<string, unknown>)[key];
}

const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);
