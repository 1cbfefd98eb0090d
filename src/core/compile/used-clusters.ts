import type { Resource } from '../ads/resource.js';
import type { Answer } from '../ir/answer.js';
import type { ClusterIr, EndpointIr } from '../ir/cluster.js';
import type { FleetIr } from '../ir/fleet.js';
import { clusterResources, endpointResource } from '../xds/resources.js';
import type { FleetTable, GroupChanges } from './fleet-table.js';
import type { Journal } from './journal.js';
import type { Objects, StoredObject } from './objects.js';
import { resolveCluster } from './resolve-cluster.js';

interface Compiled {
  readonly ir: ClusterIr;
  readonly registered: readonly EndpointIr[];
  readonly answers: readonly Answer[];
  /** The resources, the cluster first, by where nodes stand that do not say it. */
  readonly byHome: Map<string, readonly Resource[]>;
}

/** Keeps in the tables of fleets exactly the clusters that their groups use; compiles each cluster once for all fleets. */
export class UsedClusters {
  readonly #objects: Objects;
  readonly #compiled = new WeakMap<StoredObject<'cluster'>, Compiled>();

  constructor(objects: Objects) {
    this.#objects = objects;
  }

  /**
   * The cluster, resolved.
   *
   * @throws Error when it is not in force.
   */
  ir(name: string): ClusterIr {
    const cluster = this.#objects.find('cluster', name);
    if (!cluster) throw new Error(`Cluster ${name} is not in force`);
    return this.#compile(cluster).ir;
  }

  /**
   * Updates the groups of a fleet, and its clusters with them.
   *
   * @param changed clusters the change touched, or whose registered or resolved endpoints it did, with what they were before, if they were.
   */
  update(
    journal: Journal,
    fleet: FleetTable,
    groups: GroupChanges,
    changed: ReadonlyMap<string, StoredObject<'cluster'> | undefined>,
  ): void {
    const names = new Set(changed.keys());
    for (const group of groups.keys()) for (const name of fleet.clustersOf(group)) names.add(name);
    for (const next of groups.values()) for (const name of next?.content.clusters ?? []) names.add(name);
    const used = new Set([...names].filter((name) => fleet.uses(name)));
    fleet.update(journal, groups);
    for (const name of used) {
      const before = changed.has(name) ? changed.get(name) : this.#objects.find('cluster', name);
      if (before) for (const resource of this.#resources(before, fleet.ir)) fleet.table.drop(resource);
    }
    // After the drops: an id may have moved from one cluster to another.
    for (const name of names) {
      const cluster = fleet.uses(name) ? this.#objects.find('cluster', name) : undefined;
      if (cluster) for (const resource of this.#resources(cluster, fleet.ir)) fleet.table.put(resource);
    }
  }

  #compile(cluster: StoredObject<'cluster'>): Compiled {
    const registered = this.#objects.registered(cluster.name);
    const answers = this.#objects.answers(cluster);
    const known = this.#compiled.get(cluster);
    const sameAnswers = known?.answers.length === answers.length && known.answers.every((one, i) => one === answers[i]);
    if (known?.registered === registered && sameAnswers) return known;
    const ir = resolveCluster(cluster, registered, answers);
    const compiled: Compiled = { ir, registered, answers, byHome: new Map() };
    // Of a cluster that is as it was, only the endpoints are made anew when those registered or resolved have changed.
    for (const [home, [own]] of known?.byHome ?? [])
      if (own && ir.discovery === 'eds') compiled.byHome.set(home, [own]);
    this.#compiled.set(cluster, compiled);
    return compiled;
  }

  #resources(cluster: StoredObject<'cluster'>, { place }: FleetIr): readonly Resource[] {
    const { ir, byHome } = this.#compile(cluster);
    const home = place ? JSON.stringify(place) : '';
    const known = byHome.get(home);
    if (known && (known.length === 2 || ir.discovery === 'dns')) return known;
    const [own] = known ?? [];
    const resources = own ? [own, endpointResource(ir, place)] : clusterResources(ir, place);
    byHome.set(home, resources);
    return resources;
  }
}
