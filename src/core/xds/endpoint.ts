import { create, type MessageInitShape } from '@bufbuild/protobuf';
import type { LbEndpointSchema } from '../../gen/envoy/config/endpoint/v3/endpoint_components_pb.js';
import {
  type ClusterLoadAssignment,
  ClusterLoadAssignmentSchema,
} from '../../gen/envoy/config/endpoint/v3/endpoint_pb.js';
import { placed, type Resource } from '../ads/resource.js';
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
  const endpoints = roomsFrom(cluster, from).map(({ priority, place, endpoints }) => ({
    priority,
    ...(place && { locality: { region: place.region, zone: place.zone, subZone: place.room } }),
    lbEndpoints: endpoints.map((endpoint) => lbEndpoint(cluster, endpoint)),
  }));
  return create(ClusterLoadAssignmentSchema, { clusterName: clusterName(cluster), endpoints });
}

/** `base`, which tells all endpoints of a cluster and where they stand, and what other places make of it. */
export function varying(cluster: ClusterIr, base: Resource, bytesFrom: (place: Place) => Uint8Array): Resource {
  const everywhereAlike = cluster.endpoints.every(({ place }) => place === undefined);
  return everywhereAlike ? base : placed(base, (place) => viewFrom(cluster, place), bytesFrom);
}

/** Equal texts: nodes at the two places see the cluster alike. There are no more texts than its own places tell apart. */
function viewFrom(cluster: ClusterIr, from: Place): string {
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
    const key = `${placeKey(place)}\n${String(tier).padStart(6, '0')}`;
    const room = rooms.get(key);
    if (room) room.endpoints.push(endpoint);
    else rooms.set(key, { place, tier, endpoints: [endpoint] });
  }
  return [...rooms].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, room]) => room);
}

/** The rooms with their priorities as seen `from` a place, the first priority first. */
export function roomsFrom(cluster: ClusterIr, from: Place): (Room & { readonly priority: number })[] {
  const rooms = roomsOf(cluster);
  const order = priorities(from, rooms);
  return rooms.map((room, i) => ({ ...room, priority: order[i] ?? 0 })).sort((a, b) => a.priority - b.priority);
}

/** Equal for equal places. */
export function placeKey(place: Place | undefined): string {
  return place ? `${place.region}\n${place.zone}\n${place.room}` : '';
}

/** One host. */
export function lbEndpoint(
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
        address: { address: { case: 'socketAddress', value: socketAddress(host, port) } },
      },
    },
  };
}

/** A host, by address or name, and its port. */
export const socketAddress = (address: string, port: number) => ({
  address,
  portSpecifier: { case: 'portValue' as const, value: port },
});
