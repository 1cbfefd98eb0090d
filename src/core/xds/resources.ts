import { toBinary } from '@bufbuild/protobuf';
import { ClusterSchema } from '../../gen/envoy/config/cluster/v3/cluster_pb.js';
import { ClusterLoadAssignmentSchema } from '../../gen/envoy/config/endpoint/v3/endpoint_pb.js';
import { ListenerSchema } from '../../gen/envoy/config/listener/v3/listener_pb.js';
import { ScopedRouteConfigurationSchema } from '../../gen/envoy/config/route/v3/scoped_route_pb.js';
import { type Resource, type ResourceName, resource, TYPE } from '../ads/resource.js';
import type { ClusterIr } from '../ir/cluster.js';
import type { FleetIr } from '../ir/fleet.js';
import type { GroupIr } from '../ir/group.js';
import type { Place } from '../ir/place.js';
import { clusterOf } from './cluster.js';
import { encoded } from './encoded.js';
import { loadAssignment, varying } from './endpoint.js';
import { listenerOf } from './listener.js';
import { clusterName, routeConfigurationName, scopeName } from './names.js';
import { routeConfiguration } from './route-configuration.js';
import { scopeOf } from './scope.js';

/**
 * What Envoys of `fleet` are told of a group: its route table, which needs the clusters it sends to and the policies it names,
 * and one scope for each host, which needs the table. Pure and deterministic: equal input, equal bytes.
 */
export function groupResources(group: GroupIr, fleet: FleetIr): Resource[] {
  const name = routeConfigurationName(group);
  const table: ResourceName = { type: TYPE.route, name };
  const clusters = group.routes.flatMap(({ action }) => (action.kind === 'forward' ? action.clusters : []));
  const policies = new Set(group.routes.flatMap(({ policy }) => (policy ? [policy.name] : [])));
  // Envoy never sees a policy, but its edge must keep those that routes in force name.
  const needs: ResourceName[] = [
    ...clusters.map((cluster) => ({ type: TYPE.cluster, name: clusterName(cluster) })),
    ...[...policies].map((name) => ({ type: TYPE.policy, name })),
  ];
  return [
    resource(TYPE.route, name, routeConfiguration(group, fleet), needs),
    ...group.hosts.map((host) =>
      encoded(TYPE.scope, scopeName(host), ScopedRouteConfigurationSchema, scopeOf(host, group), [table]),
    ),
  ];
}

/**
 * What Envoys are told of a cluster: itself, and its endpoints where they are delivered apart.
 *
 * @param home where nodes stand that do not say it themselves.
 */
export function clusterResources(cluster: ClusterIr, home?: Place): Resource[] {
  const name = clusterName(cluster);
  if (cluster.discovery === 'eds')
    return [encoded(TYPE.cluster, name, ClusterSchema, clusterOf(cluster)), endpointResource(cluster, home)];
  return [
    varying(cluster, encoded(TYPE.cluster, name, ClusterSchema, clusterOf(cluster, home)), (from) =>
      toBinary(ClusterSchema, clusterOf(cluster, from)),
    ),
  ];
}

/** The endpoints of a cluster, where they are delivered apart from it; `home` as for {@link clusterResources}. */
export function endpointResource(cluster: ClusterIr, home?: Place): Resource {
  const base = encoded(TYPE.endpoint, clusterName(cluster), ClusterLoadAssignmentSchema, loadAssignment(cluster, home));
  return varying(cluster, base, (from) => toBinary(ClusterLoadAssignmentSchema, loadAssignment(cluster, from)));
}

/** What Envoys are told of their fleet: its listeners. They do not change when groups, clusters or endpoints do. */
export function fleetResources(fleet: FleetIr): Resource[] {
  return fleet.listeners.map((listener) =>
    encoded(TYPE.listener, listener.name, ListenerSchema, listenerOf(listener, fleet)),
  );
}
