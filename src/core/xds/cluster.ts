import { create, type MessageInitShape } from '@bufbuild/protobuf';
import {
  type Cluster,
  ClusterSchema,
  Cluster_DiscoveryType as DiscoveryType,
  Cluster_DnsLookupFamily as DnsLookupFamily,
  Cluster_LbPolicy as LbPolicy,
} from '../../gen/envoy/config/cluster/v3/cluster_pb.js';
import { RoutingPriority } from '../../gen/envoy/config/core/v3/base_pb.js';
import type { HealthCheckSchema } from '../../gen/envoy/config/core/v3/health_check_pb.js';
import { HttpProtocolOptionsSchema } from '../../gen/envoy/extensions/upstreams/http/v3/http_protocol_options_pb.js';
import { CodecClientType } from '../../gen/envoy/type/v3/http_pb.js';
import type { ClusterIr } from '../ir/cluster.js';
import type { Place } from '../ir/place.js';
import { any, duration } from './any.js';
import { ADS_SOURCE } from './config-source.js';
import { loadAssignment } from './endpoint.js';
import { clusterName } from './names.js';
import { transportSocket } from './transport-socket.js';

/** A connection to a backend without requests is closed after this; most servers close theirs later. */
const UPSTREAM_IDLE_MS = 60_000;

const LB_POLICY = {
  round_robin: LbPolicy.ROUND_ROBIN,
  random: LbPolicy.RANDOM,
  least_request: LbPolicy.LEAST_REQUEST,
} as const;

/** The cluster: endpoints by EDS when they are IP addresses, else inside it, as seen `from` a place, and resolved by Envoy. */
export function clusterOf(cluster: ClusterIr, from?: Place): Cluster {
  const { maxConnections, maxPendingRequests, maxRequests, maxRetries } = cluster.circuitBreaker;
  return create(ClusterSchema, {
    name: clusterName(cluster),
    // Metrics and logs tell the id, whatever the transport.
    ...(cluster.transport !== undefined && { altStatName: cluster.id }),
    ...discoveryOf(cluster, from),
    connectTimeout: duration(cluster.connectTimeoutMs),
    lbPolicy: LB_POLICY[cluster.loadBalancing],
    circuitBreakers: {
      thresholds: [{ priority: RoutingPriority.DEFAULT, maxConnections, maxPendingRequests, maxRequests, maxRetries }],
    },
    typedExtensionProtocolOptions: { [HttpProtocolOptionsSchema.typeName]: httpProtocolOptions(cluster) },
    ...(cluster.healthCheck && {
      healthChecks: [healthCheck(cluster, cluster.healthCheck)],
      // A host taken out of the list is gone at once, not when its checks fail.
      ignoreHealthOnHostRemoval: true,
    }),
    ...(cluster.outlierDetection && { outlierDetection: outlierDetection(cluster.outlierDetection) }),
    ...(cluster.tls && { transportSocket: transportSocket(cluster, cluster.tls) }),
    upstreamConnectionOptions: { tcpKeepalive: { keepaliveTime: 60 } },
  });
}

/** Endpoints that come over the same stream, under the cluster's name. */
export const EDS = {
  clusterDiscoveryType: { case: 'type' as const, value: DiscoveryType.EDS },
  edsClusterConfig: { edsConfig: ADS_SOURCE },
};

function discoveryOf(cluster: ClusterIr, from: Place | undefined) {
  if (cluster.discovery === 'eds') return EDS;
  return {
    clusterDiscoveryType: { case: 'type' as const, value: DiscoveryType.STRICT_DNS },
    dnsLookupFamily: DnsLookupFamily.V4_PREFERRED,
    respectDnsTtl: true,
    loadAssignment: loadAssignment(cluster, from),
  };
}

/** How to speak to the backend. */
export function httpProtocolOptions({ protocol }: ClusterIr) {
  return any(HttpProtocolOptionsSchema, {
    commonHttpProtocolOptions: { idleTimeout: duration(UPSTREAM_IDLE_MS) },
    upstreamProtocolOptions: {
      case: 'explicitHttpConfig',
      value: {
        protocolConfig:
          protocol === 'http2'
            ? { case: 'http2ProtocolOptions', value: {} }
            : { case: 'httpProtocolOptions', value: {} },
      },
    },
  });
}

function healthCheck(
  cluster: ClusterIr,
  check: NonNullable<ClusterIr['healthCheck']>,
): MessageInitShape<typeof HealthCheckSchema> {
  return {
    timeout: duration(check.timeoutMs),
    interval: duration(check.intervalMs),
    // Envoy would check once a minute until the first request comes, and know nothing of the hosts by then.
    noTrafficInterval: duration(check.intervalMs),
    healthyThreshold: check.healthyThreshold,
    unhealthyThreshold: check.unhealthyThreshold,
    healthChecker: {
      case: 'httpHealthCheck',
      value: {
        path: check.path,
        codecClientType: cluster.protocol === 'http2' ? CodecClientType.HTTP2 : CodecClientType.HTTP1,
      },
    },
  };
}

/** When hosts that fail are left out for a while. */
export function outlierDetection(outlier: NonNullable<ClusterIr['outlierDetection']>) {
  return {
    consecutive5xx: outlier.consecutive5xx,
    interval: duration(outlier.intervalMs),
    baseEjectionTime: duration(outlier.baseEjectionTimeMs),
    // Envoy refuses a base above the maximum, which is 5 min unless told.
    maxEjectionTime: duration(Math.max(outlier.baseEjectionTimeMs, 300_000)),
    maxEjectionPercent: outlier.maxEjectionPercent,
  };
}
