import { bootstrap } from '../core/xds/bootstrap.js';
import { STATIC_CLUSTER } from '../core/xds/names.js';

/** File name of the canary's xDS socket in its directory, which is its working directory. */
export const SOCKET = 'ads.sock';

const ADS = { ads: {}, resource_api_version: 'V3' };

/**
 * Bootstrap of a canary: that of a node, so that the same limits and static clusters are in force, but with the feed as its
 * controller, no admin interface, no resolver that could ask anybody, and a listener without a port, which makes Envoy take
 * scopes and route tables.
 */
export function canaryBootstrap(): object {
  const base = bootstrap({
    nodeId: 'canary',
    nodeCluster: 'paifang/canary',
    adsAddress: '127.0.0.1',
    adsPort: 1,
    edgeSocket: 'authz.sock',
    adminAddress: '127.0.0.1',
    adminPort: 0,
  }) as { static_resources: { clusters: { name: string; load_assignment: object }[] }; admin?: object };
  const { admin: _, ...rest } = base;
  for (const cluster of base.static_resources.clusters) {
    if (cluster.name === STATIC_CLUSTER.ads)
      cluster.load_assignment = {
        cluster_name: cluster.name,
        endpoints: [{ lb_endpoints: [{ endpoint: { address: { pipe: { path: SOCKET } } } }] }],
      };
  }
  return {
    ...rest,
    static_resources: { ...base.static_resources, listeners: [LISTENER] },
    typed_dns_resolver_config: {
      name: 'envoy.network.dns_resolver.cares',
      typed_config: {
        '@type': 'type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig',
        // Nobody listens on port 1: a name is found unknown at once, and nothing leaves this machine.
        resolvers: [{ socket_address: { address: '127.0.0.1', port_value: 1 } }],
        dns_resolver_options: { no_default_search_domain: true },
      },
    },
  };
}

const LISTENER = {
  name: 'paifang/canary',
  address: { socket_address: { address: '127.0.0.1', port_value: 1 } },
  bind_to_port: false,
  filter_chains: [
    {
      filters: [
        {
          name: 'http',
          typed_config: {
            '@type':
              'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
            stat_prefix: 'canary',
            scoped_routes: {
              name: 'canary',
              scope_key_builder: {
                fragments: [{ header_value_extractor: { name: 'x-canary', index: 0 } }],
              },
              rds_config_source: ADS,
              scoped_rds: { scoped_rds_config_source: ADS },
            },
            http_filters: [
              {
                name: 'router',
                typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' },
              },
            ],
          },
        },
      ],
    },
  ],
};
