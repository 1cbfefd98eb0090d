import { type Diagnostic, type DiagnosticCode, diagnostic } from '../diagnostic.js';
import type { Kind } from '../model/kind.js';
import { nearest } from '../model/nearest.js';
import { checkSpec } from '../model/rules.js';
import { reachesEdge } from '../xds/filter/ext-authz.js';
import { byText } from './frozen.js';
import { linkOf } from './group-content.js';
import { checkMatches } from './matches.js';
import { clustersOf, type Objects, type Owner, type StoredObject, serves, type Touched } from './objects.js';
import { checkOpenPatterns } from './open-patterns.js';
import { discoveryOf } from './resolve-cluster.js';
import { checkRooms } from './rooms.js';

/** Names that are listed in one message before "and n more". */
const MOST_NAMED = 3;
/** Findings that get a guess of what was meant. */
const MOST_GUESSES = 20;

/**
 * Everything wrong with the objects after a change that was not wrong before it: rules of each touched object alone, and
 * rules across objects. A finding stands at a touched object. Costs what the touched objects and their groups cost.
 */
export function findings(objects: Objects, touched: readonly Touched[], owners: readonly Owner[]): Diagnostic[] {
  const check = new Check(objects, touched);
  for (const { kind, name, before, after } of [...touched].sort(byKindAndName)) {
    if (after) check.upserted(after, before);
    else check.removed(kind, name);
  }
  for (const group of check.groups()) {
    checkMatches(objects, group, check.isTouched, check.found);
    checkOpenPatterns(objects, group, check.isTouched, check.found);
  }
  for (const owner of owners) check.credentials(owner);
  return check.found;
}

const byKindAndName = (a: Touched, b: Touched) => byText(a.kind, b.kind) || byText(a.name, b.name);

class Check {
  readonly found: Diagnostic[] = [];
  readonly #objects: Objects;
  readonly #touched: ReadonlySet<string>;
  readonly #groups = new Set<string>();
  #guesses = 0;

  constructor(objects: Objects, touched: readonly Touched[]) {
    this.#objects = objects;
    this.#touched = new Set(touched.filter(({ after }) => after).map(({ kind, name }) => `${kind}\n${name}`));
  }

  readonly isTouched = (kind: Kind, name: string): boolean => this.#touched.has(`${kind}\n${name}`);

  /** Groups whose APIs may have come into conflict. */
  groups(): string[] {
    return [...this.#groups].sort();
  }

  upserted(object: StoredObject, before: StoredObject | undefined): void {
    const registered = object.kind === 'cluster' && this.#objects.registered(object.name).length > 0;
    this.found.push(...checkSpec(object.kind, object.spec).filter(({ code }) => code !== 'no-endpoint' || !registered));
    this.#id(object);
    if (object.kind === 'fleet') this.#fleet(object, before as StoredObject<'fleet'> | undefined);
    else if (object.kind === 'cluster') this.#cluster(object, before as StoredObject<'cluster'> | undefined);
    else if (object.kind === 'group') this.#group(object);
    else if (object.kind === 'api') this.#api(object);
    else if (object.kind === 'app') this.#app(object);
  }

  removed(kind: Kind, name: string): void {
    const { apisOfCluster, apisOfGroup, groupsNamingFleet } = this.#objects;
    // Users that are part of the change tell of their broken reference themselves.
    const users = (kind: Kind, names: ReadonlySet<string>) =>
      [...names].filter((user) => !this.isTouched(kind, user)).sort();
    const inUse = (what: string, names: string[], todo: string) => {
      if (names.length === 0) return;
      const message = `The ${kind} "${name}" is still used by ${what} ${named(names)}.`;
      this.found.push(diagnostic('in-use', '', message, todo, { kind, name }));
    };
    if (kind === 'cluster')
      inUse('API', users('api', apisOfCluster.of(name)), 'First send these APIs elsewhere, or take them offline.');
    if (kind === 'group')
      inUse('API', users('api', apisOfGroup.of(name)), 'First take these APIs offline, or move them to another group.');
    if (kind === 'fleet')
      inUse('group', users('group', groupsNamingFleet.of(name)), 'First take the fleet out of these groups.');
  }

  credentials(owner: Owner): void {
    if (owner.kind !== 'app') return;
    const seen = new Set<string>();
    for (const { accessKey } of this.#objects.credentials(owner)) {
      const others = [...this.#objects.appsOfAccessKey.of(accessKey)].filter((app) => app !== owner.name);
      if (others.length === 0 && !seen.has(accessKey)) {
        seen.add(accessKey);
        continue;
      }
      const who = others.length > 0 ? `the App ${named(others.sort())}` : 'another credential of this App';
      this.#tell(
        owner,
        'duplicate-access-key',
        '',
        `The access key "${accessKey}" belongs to ${who} as well.`,
        'Give each credential an access key of its own.',
      );
    }
  }

  #id({ kind, name, id }: StoredObject): void {
    const others = [...this.#objects.withId(kind, id)].filter((other) => other !== name);
    // Of two touched objects the later one tells.
    const first = others.filter((other) => !this.isTouched(kind, other) || other < name).sort()[0];
    if (first === undefined) return;
    this.#tell(
      { kind, name },
      'duplicate-id',
      '/id',
      `The id "${id}" is that of the ${kind} "${first}".`,
      'Leave the id out, or choose another.',
    );
  }

  /** Only a header that is no longer handed on can break what was in order. */
  #fleet(fleet: StoredObject<'fleet'>, before: StoredObject<'fleet'> | undefined): void {
    const { signedHeaders = [] } = fleet.spec;
    for (const header of before?.spec.signedHeaders ?? []) {
      if (reachesEdge(header, signedHeaders)) continue;
      const users = [...this.#objects.all('api')].filter(
        (api) =>
          requiredHeaders(api).includes(header) && !this.isTouched('api', api.name) && this.#isServedBy(fleet, api),
      );
      if (users.length === 0) continue;
      const message = `"${header}" is no longer handed to the edge, but must be covered by signatures for API ${named(users.map(({ name }) => name).sort())}.`;
      this.#tell(
        fleet,
        'unseen-header',
        '/signedHeaders',
        message,
        'Put it back, or take it out of requiredHeaders of these APIs.',
      );
    }
  }

  #isServedBy(fleet: StoredObject<'fleet'>, api: StoredObject<'api'>): boolean {
    const group = this.#objects.find('group', api.spec.group);
    return group !== undefined && serves(fleet.name, group);
  }

  #cluster(cluster: StoredObject<'cluster'>, before: StoredObject<'cluster'> | undefined): void {
    const { name, spec } = cluster;
    const places = this.#objects.registered(name).map(({ place }) => place);
    this.found.push(...checkRooms(cluster, places));
    const registered = places.length;
    if (registered > 0 && discoveryOf(spec) === 'dns') {
      const message = `${registered} endpoints are registered for the cluster "${name}", but its own are DNS names: the registered ones get no requests.`;
      this.#tell(cluster, 'unused-registration', '/endpoints', message, 'List IP addresses, or leave the list empty.');
    }
    if (spec.authentication !== 'secret' || before?.spec.authentication === 'secret') return;
    for (const user of [...this.#objects.apisOfCluster.of(name)].sort()) {
      const api = this.#objects.find('api', user);
      if (api && !this.isTouched('api', user)) this.#signedShare(api, name);
    }
  }

  #group(group: StoredObject<'group'>): void {
    const { name, spec } = group;
    this.#groups.add(name);
    for (const [i, fleet] of (spec.fleets ?? []).entries()) {
      if (!this.#objects.find('fleet', fleet)) this.#unknown(group, `/fleets/${i}`, 'fleet', fleet);
    }
    if (spec.fleets === undefined && this.#objects.all('fleet').next().done) {
      this.#tell(
        group,
        'nothing-serves',
        '',
        `No fleet serves the group "${name}".`,
        'Define a fleet; its Envoys will serve the group.',
      );
    }
    for (const [i, host] of spec.hosts.entries()) {
      const others = [...this.#objects.groupsOfHost.of(host)].sort();
      const other = others.find(
        (o) => o !== name && this.#shareFleet(group, o) && (!this.isTouched('group', o) || o < name),
      );
      if (other === undefined) continue;
      this.#tell(
        group,
        'duplicate-host',
        `/hosts/${i}`,
        `The host "${host}" belongs to the group "${other}".`,
        'Choose another host, or let different fleets serve the groups.',
      );
    }
  }

  #shareFleet({ spec: { fleets } }: StoredObject<'group'>, other: string): boolean {
    const theirs = this.#objects.find('group', other)?.spec.fleets;
    return fleets === undefined || theirs === undefined || fleets.some((fleet) => theirs.includes(fleet));
  }

  #api(api: StoredObject<'api'>): void {
    const { group, upstream } = api.spec;
    this.#groups.add(group);
    if (!this.#objects.find('group', group)) this.#unknown(api, '/group', 'group', group);
    this.#signedHeaders(api);
    if (upstream.kind === 'mock') return;
    const references: [path: string, cluster: string][] =
      upstream.kind === 'cluster'
        ? [['/upstream/cluster', upstream.cluster]]
        : upstream.clusters.map(({ cluster }, i) => [`/upstream/clusters/${i}/cluster`, cluster]);
    for (const [path, name] of references) {
      const cluster = this.#objects.find('cluster', name);
      if (!cluster) this.#unknown(api, path, 'cluster', name);
      else if (linkOf(cluster).signed) this.#signedShare(api, name);
    }
  }

  #signedHeaders(api: StoredObject<'api'>): void {
    for (const [i, header] of requiredHeaders(api).entries()) {
      if (header.startsWith('(')) continue;
      for (const fleet of [...this.#objects.all('fleet')].sort((a, b) => byText(a.name, b.name))) {
        if (reachesEdge(header, fleet.spec.signedHeaders ?? []) || !this.#isServedBy(fleet, api)) continue;
        const message = `Signatures must cover "${header}", which the fleet "${fleet.name}" does not hand to the edge.`;
        const hint = `Add it to signedHeaders of the fleet, or requests are refused with 2102.`;
        this.#tell(api, 'unseen-header', `/auth/requiredHeaders/${i}`, message, hint);
      }
    }
  }

  /** The edge signs before Envoy chooses among weighted clusters, so it could not know with whose key. */
  #signedShare(api: StoredObject<'api'>, cluster: string): void {
    if (clustersOf(api).length < 2) return;
    this.#tell(
      api,
      'invalid-upstream',
      '/upstream/clusters',
      `The cluster "${cluster}" wants signed requests, which cannot be divided among several clusters.`,
      'Use one cluster with all endpoints, or take the authentication off.',
    );
  }

  #app(app: StoredObject<'app'>): void {
    for (const [kind, plural] of [
      ['api', 'apis'],
      ['group', 'groups'],
    ] as const) {
      for (const [i, name] of (app.spec.grants?.[plural] ?? []).entries()) {
        if (this.#objects.find(kind, name)) continue;
        const guess = this.#guess(kind, name);
        this.#tell(
          app,
          'dangling-grant',
          `/grants/${plural}/${i}`,
          `The ${kind} "${name}" is not in force.`,
          guess ?? `Publish the ${kind}, or take the grant away.`,
        );
      }
    }
  }

  #unknown(object: StoredObject, path: string, kind: Kind, name: string): void {
    this.#tell(
      object,
      'unknown-reference',
      path,
      `There is no ${kind} "${name}" in force.`,
      this.#guess(kind, name) ?? `Define and publish the ${kind}, or name another.`,
    );
  }

  /** A courtesy that costs what all objects of the kind cost; only the first few findings get it. */
  #guess(kind: Kind, name: string): string | undefined {
    if (++this.#guesses > MOST_GUESSES) return undefined;
    const names = [...this.#objects.all(kind)].map((other) => other.name).sort();
    const guess = nearest(name, names);
    return guess === undefined ? undefined : `Did you mean "${guess}"?`;
  }

  #tell(
    { kind, name }: { kind: Kind; name: string },
    code: DiagnosticCode,
    path: string,
    message: string,
    hint: string,
  ): void {
    this.found.push(diagnostic(code, path, message, hint, { kind, name }));
  }
}

function requiredHeaders({ spec: { auth } }: StoredObject<'api'>): readonly string[] {
  return auth?.type === 'signature' ? (auth.requiredHeaders ?? []) : [];
}

function named(names: readonly string[]): string {
  const shown = names
    .slice(0, MOST_NAMED)
    .map((name) => `"${name}"`)
    .join(', ');
  return names.length > MOST_NAMED ? `${shown} and ${names.length - MOST_NAMED} more` : shown;
}
