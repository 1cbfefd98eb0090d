import { fromBinary, type JsonValue, toJson } from '@bufbuild/protobuf';
import { ClusterSchema } from '../../gen/envoy/config/cluster/v3/cluster_pb.js';
import { ClusterLoadAssignmentSchema } from '../../gen/envoy/config/endpoint/v3/endpoint_pb.js';
import { ListenerSchema } from '../../gen/envoy/config/listener/v3/listener_pb.js';
import { RouteConfigurationSchema } from '../../gen/envoy/config/route/v3/route_pb.js';
import { ScopedRouteConfigurationSchema } from '../../gen/envoy/config/route/v3/scoped_route_pb.js';
import { PolicySchema } from '../../gen/paifang/v1/policy_pb.js';
import { type Resource, TYPE } from '../ads/resource.js';
import { REGISTRY } from './registry.js';

const SCHEMAS = {
  [TYPE.cluster]: ClusterSchema,
  [TYPE.endpoint]: ClusterLoadAssignmentSchema,
  [TYPE.listener]: ListenerSchema,
  [TYPE.policy]: PolicySchema,
  [TYPE.route]: RouteConfigurationSchema,
  [TYPE.scope]: ScopedRouteConfigurationSchema,
} as const;

/**
 * A resource in protobuf's JSON form with the field names of the .proto files, as Envoy's documentation and configuration
 * files have them. Undefined for types that hold secrets: they are not for reading.
 */
export function resourceJson(resource: Resource): JsonValue | undefined {
  if (!(resource.type in SCHEMAS)) return undefined;
  const schema = SCHEMAS[resource.type as keyof typeof SCHEMAS];
  return toJson(schema, fromBinary(schema, resource.bytes) as never, { registry: REGISTRY, useProtoFieldName: true });
}
