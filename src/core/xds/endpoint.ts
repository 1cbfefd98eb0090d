import { create } from '@bufbuild/protobuf';
import {
  type ClusterLoadAssignment,
  ClusterLoadAssignmentSchema,
} from '../../gen/envoy/config/endpoint/v3/endpoint_pb.js';
import type { ClusterIr } from '../ir/cluster.js';
import { clusterName } from './names.js';

/** The hosts of a cluster. Without any, Envoy answers that there is no host to send to (4000). */
export function loadAssignment(cluster: ClusterIr): ClusterLoadAssignment {
  return create(ClusterLoadAssignmentSchema, {
    clusterName: clusterName(cluster),
    endpoints:
      cluster.endpoints.length === 0
        ? []
        : [
            {
              lbEndpoints: cluster.endpoints.map(({ host, port, weight }) => ({
                loadBalancingWeight: weight,
                hostIdentifier: {
                  case: 'endpoint' as const,
                  value: {
                    // The name for SNI (auto_host_sni); the Host header is the client's or the API's.
                    ...(cluster.discovery === 'dns' && { hostname: host }),
                    address: {
                      address: {
                        case: 'socketAddress' as const,
                        value: { address: host, portSpecifier: { case: 'portValue' as const, value: port } },
                      },
                    },
                  },
                },
              })),
            },
          ],
  });
}
