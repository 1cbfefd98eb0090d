import type { Resource, TableDelta } from './ads/resource.js';
import { FleetTable, type GroupChanges, merged } from './compile/fleet-table.js';
import { byText } from './compile/frozen.js';
import { type GroupContent, GroupResolver, sameLink } from './compile/group-content.js';
import { GrpcClusters } from './compile/grpc-clusters.js';
import { Journal } from './compile/journal.js';
import { Objects, type Owner, type StoredObject, serves, type Touched } from './compile/objects.js';
import { findings } from './compile/references.js';
import { resolveFleet } from './compile/resolve-fleet.js';
import { SharedTable } from './compile/shared-table.js';
import { UsedClusters } from './compile/used-clusters.js';
import { type Diagnostic, diagnostic, hasErrors } from './diagnostic.js';
import type { Answer, Question } from './ir/answer.js';
import type { Credential } from './ir/app.js';
import type { EndpointIr } from './ir/cluster.js';
import type { Gateway } from './ir/gateway.js';
import type { GroupIr } from './ir/group.js';
import type { Definitions, Spec } from './model/definitions.js';
import { KINDS, type Kind, PLURAL } from './model/kind.js';
import { deriveId } from './model/name.js';
import { questionKey } from './model/question.js';

export type { StoredObject } from './compile/objects.js';
export type { Credential } from './ir/app.js';

/** What a release, or a change of credentials, registered or resolved endpoints, brings. */
export interface Change {
  /** Number of the release that is in force after it. */
  readonly release: number;
  /** Objects that come into force or change. Their specs conform to their schemas and are not altered afterwards. */
  readonly upserts: readonly StoredObject[];
  /** Objects that go out of force; one that is in `upserts` too stays. Unknown ones are ignored. */
  readonly removals: readonly { readonly kind: Kind; readonly name: string }[];
  /** The full list of each owner named, which takes the place of what it had. Owners need not be in force yet. */
  readonly credentials?: readonly (Owner & { readonly credentials: readonly Credential[] })[];
  /** The full list of each cluster named, likewise. Clusters of DNS names do without. Lists are not altered afterwards. */
  readonly endpoints?: readonly { readonly cluster: string; readonly endpoints: readonly EndpointIr[] }[];
  /** What DNS tells now, which takes the place of what it told before. Nobody need ask for it. Not altered afterwards. */
  readonly answers?: readonly Answer[];
  /**
   * Release that last changed each group, by name, as an earlier {@link Update.groupReleases} said. For a full load; without
   * it the newest release of the group and its APIs is taken, which is too old where an API was removed since.
   */
  readonly groupReleases?: Readonly<Record<string, number>>;
}

export interface Update {
  /** With an error among them nothing was applied, and all else is empty. */
  readonly diagnostics: readonly Diagnostic[];
  /** By fleet key; only fleets for which something changed. A fleet that is gone has everything removed. */
  readonly fleets: ReadonlyMap<string, TableDelta>;
  /** Releases of the groups whose content changed, to be kept for the next full load. */
  readonly groupReleases: Readonly<Record<string, number>>;
  /** Names of what was compiled anew, sorted, whether or not its output changed. */
  readonly recompiled: {
    readonly groups: readonly string[];
    readonly clusters: readonly string[];
    readonly apps: readonly string[];
    readonly fleets: readonly string[];
  };
}

/**
 * Compiles one workspace: definitions in force go in, resources of each fleet come out. Pure in this sense: what it serves
 * depends only on what is in force (objects, credentials, registered endpoints, answers of DNS, the groups' releases), not on the way there. A
 * change costs what the objects it touches and their groups cost. Mistakes of users are returned, all at once; it throws only
 * for a bug, and is then as it was before.
 */
export class Compiler {
  readonly #workspace: string;
  readonly #objects = new Objects();
  readonly #resolver = new GroupResolver(this.#objects);
  readonly #clusters = new UsedClusters(this.#objects);
  readonly #grpc = new GrpcClusters(this.#objects, this.#clusters);
  readonly #groups = new Map<string, { content: GroupContent; release: number }>();
  readonly #fleets = new Map<string, FleetTable>();
  readonly #shared: SharedTable;
  #release = 0;
  /** The last trial, as long as nothing was applied since: applying the same change need not work it out again. */
  #tried: { readonly change: Change; readonly update: Update; readonly journal: Journal } | undefined;

  constructor(workspace: string) {
    this.#workspace = workspace;
    this.#shared = new SharedTable(workspace, this.#objects);
  }

  /** Release in force; 0 before the first change. */
  get release(): number {
    return this.#release;
  }

  /** What is wrong with `change`. The compiler stays as it is. */
  check(change: Change): Diagnostic[] {
    const journal = new Journal();
    try {
      return this.#stage(journal, change).diagnostics;
    } finally {
      journal.rollback();
    }
  }

  /**
   * What {@link apply} would return. The compiler stays as it is. Applying this very change next, before any other, costs
   * nothing more.
   */
  trial(change: Change): Update {
    const journal = new Journal();
    this.#tried = undefined;
    try {
      const update = this.#change(journal, change);
      if (!hasErrors(update.diagnostics)) this.#tried = { change, update, journal };
      return update;
    } finally {
      journal.rollback();
    }
  }

  /** Puts `change` in force unless it has errors. */
  apply(change: Change): Update {
    const tried = this.#tried;
    this.#tried = undefined;
    if (tried?.change === change) {
      tried.journal.replay();
      return tried.update;
    }
    const journal = new Journal();
    try {
      const update = this.#change(journal, change);
      if (hasErrors(update.diagnostics)) journal.rollback();
      return update;
    } catch (bug) {
      journal.rollback();
      throw bug;
    }
  }

  /** Keys of the fleets in force (`<workspace>/<name>`), sorted. */
  fleetKeys(): string[] {
    return [...this.#fleets.values()].map(({ ir }) => ir.key).sort();
  }

  /** Everything the fleet is served, in an order that depends on nothing else; nothing for an unknown key. */
  *resources(fleetKey: string): Iterable<Resource> {
    const fleet = [...this.#fleets.values()].find(({ ir }) => ir.key === fleetKey);
    if (!fleet) return;
    yield* this.#shared.table.values();
    yield* fleet.table.values();
  }

  /**
   * The fleet, resolved.
   *
   * @throws Error when no fleet of that name is in force.
   */
  gateway(fleetName: string): Gateway {
    const fleet = this.#fleets.get(fleetName);
    if (!fleet) throw new Error(`There is no fleet "${fleetName}" in workspace ${this.#workspace}`);
    return Object.freeze({
      fleet: fleet.ir,
      groups: Object.freeze(fleet.groups().sort((a, b) => byText(a.id, b.id))),
      clusters: Object.freeze(
        fleet
          .clusters()
          .map((name) => this.#clusters.ir(name))
          .sort((a, b) => byText(a.id, b.id)),
      ),
    });
  }

  /** The object in force. */
  find<K extends Kind>(kind: K, name: string): StoredObject<K> | undefined {
    return this.#objects.find(kind, name);
  }

  /** The object in force that has this id. */
  withId<K extends Kind>(kind: K, id: string): StoredObject<K> | undefined {
    const [name] = this.#objects.withId(kind, id);
    return name === undefined ? undefined : this.#objects.find(kind, name);
  }

  /** Keys of what clusters in force want DNS to be asked, each once; the same list until that changes. */
  questions(): readonly string[] {
    return this.#objects.clustersOfQuestion.lefts();
  }

  /** What DNS last answered; undefined: never anything. */
  answer(question: Question): Answer | undefined {
    return this.#objects.answer(question);
  }

  /** Release that last changed each group in force. */
  groupReleases(): Record<string, number> {
    return Object.fromEntries([...this.#groups].map(([name, { release }]) => [name, release]));
  }

  /** Takes the objects and credentials of `change` over and judges them. */
  #stage(journal: Journal, change: Change): { diagnostics: Diagnostic[]; touched: Touched[]; owners: Owner[] } {
    const touched = this.#objects.change(journal, change.upserts, change.removals);
    const owners = change.credentials ?? [];
    for (const { kind, name, credentials } of owners) {
      this.#objects.setCredentials(journal, { kind, name }, credentials);
    }
    for (const { cluster, endpoints } of change.endpoints ?? []) {
      this.#objects.setRegistered(journal, cluster, endpoints);
    }
    for (const answer of change.answers ?? []) this.#objects.setAnswer(journal, answer);
    return { diagnostics: findings(this.#objects, touched, owners), touched, owners: [...owners] };
  }

  #change(journal: Journal, change: Change): Update {
    const { diagnostics, touched, owners } = this.#stage(journal, change);
    if (hasErrors(diagnostics)) {
      const recompiled = { groups: [], clusters: [], apps: [], fleets: [] };
      return { diagnostics, fleets: new Map(), groupReleases: {}, recompiled };
    }
    const before = this.#release;
    journal.onRollback(
      () => {
        this.#release = before;
      },
      () => {
        this.#release = change.release;
      },
    );
    const affected = this.#affectedGroups(touched);
    const stamped = this.#resolveGroups(journal, change, affected);
    this.#release = change.release;
    const clusters = new Map<string, StoredObject<'cluster'> | undefined>();
    const joining = (change.endpoints ?? []).map(({ cluster }) => cluster);
    for (const answer of change.answers ?? [])
      joining.push(...this.#objects.clustersOfQuestion.of(questionKey(answer)));
    for (const cluster of joining) {
      const object = this.#objects.find('cluster', cluster);
      if (object) clusters.set(cluster, object);
    }
    for (const { kind, name, before } of touched) {
      if (kind === 'cluster') clusters.set(name, before as StoredObject<'cluster'> | undefined);
    }
    // Before anything else changes: what a fleet loses is what it was served.
    const fleets = this.#removeFleets(journal, touched);
    const apps = this.#shared.update(journal, touched, owners);
    const shared = this.#shared.table.settle(journal);
    const { groups, configured } = this.#updateFleets(journal, fleets, affected, clusters, shared);
    return {
      diagnostics,
      fleets,
      groupReleases: stamped,
      recompiled: { groups, clusters: [...clusters.keys()].sort(), apps, fleets: configured },
    };
  }

  /** Groups whose content may have changed: touched themselves, by an API, or by what routes take from a cluster. */
  #affectedGroups(touched: readonly Touched[]): Set<string> {
    const groups = new Set<string>();
    for (const { kind, name, before, after } of touched) {
      if (kind === 'group') groups.add(name);
      for (const object of [before, after]) if (object?.kind === 'api') groups.add(object.spec.group);
      if (kind !== 'cluster' || !after || sameLink(before, after)) continue;
      for (const api of this.#objects.apisOfCluster.of(name)) {
        const group = this.#objects.find('api', api)?.spec.group;
        if (group !== undefined) groups.add(group);
      }
    }
    return groups;
  }

  /** Resolves `names` anew and stamps those whose content changed; returns their releases. */
  #resolveGroups(journal: Journal, change: Change, names: ReadonlySet<string>): Record<string, number> {
    const loading = this.#release === 0 && this.#groups.size === 0;
    const stamped: [string, number][] = [];
    for (const name of [...names].sort()) {
      const group = this.#objects.find('group', name);
      if (!group) {
        journal.delete(this.#groups, name);
        continue;
      }
      const content = this.#resolver.content(group);
      const now = this.#groups.get(name);
      const given = Object.hasOwn(change.groupReleases ?? {}, name) ? change.groupReleases?.[name] : undefined;
      if (now?.content.hash === content.hash && (given ?? now.release) === now.release) continue;
      const release = given ?? (loading ? this.#newest(group) : change.release);
      journal.set(this.#groups, name, { content, release });
      stamped.push([name, release]);
    }
    return Object.fromEntries(stamped);
  }

  #newest(group: StoredObject<'group'>): number {
    let newest = group.release;
    for (const api of this.#objects.apisOfGroup.of(group.name)) {
      newest = Math.max(newest, this.#objects.find('api', api)?.release ?? 0);
    }
    return newest;
  }

  /** Takes out the fleets that are no longer in force; what they were served goes with them. */
  #removeFleets(journal: Journal, touched: readonly Touched[]): Map<string, TableDelta> {
    const deltas = new Map<string, TableDelta>();
    for (const { kind, name, after } of touched) {
      const gone = kind === 'fleet' && !after ? this.#fleets.get(name) : undefined;
      if (!gone) continue;
      const removals = [...this.resources(gone.ir.key)].map(({ type, name }) => ({ type, name }));
      deltas.set(gone.ir.key, { upserts: [], removals });
      journal.delete(this.#fleets, name);
    }
    return deltas;
  }

  /** Updates the fleets in force and adds what changed to `deltas`. */
  #updateFleets(
    journal: Journal,
    deltas: Map<string, TableDelta>,
    affected: ReadonlySet<string>,
    clusters: ReadonlyMap<string, StoredObject<'cluster'> | undefined>,
    shared: TableDelta,
  ): { groups: string[]; configured: string[] } {
    const compiled = new Set(affected);
    const configured: string[] = [];
    for (const object of this.#objects.all('fleet')) {
      const known = this.#fleets.get(object.name);
      const ir = resolveFleet(this.#workspace, object);
      const fleet = known ?? new FleetTable(ir);
      journal.onRollback(
        () => fleet.table.forget(),
        () => {},
      );
      const anew = !known || JSON.stringify(known.ir) !== JSON.stringify(ir);
      if (!known) journal.set(this.#fleets, object.name, fleet);
      if (anew) {
        fleet.configure(journal, ir);
        configured.push(object.name);
      }
      const groups = anew ? new Set([...affected, ...this.#groups.keys()]) : affected;
      const units = this.#units(fleet, object.name, groups, anew);
      if (anew) for (const group of units.keys()) compiled.add(group);
      this.#clusters.update(journal, fleet, units, clusters);
      this.#grpc.update(fleet, [...clusters.keys()], anew);
      const own = fleet.table.settle(journal);
      const delta = merged(own, known ? shared : { upserts: this.#shared.table.values(), removals: [] });
      if (!known || delta.upserts.length + delta.removals.length > 0) deltas.set(ir.key, delta);
    }
    return { groups: [...compiled].sort(), configured: configured.sort() };
  }

  /** What of `groups` is new for the fleet: an IR where it serves the group, nothing where it does no longer. */
  #units(fleet: FleetTable, name: string, groups: Iterable<string>, anew: boolean): GroupChanges {
    const units = new Map<string, { content: GroupContent; ir: GroupIr } | undefined>();
    for (const group of groups) {
      const object = this.#objects.find('group', group);
      const resolved = this.#groups.get(group);
      if (!object || !resolved || !serves(name, object)) {
        if (fleet.has(group)) units.set(group, undefined);
        continue;
      }
      const { content, release } = resolved;
      if (!anew && fleet.holds(group, content, release)) continue;
      units.set(group, { content, ir: this.#resolver.bind(content, release, fleet.ir) });
    }
    return units;
  }
}

/**
 * Compiles a whole workspace at once, as if all its objects were published.
 *
 * @param definitions conform to their schema.
 * @param options `workspace` default: the one the definitions name, else `default`; `release` default 1.
 * @returns a compiler that holds nothing when there are errors.
 */
export function compile(
  definitions: Definitions,
  options: { workspace?: string; release?: number; credentials?: NonNullable<Change['credentials']> } = {},
): { compiler: Compiler; diagnostics: Diagnostic[] } {
  const workspace = options.workspace ?? definitions.workspace ?? 'default';
  const release = options.release ?? 1;
  const compiler = new Compiler(workspace);
  const diagnostics: Diagnostic[] = [];
  const upserts = new Map<string, StoredObject>();
  for (const kind of KINDS) {
    for (const spec of (definitions[PLURAL[kind]] ?? []) as Spec[]) {
      const { name } = spec;
      const key = `${kind}\n${name}`;
      if (upserts.has(key)) {
        const message = `The ${kind} "${name}" is defined twice.`;
        diagnostics.push(diagnostic('duplicate-name', '/name', message, 'Rename or remove one.', { kind, name }));
      } else {
        const id = spec.id ?? deriveId(workspace, kind, name);
        upserts.set(key, { kind, name, id, spec, release } as StoredObject);
      }
    }
  }
  const change: Change = {
    release,
    upserts: [...upserts.values()],
    removals: [],
    ...(options.credentials && { credentials: options.credentials }),
  };
  if (hasErrors(diagnostics)) return { compiler, diagnostics: [...diagnostics, ...compiler.check(change)] };
  return { compiler, diagnostics: [...compiler.apply(change).diagnostics] };
}
