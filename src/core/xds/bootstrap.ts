import { create, type JsonObject, type MessageInitShape, toJson } from '@bufbuild/protobuf';
import { BootstrapSchema } from '../../gen/envoy/config/bootstrap/v3/bootstrap_pb.js';
import type { ClusterSchema } from '../../gen/envoy/config/cluster/v3/cluster_pb.js';
import { Cluster_DiscoveryType as DiscoveryType } from '../../gen/envoy/config/cluster/v3/cluster_pb.js';
import type { AddressSchema } from '../../gen/envoy/config/core/v3/address_pb.js';
import { ApiConfigSource_ApiType as ApiType, ApiVersion } from '../../gen/envoy/config/core/v3/config_source_pb.js';
import { CaresDnsResolverConfigSchema } from '../../gen/envoy/extensions/network/dns_resolver/cares/v3/cares_dns_resolver_pb.js';
import { HttpProtocolOptionsSchema } from '../../gen/envoy/extensions/upstreams/http/v3/http_protocol_options_pb.js';
import { any, duration } from './any.js';
import { ADS_SOURCE } from './config-source.js';
import { type ControllerAccess, controllerFilters, controllerTransport, isIpAddress } from './controller-access.js';
import { HTTP_STAT_PREFIX, STATIC_CLUSTER } from './names.js';
import { overloadManager } from './overload.js';
import { REGISTRY } from './registry.js';

/** Where an Envoy stands and whom it asks. */
export interface BootstrapOptions {
  /** Unique among the nodes of the fleet. */
  readonly nodeId: string;
  /** `<workspace>/<fleet>`. */
  readonly nodeCluster: string;
  /** Host of the controller: IP address or DNS name. */
  readonly adsAddress: string;
  readonly adsPort: number;
  /** Unix socket of the edge's ext_authz, absolute or relative to Envoy's working directory. */
  readonly edgeSocket: string;
  /**
   * Unix socket of the edge's own xDS, likewise: where Envoy turns when no controller answers at its start. Without it such
   * an Envoy has no listener until one does.
   */
  readonly failoverSocket?: string;
  /** IP address; anyone who reaches it controls Envoy, so it should be loopback. */
  readonly adminAddress: string;
  /** 0: the kernel chooses. */
  readonly adminPort: number;
  readonly locality?: { readonly region?: string; readonly zone?: string; readonly subZone?: string };
  /** DNS servers for names that Envoy resolves itself, by IP address. Default: those of its machine. */
  readonly dnsServers?: readonly { readonly address: string; readonly port: number }[];
  /** TLS and proof of identity towards the controller. Default: plain text, and none. */
  readonly controllerAccess?: ControllerAccess;
  /** Connections from clients that all listeners together accept. Default 50,000. */
  readonly maxConnections?: number;
  /** Memory Envoy may use; beyond most of it clients are cut off and refused (9504). Default 2 GiB. */
  readonly maxHeapBytes?: number;
}

/** Concurrent checks at the edge. Envoy's default of 1,024 would fail requests under load that the edge can take. */
const EDGE_REQUESTS = 100_000;
const MAX_CONNECTIONS = 50_000;
const MAX_HEAP_BYTES = 2 * 1024 ** 3;

/**
 * Size of a compiled regular expression that Envoy accepts. Its default of 100 refuses the pattern of a path with some
 * eighty characters; ours are made from paths whose length the model bounds, and RE2 is linear in any case.
 */
const REGEX_INSTRUCTIONS = 10_000;

/** Lets Envoy turn to the second of two ADS servers as long as the first has never answered. */
const FAILOVER_FEATURE = 'envoy.restart_features.xds_failover_support';

/**
 * Metrics that are kept. Everything Envoy counts would cost 60 KB a cluster; these are what dashboards and alerts read.
 * Prefixes are of what exists once, suffixes of what each cluster or route table has.
 */
export const STATS = {
  prefixes: [
    `cluster.${STATIC_CLUSTER.ads}.`,
    `cluster.${STATIC_CLUSTER.failover}.`,
    `cluster.${STATIC_CLUSTER.authz}.`,
    'cluster_manager.',
    'control_plane.',
    `http.${HTTP_STAT_PREFIX}.downstream_`,
    `http.${HTTP_STAT_PREFIX}.ext_authz.`,
    `http.${HTTP_STAT_PREFIX}.no_`,
    `http.${HTTP_STAT_PREFIX}.rbac.`,
    `http.${HTTP_STAT_PREFIX}.scoped_rds.`,
    'listener.',
    'listener_manager.',
    'overload.',
    'server.',
  ],
  suffixes: [
    '.membership_healthy',
    '.membership_total',
    '.update_rejected',
    '.upstream_cx_active',
    '.upstream_cx_connect_fail',
    '.upstream_rq_active',
    '.upstream_rq_pending_overflow',
    '.upstream_rq_total',
  ],
} as const;

/**
 * The bootstrap of an Envoy of a fleet, as JSON that Envoy reads: listeners, clusters and routes over one delta ADS stream,
 * the edge beside it. Pure. Nothing is checked; Envoy refuses what is wrong.
 */
export function bootstrap(options: BootstrapOptions): JsonObject {
  const message = create(BootstrapSchema, {
    node: {
      id: options.nodeId,
      cluster: options.nodeCluster,
      ...(options.locality && { locality: options.locality }),
    },
    admin: { address: tcp(options.adminAddress, options.adminPort) },
    dynamicResources: {
      adsConfig: {
        apiType: ApiType.DELTA_GRPC,
        transportApiVersion: ApiVersion.V3,
        setNodeOnFirstMessageOnly: true,
        grpcServices: [
          { targetSpecifier: { case: 'envoyGrpc', value: { clusterName: STATIC_CLUSTER.ads } } },
          ...(options.failoverSocket === undefined
            ? []
            : [{ targetSpecifier: { case: 'envoyGrpc' as const, value: { clusterName: STATIC_CLUSTER.failover } } }]),
        ],
      },
      cdsConfig: ADS_SOURCE,
      ldsConfig: ADS_SOURCE,
    },
    staticResources: { clusters: [adsCluster(options), ...failoverClusters(options), edgeCluster(options)] },
    ...(options.dnsServers?.length && { typedDnsResolverConfig: resolver(options.dnsServers) }),
    statsConfig: {
      statsMatcher: {
        statsMatcher: {
          case: 'inclusionList',
          value: {
            patterns: [
              ...STATS.prefixes.map((value) => ({ matchPattern: { case: 'prefix' as const, value } })),
              ...STATS.suffixes.map((value) => ({ matchPattern: { case: 'suffix' as const, value } })),
            ],
          },
        },
      },
    },
    overloadManager: overloadManager({
      maxConnections: options.maxConnections ?? MAX_CONNECTIONS,
      maxHeapBytes: options.maxHeapBytes ?? MAX_HEAP_BYTES,
    }),
    layeredRuntime: {
      layers: [
        {
          name: 'paifang',
          layerSpecifier: {
            case: 'staticLayer',
            value: {
              re2: { max_program_size: { error_level: REGEX_INSTRUCTIONS, warn_level: REGEX_INSTRUCTIONS } },
              // Envoy refuses a second server unless it is told so.
              ...(options.failoverSocket !== undefined && { [FAILOVER_FEATURE]: true }),
            },
          },
        },
        { name: 'admin', layerSpecifier: { case: 'adminLayer', value: {} } },
      ],
    },
  });
  return toJson(BootstrapSchema, message, { registry: REGISTRY, useProtoFieldName: true }) as JsonObject;
}

/** One for all clusters. No search list: a name means the same on every machine. */
function resolver(servers: NonNullable<BootstrapOptions['dnsServers']>) {
  return {
    name: 'envoy.network.dns_resolver.cares',
    typedConfig: any(CaresDnsResolverConfigSchema, {
      resolvers: servers.map(({ address, port }) => tcp(address, port)),
      dnsResolverOptions: { noDefaultSearchDomain: true },
    }),
  };
}

function adsCluster(options: BootstrapOptions): MessageInitShape<typeof ClusterSchema> {
  const { adsAddress, adsPort, failoverSocket, controllerAccess } = options;
  return {
    name: STATIC_CLUSTER.ads,
    clusterDiscoveryType: {
      case: 'type',
      value: isIpAddress(adsAddress) ? DiscoveryType.STATIC : DiscoveryType.STRICT_DNS,
    },
    connectTimeout: duration(1000),
    loadAssignment: endpointOf(STATIC_CLUSTER.ads, tcp(adsAddress, adsPort)),
    // A controller that vanished without closing is noticed, and the stream goes to another. With a failover, soon: two silent
    // connections in a row make an Envoy that starts turn there. What a controller may be busy for is the timeout.
    typedExtensionProtocolOptions: http2(
      {
        connectionKeepalive: {
          interval: duration(failoverSocket === undefined ? 30_000 : 1000),
          timeout: duration(failoverSocket === undefined ? 5000 : 4000),
        },
      },
      controllerFilters(controllerAccess),
    ),
    ...controllerTransport(controllerAccess),
    upstreamConnectionOptions: { tcpKeepalive: {} },
  };
}

function failoverClusters({ failoverSocket }: BootstrapOptions): MessageInitShape<typeof ClusterSchema>[] {
  if (failoverSocket === undefined) return [];
  return [
    {
      name: STATIC_CLUSTER.failover,
      clusterDiscoveryType: { case: 'type', value: DiscoveryType.STATIC },
      connectTimeout: duration(1000),
      loadAssignment: endpointOf(STATIC_CLUSTER.failover, {
        address: { case: 'pipe', value: { path: failoverSocket } },
      }),
      typedExtensionProtocolOptions: http2({}),
    },
  ];
}

function edgeCluster({ edgeSocket }: BootstrapOptions): MessageInitShape<typeof ClusterSchema> {
  return {
    name: STATIC_CLUSTER.authz,
    clusterDiscoveryType: { case: 'type', value: DiscoveryType.STATIC },
    connectTimeout: duration(1000),
    loadAssignment: endpointOf(STATIC_CLUSTER.authz, { address: { case: 'pipe', value: { path: edgeSocket } } }),
    typedExtensionProtocolOptions: http2({}),
    circuitBreakers: {
      thresholds: [
        { maxConnections: 1024, maxPendingRequests: EDGE_REQUESTS, maxRequests: EDGE_REQUESTS, maxRetries: 3 },
      ],
    },
  };
}

function http2(http2ProtocolOptions: object, httpFilters: ReturnType<typeof controllerFilters> = []) {
  return {
    [HttpProtocolOptionsSchema.typeName]: any(HttpProtocolOptionsSchema, {
      upstreamProtocolOptions: {
        case: 'explicitHttpConfig',
        value: { protocolConfig: { case: 'http2ProtocolOptions', value: http2ProtocolOptions } },
      },
      httpFilters,
    }),
  };
}

function endpointOf(clusterName: string, address: MessageInitShape<typeof AddressSchema>) {
  return {
    clusterName,
    endpoints: [{ lbEndpoints: [{ hostIdentifier: { case: 'endpoint' as const, value: { address } } }] }],
  };
}

function tcp(address: string, portValue: number): MessageInitShape<typeof AddressSchema> {
  return {
    address: {
      case: 'socketAddress',
      value: { address, portSpecifier: { case: 'portValue', value: portValue } },
    },
  };
}
