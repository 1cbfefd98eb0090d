import { create, toBinary } from '@bufbuild/protobuf';
import {
  type ClusterLoadAssignment,
  ClusterLoadAssignmentSchema,
} from '../../gen/envoy/config/endpoint/v3/endpoint_pb.js';
import { type Resource, TYPE } from '../ads/resource.js';
import type { ClusterIr, EndpointIr } from '../ir/cluster.js';
import type { Place } from '../ir/place.js';
import { encoded } from './encoded.js';
import { lbEndpoint, placeKey, roomsFrom, varying } from './endpoint.js';
import { grpcName } from './names.js';
import { NOWHERE } from './priority.js';

/**
 * The endpoints of a cluster for gRPC clients, where they are IP addresses.
 *
 * @param home where clients stand that do not say it themselves.
 */
export function grpcEndpoints(cluster: ClusterIr, home?: Place): Resource {
  const base = encoded(TYPE.endpoint, grpcName(cluster), ClusterLoadAssignmentSchema, loadAssignment(cluster, home));
  return varying(cluster, base, (from) => toBinary(ClusterLoadAssignmentSchema, loadAssignment(cluster, from)));
}

/**
 * The same hosts with the same priorities as Envoys are told. gRPC clients refuse a locality that is left out or comes twice with
 * one priority, and ignore one without a weight (gRFC A27). Hosts of a priority share its calls by locality, not all together as
 * at Envoy, so a locality weighs what its hosts do.
 */
function loadAssignment(cluster: ClusterIr, from: Place = NOWHERE): ClusterLoadAssignment {
  const localities = new Map<string, { priority: number; place: Place; hosts: EndpointIr[] }>();
  for (const { priority, place = NOWHERE, endpoints } of roomsFrom(cluster, from)) {
    const key = `${priority}\n${placeKey(place)}`;
    const known = localities.get(key);
    if (known) known.hosts.push(...endpoints);
    else localities.set(key, { priority, place, hosts: [...endpoints] });
  }
  return create(ClusterLoadAssignmentSchema, {
    clusterName: grpcName(cluster),
    endpoints: [...localities.values()].map(({ priority, place, hosts }) => ({
      priority,
      locality: { region: place.region, zone: place.zone, subZone: place.room },
      loadBalancingWeight: hosts.reduce((sum, { weight }) => sum + weight, 0),
      lbEndpoints: hosts.map((host) => lbEndpoint(cluster, host)),
    })),
  });
}
