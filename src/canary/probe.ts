import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { anyPack, anyUnpack } from '@bufbuild/protobuf/wkt';
import { type Resource, resource, TYPE } from '../core/ads/resource.js';
import { ClusterSchema, Cluster_DiscoveryType as DiscoveryType } from '../gen/envoy/config/cluster/v3/cluster_pb.js';
import { ApiVersion } from '../gen/envoy/config/core/v3/config_source_pb.js';
import { ClusterLoadAssignmentSchema } from '../gen/envoy/config/endpoint/v3/endpoint_pb.js';
import { ListenerSchema } from '../gen/envoy/config/listener/v3/listener_pb.js';
import { FileAccessLogSchema } from '../gen/envoy/extensions/access_loggers/file/v3/file_pb.js';
import { HttpConnectionManagerSchema } from '../gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';

/**
 * What the canary is told beside what it judges, and how the few resources that would reach out of it are told instead of
 * what nodes are told: a listener without its port and its log file, a cluster of names with health checks without its
 * names. All else is judged byte for byte.
 */

/** Endpoints of a cluster without any: it is warm at once, and nothing is ever checked or called. */
export function noEndpoints(name: string): Resource {
  return resource(
    TYPE.endpoint,
    name,
    toBinary(ClusterLoadAssignmentSchema, create(ClusterLoadAssignmentSchema, { clusterName: name })),
  );
}

/** Name of the cluster that makes Envoy ask for the endpoints `name`. */
export const carrierName = (name: string): string => `paifang_canary/${name}`;

/** A cluster that asks for the endpoints `name` and does nothing with them. */
export function carrier(name: string): Resource {
  const message = create(ClusterSchema, {
    name: carrierName(name),
    clusterDiscoveryType: { case: 'type', value: DiscoveryType.EDS },
    edsClusterConfig: {
      serviceName: name,
      edsConfig: { configSourceSpecifier: { case: 'ads', value: {} }, resourceApiVersion: ApiVersion.V3 },
    },
  });
  return resource(TYPE.cluster, carrierName(name), toBinary(ClusterSchema, message));
}

/** `judged` as the canary is told it. */
export function harmless(judged: Resource): Resource {
  if (judged.type === TYPE.listener) return unbound(judged);
  return judged.type === TYPE.cluster ? unchecked(judged) : judged;
}

/** The listener without its port, and without the log file, whose folder is a matter of the node. */
function unbound(judged: Resource): Resource {
  const listener = fromBinary(ListenerSchema, judged.bytes);
  listener.bindToPort = false;
  for (const { filters } of listener.filterChains) {
    for (const { configType } of filters) {
      if (configType.case !== 'typedConfig') continue;
      const manager = anyUnpack(configType.value, HttpConnectionManagerSchema);
      if (!manager) continue;
      for (const { configType: logger } of manager.accessLog) {
        const file = logger.case === 'typedConfig' ? anyUnpack(logger.value, FileAccessLogSchema) : undefined;
        if (!file || logger.case !== 'typedConfig') continue;
        if (file.path !== '') file.path = '/dev/null';
        logger.value = anyPack(FileAccessLogSchema, file);
      }
      configType.value = anyPack(HttpConnectionManagerSchema, manager);
    }
  }
  return resource(TYPE.listener, judged.name, toBinary(ListenerSchema, listener));
}

/** The cluster with names nobody has where it would check the health of those it has: a canary calls nobody. */
function unchecked(judged: Resource): Resource {
  const cluster = fromBinary(ClusterSchema, judged.bytes);
  if (cluster.healthChecks.length === 0 || !cluster.loadAssignment) return judged;
  for (const { lbEndpoints } of cluster.loadAssignment.endpoints) {
    for (const { hostIdentifier } of lbEndpoints) {
      const address = hostIdentifier.case === 'endpoint' ? hostIdentifier.value.address?.address : undefined;
      if (address?.case === 'socketAddress' && address.value.address !== '') address.value.address = 'canary.invalid';
    }
  }
  return resource(TYPE.cluster, judged.name, toBinary(ClusterSchema, cluster));
}
