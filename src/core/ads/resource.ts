import { createHash } from 'node:crypto';

/** Type URLs the control plane serves. Order = order in which additions are sent (xDS "make before break"); removals go in reverse. */
export const TYPE = {
  policy: 'type.googleapis.com/paifang.v1.Policy',
  app: 'type.googleapis.com/paifang.v1.App',
  serviceKey: 'type.googleapis.com/paifang.v1.ServiceKey',
  secret: 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret',
  cluster: 'type.googleapis.com/envoy.config.cluster.v3.Cluster',
  endpoint: 'type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment',
  listener: 'type.googleapis.com/envoy.config.listener.v3.Listener',
  route: 'type.googleapis.com/envoy.config.route.v3.RouteConfiguration',
  scope: 'type.googleapis.com/envoy.config.route.v3.ScopedRouteConfiguration',
} as const;
export type TypeUrl = (typeof TYPE)[keyof typeof TYPE];

/** Types that hold secrets: only streams that proved to belong to the fleet get them. */
export const SECRET_TYPES: ReadonlySet<string> = new Set([TYPE.app, TYPE.serviceKey, TYPE.secret]);

/**
 * Resources whose names begin so are given only to who names them, never to who asks for all there is: Envoys neither see nor
 * pay for them. No id, host or name of a listener has a slash, so nothing else is called so.
 */
export const BY_NAME = 'grpc/';

/** Whether a wildcard leaves this name out. */
export const byNameOnly = (name: string): boolean => name.startsWith(BY_NAME);

/** One resource, encoded once and shared by all streams. Frozen. */
export interface Resource {
  readonly type: TypeUrl;
  readonly name: string;
  /** First 16 hex digits of SHA-256 of `bytes`: equal content has an equal version on every replica and after every restart. */
  readonly version: string;
  /** The message itself (not wrapped in Any), in canonical protobuf encoding. */
  readonly bytes: Uint8Array;
  /** Names of other resources this one needs to be in force first, e.g. the clusters of a route table. Sorted. */
  readonly needs?: readonly ResourceName[];
  /**
   * Where nodes at different places are given different bytes: what a node at `place` is given; made on demand and shared by the
   * nodes that are given the same. Its version is this one's: this one's bytes tell everything the others are made from.
   */
  readonly at?: (place: Place) => Resource;
}

/** Where a node stands, as its bootstrap says; `''`: not said. */
export interface Place {
  readonly region: string;
  readonly zone: string;
  /** Envoy's sub-zone. */
  readonly room: string;
}

export interface ResourceName {
  readonly type: TypeUrl;
  readonly name: string;
}

/** What changed for one fleet. Names are disjoint between the two lists; an upsert may equal what is there (then nothing is sent). */
export interface TableDelta {
  readonly upserts: readonly Resource[];
  readonly removals: readonly ResourceName[];
}

/**
 * The resource with this content: versioned by it, `needs` without repetition in canonical order. Pure.
 *
 * @param bytes the message in canonical protobuf encoding; must not be changed afterwards.
 */
export function resource(
  type: TypeUrl,
  name: string,
  bytes: Uint8Array,
  needs: readonly ResourceName[] = [],
): Resource {
  const version = createHash('sha256').update(bytes).digest('hex').slice(0, 16);
  if (needs.length === 0) return Object.freeze({ type, name, version, bytes });
  const byKey = new Map(needs.map((need) => [`${need.type}\n${need.name}`, need]));
  const sorted = [...byKey].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, need]) => need);
  return Object.freeze({ type, name, version, bytes, needs: Object.freeze(sorted) });
}

/**
 * `base`, with other bytes for nodes that say where they stand.
 *
 * @param viewFrom equal texts for places whose nodes are given the same; there must be few.
 */
export function placed(
  base: Resource,
  viewFrom: (place: Place) => string,
  bytesFrom: (place: Place) => Uint8Array,
): Resource {
  const made = new Map<string, Resource>();
  const at = (place: Place): Resource => {
    const view = viewFrom(place);
    const known = made.get(view);
    if (known) return known;
    const own = Object.freeze({ ...base, bytes: bytesFrom(place) });
    made.set(view, own);
    return own;
  };
  return Object.freeze({ ...base, at });
}
