import { type DescMessage, fromBinary, type Message } from '@bufbuild/protobuf';
import { type Any, anyUnpack } from '@bufbuild/protobuf/wkt';
import { type Resource, TYPE } from '../../src/core/ads/resource.js';
import { STATIC_CLUSTER } from '../../src/core/xds/names.js';
import { REGISTRY } from '../../src/core/xds/registry.js';
import {
  ClusterSchema,
  Cluster_DiscoveryType as DiscoveryType,
} from '../../src/gen/envoy/config/cluster/v3/cluster_pb.js';
import { ClusterLoadAssignmentSchema } from '../../src/gen/envoy/config/endpoint/v3/endpoint_pb.js';
import { ListenerSchema } from '../../src/gen/envoy/config/listener/v3/listener_pb.js';
import { RouteConfigurationSchema } from '../../src/gen/envoy/config/route/v3/route_pb.js';
import { ScopedRouteConfigurationSchema } from '../../src/gen/envoy/config/route/v3/scoped_route_pb.js';

const SCHEMAS: Readonly<Record<string, DescMessage>> = {
  [TYPE.cluster]: ClusterSchema,
  [TYPE.endpoint]: ClusterLoadAssignmentSchema,
  [TYPE.listener]: ListenerSchema,
  [TYPE.route]: RouteConfigurationSchema,
  [TYPE.scope]: ScopedRouteConfigurationSchema,
};
const STATIC: ReadonlySet<string> = new Set(Object.values(STATIC_CLUSTER));

/**
 * References among the resources of a fleet that lead nowhere, as `from -> to`, read out of the messages themselves as Envoy
 * reads them: no matter what the compiler says that a resource needs.
 */
export function brokenReferences(resources: readonly Resource[]): string[] {
  const there = new Set(resources.map(({ type, name }) => `${short(type)} ${name}`));
  const broken = new Set<string>();
  for (const { type, name, bytes, needs = [] } of resources) {
    const wanted = new Set(needs.map((need) => `${short(need.type)} ${need.name}`));
    const schema = SCHEMAS[type];
    if (schema) for (const reference of referencesOf(type, fromBinary(schema, bytes))) wanted.add(reference);
    for (const reference of wanted) if (!there.has(reference)) broken.add(`${short(type)} ${name} -> ${reference}`);
  }
  return [...broken].sort();
}

function* referencesOf(type: string, message: Message): Iterable<string> {
  if (type === TYPE.scope)
    yield `RouteConfiguration ${(message as never as { routeConfigurationName: string }).routeConfigurationName}`;
  for (const [field, value] of fields(message)) {
    if (field === 'cluster' && typeof value === 'string' && value !== '' && !STATIC.has(value))
      yield `Cluster ${value}`;
    if (field === 'clusterName' && typeof value === 'string' && type !== TYPE.endpoint && !STATIC.has(value))
      yield `Cluster ${value}`;
    if (field === 'routeConfigName' && typeof value === 'string' && value !== '') yield `RouteConfiguration ${value}`;
    if (field === 'policy' && typeof value === 'string' && type === TYPE.route) yield `Policy ${value}`;
  }
  const cluster = type === TYPE.cluster ? (message as ReturnType<typeof fromBinary<typeof ClusterSchema>>) : undefined;
  if (cluster?.clusterDiscoveryType.case === 'type' && cluster.clusterDiscoveryType.value === DiscoveryType.EDS)
    yield `ClusterLoadAssignment ${cluster.edsClusterConfig?.serviceName || cluster.name}`;
}

/** Every field of a message with its value, however deep, and those of messages in Any. */
function* fields(value: unknown): Iterable<[string, unknown]> {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return;
  if ((value as Message).$typeName === 'google.protobuf.Any') {
    const inner = anyUnpack(value as Any, REGISTRY);
    if (!inner) throw new Error(`a message that Envoy may know and we do not: ${(value as Any).typeUrl}`);
    yield* fields(inner);
    return;
  }
  // The value of a oneof stands under the name of its case.
  const { case: name, value: chosen } = value as { case?: unknown; value?: unknown };
  const entries = typeof name === 'string' ? [[name, chosen] as const] : Object.entries(value);
  for (const [field, inner] of entries) {
    yield [field, inner];
    yield* fields(inner);
  }
}

const short = (type: string): string => type.slice(type.lastIndexOf('.') + 1);
