import type { Place } from './place.js';

export interface ClusterIr {
  readonly id: string;
  readonly name: string;
  readonly protocol: 'http1' | 'http2';
  /** eds: IP addresses, delivered as endpoints; dns: names, resolved by Envoy. */
  readonly discovery: 'eds' | 'dns';
  readonly endpoints: readonly EndpointIr[];
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
  /** Absent: it is not said where the endpoint stands. */
  readonly place?: Place;
}
