import type { ClusterIr, EndpointIr } from '../ir/cluster.js';
import { canonicalIp, ipVersion } from '../model/host.js';
import { byText, frozen } from './frozen.js';
import type { StoredObject } from './objects.js';
import { placeOf } from './resolve-fleet.js';

/**
 * The cluster with everything defaulted. Its endpoints are all of one sort (a rule of the model).
 *
 * @param registered join those of the definition where these are IP addresses; what is registered under the same address counts.
 */
export function resolveCluster(
  { id, name, spec }: StoredObject<'cluster'>,
  registered: readonly EndpointIr[] = [],
): ClusterIr {
  const { healthCheck, outlierDetection, tls } = spec;
  const discovery = discoveryOf(spec);
  return frozen<ClusterIr>({
    id,
    name,
    protocol: spec.protocol ?? 'http1',
    discovery,
    endpoints: joined(spec, discovery === 'eds' ? registered : []),
    loadBalancing: spec.loadBalancing ?? 'round_robin',
    connectTimeoutMs: spec.connectTimeoutMs ?? 1000,
    circuitBreaker: {
      maxConnections: spec.circuitBreaker?.maxConnections ?? 1024,
      maxPendingRequests: spec.circuitBreaker?.maxPendingRequests ?? 1024,
      maxRequests: spec.circuitBreaker?.maxRequests ?? 1024,
      maxRetries: spec.circuitBreaker?.maxRetries ?? 3,
    },
    ...(healthCheck && {
      healthCheck: {
        path: healthCheck.path,
        intervalMs: healthCheck.intervalMs ?? 5000,
        timeoutMs: healthCheck.timeoutMs ?? 1000,
        healthyThreshold: healthCheck.healthyThreshold ?? 1,
        unhealthyThreshold: healthCheck.unhealthyThreshold ?? 3,
      },
    }),
    ...(outlierDetection && {
      outlierDetection: {
        consecutive5xx: outlierDetection.consecutive5xx ?? 5,
        intervalMs: outlierDetection.intervalMs ?? 10_000,
        baseEjectionTimeMs: outlierDetection.baseEjectionTimeMs ?? 30_000,
        maxEjectionPercent: outlierDetection.maxEjectionPercent ?? 10,
      },
    }),
    ...(tls && { tls: { ...tls } }),
  });
}

/** How Envoy learns of the endpoints: told by us, or by resolving their names. */
export function discoveryOf({ endpoints }: StoredObject<'cluster'>['spec']): ClusterIr['discovery'] {
  return endpoints.every(({ host }) => ipVersion(host) !== undefined) ? 'eds' : 'dns';
}

function joined({ endpoints }: StoredObject<'cluster'>['spec'], registered: readonly EndpointIr[]): EndpointIr[] {
  const own = endpoints.map(
    ({ host, port, weight, ...place }): EndpointIr => ({
      host: host.toLowerCase(),
      port,
      weight: weight ?? 1,
      ...(place.region !== undefined && { place: placeOf(place) }),
    }),
  );
  const byAddress = new Map([...own, ...registered].map((e) => [`${canonicalIp(e.host)}\n${e.port}`, e]));
  return [...byAddress.values()].sort((a, b) => byText(a.host, b.host) || a.port - b.port);
}
