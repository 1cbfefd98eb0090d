import type { ClusterIr } from './cluster.js';
import type { FleetIr } from './fleet.js';
import type { GroupIr } from './group.js';

/**
 * One fleet, resolved: everything defaulted, every reference followed, everything sorted. The back ends (xds, policy) look
 * nothing up. Plain frozen data that can be printed as YAML; holds no secret.
 */
export interface Gateway {
  readonly fleet: FleetIr;
  /** Sorted by id. */
  readonly groups: readonly GroupIr[];
  /** Clusters that routes of these groups use; sorted by id. */
  readonly clusters: readonly ClusterIr[];
}
