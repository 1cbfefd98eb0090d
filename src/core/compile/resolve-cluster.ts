import type { ClusterIr } from '../ir/cluster.js';
import { ipVersion } from '../model/host.js';
import { byText, frozen } from './frozen.js';
import type { StoredObject } from './objects.js';

/** The cluster with everything defaulted. Its endpoints are all of one sort (a rule of the model). */
export function resolveCluster({ id, name, spec }: StoredObject<'cluster'>): ClusterIr {
  const { healthCheck, outlierDetection, tls } = spec;
  return frozen<ClusterIr>({
    id,
    name,
    protocol: spec.protocol ?? 'http1',
    discovery: spec.endpoints.every(({ host }) => ipVersion(host) !== undefined) ? 'eds' : 'dns',
    endpoints: spec.endpoints
      .map(({ host, port, weight }) => ({ host: host.toLowerCase(), port, weight: weight ?? 1 }))
      .sort((a, b) => byText(a.host, b.host) || a.port - b.port),
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
