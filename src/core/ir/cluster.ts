import type { Place } from './place.js';

export interface ClusterIr {
  readonly id: string;
  readonly name: string;
  /** Short hash of how its backends are spoken to; absent: HTTP/1.1 in plain text, or names that Envoy resolves. */
  readonly transport?: string;
  readonly protocol: 'http1' | 'http2';
  /** eds: IP addresses, delivered as endpoints; dns: names, resolved by Envoy. */
  readonly discovery: 'eds' | 'dns';
  readonly endpoints: readonly EndpointIr[];
  /** Whether all endpoints of the definition come from names, which TLS can verify. */
  readonly named?: true;
  readonly loadBalancing: 'round_robin' | 'random' | 'least_request';
  readonly connectTimeoutMs: number;
  readonly circuitBreaker: {
    readonly maxConnections: number;
    readonly maxPendingRequests: number;
    readonly maxRequests: number;
    readonly maxRetries: number;
  };
  readonly healthCheck?: {
    readonly path: string;
    readonly intervalMs: number;
    readonly timeoutMs: number;
    readonly healthyThreshold: number;
    readonly unhealthyThreshold: number;
  };
  readonly outlierDetection?: {
    readonly consecutive5xx: number;
    readonly intervalMs: number;
    readonly baseEjectionTimeMs: number;
    readonly maxEjectionPercent: number;
  };
  readonly tls?: { readonly sni?: string; readonly caPem?: string };
}

export interface EndpointIr {
  readonly host: string;
  readonly port: number;
  readonly weight: number;
  /** Name that led to the address. */
  readonly hostname?: string;
  /** Rank of its SRV priority within its name, 0 (also when absent) before 1. */
  readonly tier?: number;
  /** Absent: it is not said where the endpoint stands. */
  readonly place?: Place;
}
