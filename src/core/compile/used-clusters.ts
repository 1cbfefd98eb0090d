import type { Resource } from '../ads/resource.js';
import type { ClusterIr, EndpointIr } from '../ir/cluster.js';
import { clusterResources, endpointResource } from '../xds/resources.js';
import type { FleetTable, GroupChanges } from './fleet-table.js';
import type { Journal } from './journal.js';
import type { Objects, StoredObject } from './objects.js';
import { resolveCluster } from './resolve-cluster.js';

interface Compiled {
  readonly ir: ClusterIr;
  /** The cluster first. */
  readonly resources: readonly Resource[];
  readonly registered: readonly EndpointIr[];
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
   * @param changed clusters the change touched, or whose registered endpoints it did, with what they were before, if they were.
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
      if (before) for (const resource of this.#compile(before).resources) fleet.table.drop(resource);
    }
    // After the drops: an id may have moved from one cluster to another.
    for (const name of names) {
      const cluster = fleet.uses(name) ? this.#objects.find('cluster', name) : undefined;
      if (cluster) for (const resource of this.#compile(cluster).resources) fleet.table.put(resource);
    }
  }

  /** Of a cluster that is as it was, only the endpoints are compiled anew when those that registered have changed. */
  #compile(cluster: StoredObject<'cluster'>): Compiled {
    const registered = this.#objects.registered(cluster.name);
    const known = this.#compiled.get(cluster);
    if (known?.registered === registered) return known;
    const ir = resolveCluster(cluster, registered);
    const [own] = known?.resources ?? [];
    const resources = own && ir.discovery === 'eds' ? [own, endpointResource(ir)] : clusterResources(ir);
    const compiled = { ir, resources, registered };
    this.#compiled.set(cluster, compiled);
    return compiled;
  }
}
