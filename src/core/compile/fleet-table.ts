import type { Resource, ResourceName, TableDelta, TypeUrl } from '../ads/resource.js';
import type { FleetIr } from '../ir/fleet.js';
import type { GroupIr } from '../ir/group.js';
import type { PolicyIr } from '../ir/policy.js';
import { policyResource } from '../policy/policy.js';
import { fleetResources, groupResources } from '../xds/resources.js';
import { byText } from './frozen.js';
import type { GroupContent } from './group-content.js';
import type { Journal } from './journal.js';

/** Resources by type and name, and what the change at hand does to them. Changes are journalled. */
export class Table {
  readonly #resources = new Map<string, Resource>();
  /** What the change at hand puts (a resource) or drops (its name). */
  readonly #pending = new Map<string, Resource | ResourceName>();

  /** Everything in force, by type and name. */
  values(): Resource[] {
    return [...this.#resources].sort(([a], [b]) => byText(a, b)).map(([, resource]) => resource);
  }

  put(resource: Resource): void {
    this.#pending.set(keyOf(resource), resource);
  }

  drop({ type, name }: ResourceName): void {
    this.#pending.set(keyOf({ type, name }), { type, name });
  }

  /** Ends the change: puts into force what was put and dropped since the last call, and returns what that altered. */
  settle(journal: Journal): { upserts: Resource[]; removals: ResourceName[] } {
    const upserts: Resource[] = [];
    const removals: ResourceName[] = [];
    for (const [key, next] of [...this.#pending].sort(([a], [b]) => byText(a, b))) {
      const now = this.#resources.get(key);
      if ('bytes' in next) {
        if (now && equal(now, next)) continue;
        upserts.push(next);
        journal.set(this.#resources, key, next);
      } else if (now) {
        removals.push(next);
        journal.delete(this.#resources, key);
      }
    }
    this.#pending.clear();
    return { upserts, removals };
  }

  /** Forgets what was put and dropped since the last {@link settle}. */
  forget(): void {
    this.#pending.clear();
  }
}

const keyOf = ({ type, name }: { type: TypeUrl; name: string }): string => `${type}\n${name}`;

function equal(a: Resource, b: Resource): boolean {
  const needs = (resource: Resource) => (resource.needs ?? []).map(keyOf).join('\n');
  return a === b || (a.version === b.version && needs(a) === needs(b));
}

/** Groups by name, with what a fleet is to serve of them; undefined: nothing any longer. */
export type GroupChanges = ReadonlyMap<string, { readonly content: GroupContent; readonly ir: GroupIr } | undefined>;

/** What a group is compiled to for one fleet. */
interface Unit {
  readonly content: GroupContent;
  readonly ir: GroupIr;
  readonly policies: readonly PolicyIr[];
  readonly resources: readonly Resource[];
}

/**
 * What one fleet is served: its listeners, its groups, and the clusters and policies that these use, which live as long as a
 * group uses them.
 */
export class FleetTable {
  readonly table = new Table();
  readonly #units = new Map<string, Unit>();
  readonly #clusterUsers = new Map<string, number>();
  readonly #policyUsers = new Map<string, number>();
  #ir: FleetIr;
  #listeners: readonly Resource[] = [];

  constructor(ir: FleetIr) {
    this.#ir = ir;
  }

  get ir(): FleetIr {
    return this.#ir;
  }

  /** Group by group, in no order. */
  groups(): GroupIr[] {
    return [...this.#units.values()].map(({ ir }) => ir);
  }

  has(group: string): boolean {
    return this.#units.has(group);
  }

  /** Whether the group is served with just this content and release. */
  holds(group: string, content: GroupContent, release: number): boolean {
    const unit = this.#units.get(group);
    return unit?.content === content && unit.ir.release === release;
  }

  /** Names of the clusters the group uses, as it is served now. */
  clustersOf(group: string): readonly string[] {
    return this.#units.get(group)?.content.clusters ?? [];
  }

  uses(cluster: string): boolean {
    return this.#clusterUsers.has(cluster);
  }

  /** Names of clusters that groups use. */
  clusters(): string[] {
    return [...this.#clusterUsers.keys()];
  }

  /** Gives the fleet other settings; its groups must then be compiled anew. */
  configure(journal: Journal, ir: FleetIr): void {
    const [before, listeners] = [this.#ir, this.#listeners];
    const configured = fleetResources(ir);
    const set = (ir: FleetIr, listeners: readonly Resource[]) => {
      this.#ir = ir;
      this.#listeners = listeners;
    };
    journal.onRollback(
      () => set(before, listeners),
      () => set(ir, configured),
    );
    for (const listener of listeners) this.table.drop(listener);
    set(ir, configured);
    for (const listener of this.#listeners) this.table.put(listener);
  }

  /** Takes the groups out, then puts in those that have an IR: in this order, because a host may move from one to another. */
  update(journal: Journal, groups: GroupChanges): void {
    const touchedPolicies = new Map<string, PolicyIr>();
    const units = new Map<string, Unit>();
    for (const [name, next] of groups) {
      const before = this.#units.get(name);
      if (before) {
        for (const resource of before.resources) this.table.drop(resource);
        for (const cluster of before.content.clusters) count(journal, this.#clusterUsers, cluster, -1);
        for (const policy of before.policies) {
          count(journal, this.#policyUsers, policy.name, -1);
          touchedPolicies.set(policy.name, policy);
        }
        journal.delete(this.#units, name);
      }
      if (next)
        units.set(name, { ...next, policies: policiesOf(next.ir), resources: groupResources(next.ir, this.#ir) });
    }
    for (const [name, unit] of units) {
      for (const resource of unit.resources) this.table.put(resource);
      for (const cluster of unit.content.clusters) count(journal, this.#clusterUsers, cluster, 1);
      for (const policy of unit.policies) {
        count(journal, this.#policyUsers, policy.name, 1);
        touchedPolicies.set(policy.name, policy);
      }
      journal.set(this.#units, name, unit);
    }
    for (const policy of touchedPolicies.values()) {
      const resource = policyResource(policy);
      if (this.#policyUsers.has(policy.name)) this.table.put(resource);
      else this.table.drop(resource);
    }
  }
}

/** What changed in the fleet and in what all fleets share, together. */
export function merged(own: TableDelta, shared: TableDelta): TableDelta {
  return Object.freeze({
    upserts: [...shared.upserts, ...own.upserts],
    removals: [...own.removals, ...shared.removals],
  });
}

function policiesOf({ routes }: GroupIr): PolicyIr[] {
  return [...new Map(routes.flatMap(({ policy }) => (policy ? [[policy.name, policy] as const] : []))).values()];
}

function count(journal: Journal, users: Map<string, number>, name: string, by: 1 | -1): void {
  const now = (users.get(name) ?? 0) + by;
  if (now > 0) journal.set(users, name, now);
  else journal.delete(users, name);
}
