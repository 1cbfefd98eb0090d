import { create, toBinary } from '@bufbuild/protobuf';
import { type Resource, resource, TYPE } from '../../src/core/ads/resource.js';
import { ClusterSchema } from '../../src/gen/envoy/config/cluster/v3/cluster_pb.js';
import { ClusterLoadAssignmentSchema } from '../../src/gen/envoy/config/endpoint/v3/endpoint_pb.js';
import { ListenerSchema } from '../../src/gen/envoy/config/listener/v3/listener_pb.js';
import { RouteConfigurationSchema } from '../../src/gen/envoy/config/route/v3/route_pb.js';
import { ScopedRouteConfigurationSchema } from '../../src/gen/envoy/config/route/v3/scoped_route_pb.js';

// Resources that Envoy refuses. No definition makes them: they are put where resources go by hand.

/** A cluster with a time-out below nothing. */
export function badCluster(name: string): Resource {
  const message = create(ClusterSchema, { name, connectTimeout: { seconds: -1n, nanos: 0 } });
  return resource(TYPE.cluster, name, toBinary(ClusterSchema, message));
}

/** An endpoint on a port no address has. */
export function badEndpoints(name: string): Resource {
  const address = {
    case: 'socketAddress' as const,
    value: { address: '10.0.0.1', portSpecifier: { case: 'portValue' as const, value: 99_999 } },
  };
  const endpoint = { hostIdentifier: { case: 'endpoint' as const, value: { address: { address } } } };
  const message = create(ClusterLoadAssignmentSchema, { clusterName: name, endpoints: [{ lbEndpoints: [endpoint] }] });
  return resource(TYPE.endpoint, name, toBinary(ClusterLoadAssignmentSchema, message));
}

/** A route table with a pattern that is none; `text` stands in it. */
export function badRoutes(name: string, text = name): Resource {
  const message = create(RouteConfigurationSchema, {
    name,
    virtualHosts: [
      {
        name,
        domains: ['*'],
        routes: [
          {
            match: { pathSpecifier: { case: 'safeRegex', value: { regex: `(${text}` } } },
            action: { case: 'directResponse', value: { status: 200 } },
          },
        ],
      },
    ],
  });
  return resource(TYPE.route, name, toBinary(RouteConfigurationSchema, message));
}

/** A scope without a key. */
export function badScope(name: string): Resource {
  const message = create(ScopedRouteConfigurationSchema, { name, routeConfigurationName: name });
  return resource(TYPE.scope, name, toBinary(ScopedRouteConfigurationSchema, message));
}

/** A listener without an address. */
export function badListener(name: string): Resource {
  return resource(TYPE.listener, name, toBinary(ListenerSchema, create(ListenerSchema, { name })));
}
