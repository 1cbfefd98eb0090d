import { create, type MessageInitShape } from '@bufbuild/protobuf';
import {
  type Cluster,
  ClusterSchema,
  Cluster_DiscoveryType as DiscoveryType,
  Cluster_DnsLookupFamily as DnsLookupFamily,
  Cluster_LbPolicy as LbPolicy,
  type LoadBalancingPolicySchema,
} from '../../gen/envoy/config/cluster/v3/cluster_pb.js';
import { RoutingPriority } from '../../gen/envoy/config/core/v3/base_pb.js';
import { type Listener, ListenerSchema } from '../../gen/envoy/config/listener/v3/listener_pb.js';
import { RouterSchema } from '../../gen/envoy/extensions/filters/http/router/v3/router_pb.js';
import { HttpConnectionManagerSchema } from '../../gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { LeastRequestSchema } from '../../gen/envoy/extensions/load_balancing_policies/least_request/v3/least_request_pb.js';
import { RoundRobinSchema } from '../../gen/envoy/extensions/load_balancing_policies/round_robin/v3/round_robin_pb.js';
import { WrrLocalitySchema } from '../../gen/envoy/extensions/load_balancing_policies/wrr_locality/v3/wrr_locality_pb.js';
import { HttpProtocolOptionsSchema } from '../../gen/envoy/extensions/upstreams/http/v3/http_protocol_options_pb.js';
import { type Resource, TYPE } from '../ads/resource.js';
import type { ClusterIr } from '../ir/cluster.js';
import { any, duration, extension } from './any.js';
import { EDS, httpProtocolOptions, outlierDetection } from './cluster.js';
import { encoded } from './encoded.js';
import { socketAddress } from './endpoint.js';
import { metadata } from './metadata.js';
import { FILTER, grpcName, HTTP_STAT_PREFIX } from './names.js';

// What gRPC libraries take from an xDS server without a proxy between (gRFCs A27, A31, A32, A37, A50, A52). They read fewer fields
// than Envoy, ask by name, and refuse a resource for what they do not know in it: so they have resources of their own.

/**
 * Whether gRPC clients can reach the cluster: it speaks HTTP/2 without TLS, at IP addresses or at one DNS name. What TLS a backend
 * wants they take from certificate providers of their own; to leave it out would send their requests in the clear.
 */
export function forGrpcClients({ protocol, tls, discovery, endpoints }: ClusterIr): boolean {
  return protocol === 'http2' && tls === undefined && (discovery === 'eds' || endpoints.length === 1);
}

/**
 * What gRPC clients are told of a cluster they can reach, under one name: the listener, which sends every call to the cluster, and
 * the cluster. Its endpoints come third, where they are IP addresses. Pure and deterministic.
 *
 * @param release the one in which the cluster became what it is.
 */
export function grpcResources(cluster: ClusterIr, release: number): Resource[] {
  const name = grpcName(cluster);
  return [
    encoded(TYPE.listener, name, ListenerSchema, listener(name, release), [{ type: TYPE.cluster, name }]),
    encoded(TYPE.cluster, name, ClusterSchema, grpcCluster(cluster, name)),
  ];
}

function listener(name: string, release: number): Listener {
  const route = {
    match: { pathSpecifier: { case: 'prefix' as const, value: '' } },
    action: {
      case: 'route' as const,
      value: {
        clusterSpecifier: { case: 'cluster' as const, value: name },
        // A call lasts as long as the caller's deadline lets it; clients other than gRPC's would end it after 15 s.
        timeout: duration(0),
        maxStreamDuration: { grpcTimeoutHeaderMax: duration(0) },
      },
    },
  };
  return create(ListenerSchema, {
    name,
    // Tells one that is back from the one that went: grpc-js, up to 1.14, does not notice one that is equal.
    metadata: metadata({ release }),
    apiListener: {
      apiListener: any(HttpConnectionManagerSchema, {
        statPrefix: HTTP_STAT_PREFIX,
        routeSpecifier: {
          case: 'routeConfig',
          value: { name, virtualHosts: [{ name, domains: ['*'], routes: [route] }] },
        },
        httpFilters: [{ name: FILTER.router, configType: { case: 'typedConfig', value: any(RouterSchema, {}) } }],
      }),
    },
  });
}

function grpcCluster(cluster: ClusterIr, name: string): Cluster {
  return create(ClusterSchema, {
    name,
    ...(cluster.discovery === 'eds' ? EDS : oneName(cluster, name)),
    connectTimeout: duration(cluster.connectTimeoutMs),
    // The one policy that every client knows. gRPC has none that picks at random.
    lbPolicy: LbPolicy.ROUND_ROBIN,
    ...(cluster.loadBalancing === 'least_request' && { loadBalancingPolicy: LEAST_REQUEST }),
    circuitBreakers: {
      thresholds: [{ priority: RoutingPriority.DEFAULT, maxRequests: cluster.circuitBreaker.maxRequests }],
    },
    typedExtensionProtocolOptions: { [HttpProtocolOptionsSchema.typeName]: httpProtocolOptions(cluster) },
    ...(cluster.outlierDetection && {
      outlierDetection: { ...outlierDetection(cluster.outlierDetection), ...SUCCESS_RATE },
    }),
  });
}

/** A DNS name, which the client resolves; it spreads calls over all its addresses. */
function oneName({ endpoints: [endpoint] }: ClusterIr, clusterName: string) {
  if (!endpoint) throw new Error('A cluster of DNS names has at least one');
  const { host, port } = endpoint;
  const value = { address: { address: { case: 'socketAddress' as const, value: socketAddress(host, port) } } };
  return {
    clusterDiscoveryType: { case: 'type' as const, value: DiscoveryType.LOGICAL_DNS },
    dnsLookupFamily: DnsLookupFamily.V4_PREFERRED,
    loadAssignment: {
      clusterName,
      endpoints: [{ lbEndpoints: [{ hostIdentifier: { case: 'endpoint' as const, value } }] }],
    },
  };
}

/**
 * Envoy's defaults, which gRPC's are too (gRFC A50), in words: grpc-js up to 1.14 takes what is left out for no number at all, and
 * its process ends when it divides by that. Hosts that answer one error after the other are not taken out: gRPC does not count so.
 */
const SUCCESS_RATE = {
  enforcingSuccessRate: 100,
  successRateMinimumHosts: 5,
  successRateRequestVolume: 100,
  successRateStdevFactor: 1900,
};

/**
 * Localities by weight, in each the endpoint with the fewest calls under way. A client takes the first policy of a list that it
 * knows (gRFC A52), so one without least_request goes on with its neighbour.
 */
const LEAST_REQUEST: MessageInitShape<typeof LoadBalancingPolicySchema> = {
  policies: [
    {
      typedExtensionConfig: extension('wrr_locality', WrrLocalitySchema, {
        endpointPickingPolicy: {
          policies: [
            { typedExtensionConfig: extension('least_request', LeastRequestSchema, {}) },
            { typedExtensionConfig: extension('round_robin', RoundRobinSchema, {}) },
          ],
        },
      }),
    },
  ],
};
