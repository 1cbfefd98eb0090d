import { type Resource, type ResourceName, TYPE } from '../ads/resource.js';
import type { ClusterIr } from '../ir/cluster.js';
import type { FleetIr } from '../ir/fleet.js';
import { forGrpcClients, grpcResources } from '../xds/grpc-client.js';
import { grpcEndpoints } from '../xds/grpc-endpoint.js';
import { grpcName } from '../xds/names.js';
import type { Table } from './fleet-table.js';
import type { Objects, StoredObject } from './objects.js';
import type { UsedClusters } from './used-clusters.js';

/**
 * Keeps in the tables of fleets what gRPC clients are told of every cluster they can reach, whether or not an API uses it: these
 * resources are given by name only, so they cost Envoys nothing, and who calls a service without a proxy needs no API for it.
 */
export class GrpcClusters {
  readonly #objects: Objects;
  readonly #clusters: UsedClusters;
  /** What does not change when endpoints do. */
  readonly #own = new WeakMap<StoredObject<'cluster'>, readonly Resource[]>();
  /** By where clients stand that do not say it. */
  readonly #endpoints = new WeakMap<ClusterIr, Map<string, Resource>>();

  constructor(objects: Objects, clusters: UsedClusters) {
    this.#objects = objects;
    this.#clusters = clusters;
  }

  /**
   * Updates the table of `fleet`. Costs what `changed` holds.
   *
   * @param changed clusters that changed or are gone, or whose endpoints did.
   * @param all the others too, as for a fleet that is new or was moved.
   */
  update(
    { table, ir }: { readonly table: Table; readonly ir: FleetIr },
    changed: readonly string[],
    all: boolean,
  ): void {
    const others = all ? [...this.#objects.all('cluster')].map(({ name }) => name) : [];
    for (const name of new Set([...changed, ...others])) {
      for (const resource of everythingOf(name)) table.drop(resource);
      const cluster = this.#objects.find('cluster', name);
      if (cluster) for (const resource of this.#resources(cluster, ir)) table.put(resource);
    }
  }

  #resources(cluster: StoredObject<'cluster'>, { place }: FleetIr): Resource[] {
    // Of most clusters this is all there is to do.
    if (cluster.spec.protocol !== 'http2') return [];
    const ir = this.#clusters.ir(cluster.name);
    if (!forGrpcClients(ir)) return [];
    const own = this.#own.get(cluster) ?? grpcResources(ir, cluster.release);
    this.#own.set(cluster, own);
    if (ir.discovery === 'dns') return [...own];
    const byHome = this.#endpoints.get(ir) ?? new Map<string, Resource>();
    this.#endpoints.set(ir, byHome);
    const home = place ? JSON.stringify(place) : '';
    const endpoints = byHome.get(home) ?? grpcEndpoints(ir, place);
    byHome.set(home, endpoints);
    return [...own, endpoints];
  }
}

function everythingOf(cluster: string): ResourceName[] {
  const name = grpcName({ name: cluster });
  return [TYPE.listener, TYPE.cluster, TYPE.endpoint].map((type) => ({ type, name }));
}
