import { create, type MessageInitShape } from '@bufbuild/protobuf';
import type { LbEndpointSchema } from '../../gen/envoy/config/endpoint/v3/endpoint_components_pb.js';
import {
  type ClusterLoadAssignment,
  ClusterLoadAssignmentSchema,
} from '../../gen/envoy/config/endpoint/v3/endpoint_pb.js';
import type { ClusterIr, EndpointIr } from '../ir/cluster.js';
import type { Place } from '../ir/place.js';
import { clusterName } from './names.js';
import { NOWHERE, priorities } from './priority.js';

/**
 * The hosts of a cluster as a node at `from` is to prefer them. Envoy goes on to the next priority in the measure in which hosts
 * of one are ill (health checks, outlier detection), and comes back. Without any host, it answers that there is none to send to
 * (4000). Where `from` is nowhere, all have one priority; the message tells all places in any case.
 */
export function loadAssignment(cluster: ClusterIr, from: Place = NOWHERE): ClusterLoadAssignment {
  const rooms = roomsOf(cluster);
  const order = priorities(from, rooms);
  const endpoints = rooms.map(({ place, endpoints }, i) => ({
    priority: order[i] ?? 0,
    ...(place && { locality: { region: place.region, zone: place.zone, subZone: place.room } }),
    lbEndpoints: endpoints.map((endpoint) => lbEndpoint(cluster, endpoint)),
  }));
  return create(ClusterLoadAssignmentSchema, {
    clusterName: clusterName(cluster),
    endpoints: endpoints.sort((a, b) => a.priority - b.priority),
  });
}

/** Whether the hosts of a cluster are the same from everywhere. */
export function isEverywhereAlike(cluster: ClusterIr): boolean {
  return cluster.endpoints.every(({ place }) => place === undefined);
}

/** Equal texts: nodes at the two places see the cluster alike. There are no more texts than its own places tell apart. */
export function viewFrom(cluster: ClusterIr, from: Place): string {
  return priorities(from, roomsOf(cluster)).join();
}

interface Room {
  readonly place: Place | undefined;
  readonly tier: number;
  readonly endpoints: EndpointIr[];
}

/** The hosts by where they stand and their tier; first those that do not say where, then in the order of the places' names. */
function roomsOf({ endpoints }: ClusterIr): Room[] {
  const rooms = new Map<string, Room>();
  for (const endpoint of endpoints) {
    const { place, tier = 0 } = endpoint;
    const key = `${place ? `${place.region}\n${place.zone}\n${place.room}` : ''}\n${String(tier).padStart(6, '0')}`;
    const room = rooms.get(key);
    if (room) room.endpoints.push(endpoint);
    else rooms.set(key, { place, tier, endpoints: [endpoint] });
  }
  return [...rooms].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, room]) => room);
}

function lbEndpoint(
  { discovery }: ClusterIr,
  { host, port, weight, hostname = discovery === 'dns' ? host : undefined }: EndpointIr,
): MessageInitShape<typeof LbEndpointSchema> {
  return {
    loadBalancingWeight: weight,
    hostIdentifier: {
      case: 'endpoint',
      value: {
        // The name for SNI (auto_host_sni); the Host header is the client's or the API's.
        ...(hostname !== undefined && { hostname }),
        address: {
          address: {
            case: 'socketAddress',
            value: { address: host, portSpecifier: { case: 'portValue', value: port } },
          },
        },
      },
    },
  };
}
