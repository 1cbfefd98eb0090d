import type { JsonObject, JsonValue } from '@bufbuild/protobuf';
import { fromBinary, toJson } from '@bufbuild/protobuf';
import { type Resource, TYPE } from '../../src/core/ads/resource.js';
import type { Gateway } from '../../src/core/ir/gateway.js';
import { bootstrap } from '../../src/core/xds/bootstrap.js';
import { forGrpcClients, grpcResources } from '../../src/core/xds/grpc-client.js';
import { grpcEndpoints } from '../../src/core/xds/grpc-endpoint.js';
import { REGISTRY } from '../../src/core/xds/registry.js';
import { resourceJson } from '../../src/core/xds/resource-json.js';
import { clusterResources, fleetResources, groupResources } from '../../src/core/xds/resources.js';
import { routeConfiguration } from '../../src/core/xds/route-configuration.js';
import { RouteConfigurationSchema } from '../../src/gen/envoy/config/route/v3/route_pb.js';

export interface StaticOptions {
  readonly edgeSocket?: string;
  /** Up to how many APIs the routes of a group are a list; the product's own limit unless told. */
  readonly longestList?: number;
  /** What gRPC clients are told is in it too. */
  readonly grpc?: boolean;
  /** Memory Envoy may use; the product's own limit unless told. */
  readonly maxHeapBytes?: number;
}

/**
 * A gateway as one bootstrap without control plane: every resource inline, so that Envoy judges all of it at start (it does
 * not look into what it is to fetch). Nothing else differs from what it is told over ADS.
 */
export function staticBootstrap(gateway: Gateway, options: StaticOptions = {}): JsonObject {
  const { fleet, groups, clusters } = gateway;
  const base = bootstrap({
    nodeId: 'node-1',
    nodeCluster: fleet.key,
    adsAddress: '127.0.0.1',
    adsPort: 1,
    edgeSocket: options.edgeSocket ?? 'edge-authz.sock',
    adminAddress: '127.0.0.1',
    adminPort: 0,
    ...(options.maxHeapBytes !== undefined && { maxHeapBytes: options.maxHeapBytes }),
  });
  const { dynamic_resources: _, ...rest } = base;
  const own = (base.static_resources as { clusters: JsonValue[] }).clusters;
  const scopes = groups.flatMap((group) => {
    const bytes = routeConfiguration(group, fleet, options.longestList);
    const table = toJson(RouteConfigurationSchema, fromBinary(RouteConfigurationSchema, bytes), {
      registry: REGISTRY,
      useProtoFieldName: true,
    });
    return groupResources(group, fleet)
      .filter(({ type }) => type === TYPE.scope)
      .map((scope) => inlineScope(resourceJson(scope) as JsonObject, table));
  });
  const reachable = options.grpc ? clusters.filter(forGrpcClients) : [];
  const forGrpc = reachable.map((cluster) => [
    ...grpcResources(cluster, 1),
    ...(cluster.discovery === 'eds' ? [grpcEndpoints(cluster)] : []),
  ]);
  return {
    ...rest,
    static_resources: {
      clusters: [
        ...own,
        ...clusters.map((cluster) => inlineCluster(clusterResources(cluster).map(resourceJson))),
        ...forGrpc.map(([, ...resources]) => withoutGrpcsOwn(inlineCluster(resources.map(resourceJson)))),
      ],
      listeners: [
        ...fleetResources(fleet).map((listener) => inlineListener(resourceJson(listener) as JsonObject, scopes)),
        ...forGrpc.map(([listener]) => served(resourceJson(listener as Resource) as JsonObject)),
      ],
    },
  };
}

function inlineScope({ name, key }: JsonObject, table: JsonValue): JsonValue {
  return { name: name as JsonValue, key: key as JsonValue, route_configuration: table };
}

function inlineCluster([cluster, endpoints]: (JsonValue | undefined)[]): JsonValue {
  if (endpoints === undefined) return cluster as JsonValue;
  const { eds_cluster_config: _, ...rest } = cluster as JsonObject;
  return { ...rest, type: 'STATIC', load_assignment: endpoints };
}

/** Envoy's weighted localities take no policy that gRPC's take. */
function withoutGrpcsOwn(cluster: JsonValue): JsonValue {
  const { load_balancing_policy: _, ...rest } = cluster as JsonObject;
  return rest;
}

/** A listener for who is its own proxy as one that listens: this Envoy is built without the former. */
function served({ name, api_listener }: JsonObject): JsonValue {
  const typed_config = (api_listener as JsonObject).api_listener as JsonValue;
  return {
    name: name as JsonValue,
    address: { socket_address: { address: '127.0.0.1', port_value: 0 } },
    filter_chains: [{ filters: [{ name: 'http', typed_config }] }],
  };
}

function inlineListener(listener: JsonObject, scopes: JsonValue[]): JsonValue {
  const copy = structuredClone(listener);
  const hcm = manager(copy);
  const { name, scope_key_builder } = hcm.scoped_routes as JsonObject;
  hcm.scoped_routes = {
    name: name as JsonValue,
    scope_key_builder: scope_key_builder as JsonValue,
    // Envoy wants at least one scope; nobody can send this host.
    scoped_route_configurations_list: {
      scoped_route_configurations: scopes.length > 0 ? scopes : [NO_SCOPE],
    },
  };
  return copy;
}

const NO_SCOPE = {
  name: 'none',
  key: { fragments: [{ string_key: ' ' }] },
  route_configuration: { name: 'none' },
};

function manager(listener: JsonObject): JsonObject {
  const [chain] = listener.filter_chains as [{ filters: [{ typed_config: JsonObject }] }];
  return chain.filters[0].typed_config;
}
