import { BY_NAME } from '../ads/resource.js';
import type { ClusterIr } from '../ir/cluster.js';
import type { GroupIr, RouteIr } from '../ir/group.js';

// Every name that Envoy, its log or its metrics show is made here: dashboards and log queries depend on them, so they are
// stable, made of ids that people can look up, and bounded by the length of ids.

/** Name of the RouteConfiguration of a group: its id. */
export const routeConfigurationName = (group: GroupIr): string => group.id;

/**
 * Name and key of the scope of a host: the host. Equal, so that a host can never move from one scope name to another (while
 * both are in force Envoy answers 404).
 */
export const scopeName = (host: string): string => host;

/**
 * Name of the cluster and of its endpoints: its id, and how its backends are spoken to unless that is the usual way. Envoy
 * gives new endpoints to the cluster in use and to its successor at once, under the one name they share: without a name of
 * its own, a cluster that goes over to TLS would for a moment speak plain text to the new backends, or TLS to the old.
 */
export const clusterName = ({ id, transport }: Pick<ClusterIr, 'id' | 'transport'>): string =>
  transport === undefined ? id : `${id}${TRANSPORT}${transport}`;

/** No id holds it. */
const TRANSPORT = '~';

/** Id of the cluster of a name that {@link clusterName} made. */
export const clusterIdOf = (name: string): string => name.split(TRANSPORT, 1)[0] as string;

/**
 * What gRPC clients ask for to reach a cluster: name of its Listener, its Cluster and its endpoints alike. Made of the cluster's
 * name, because people write it into the targets of their programs.
 */
export const grpcName = (cluster: Pick<ClusterIr, 'name'>): string => `${BY_NAME}${cluster.name}`;

/** Name of an API's route: its id. */
export const routeName = (route: RouteIr): string => route.apiId;

/** Name of the last route of every group, which answers what no API matches. */
export const NO_API_ROUTE = 'no-api';

/** Clusters that stand in the bootstrap. */
export const STATIC_CLUSTER = {
  /** The controller's xDS server. */
  ads: 'paifang_ads',
  /** The edge's xDS server, for an Envoy that starts while no controller answers. */
  failover: 'paifang_ads_failover',
  /** The edge's ext_authz service on its Unix socket. */
  authz: 'paifang_edge_authz',
} as const;

/** Prefix of the HTTP connection manager's metrics. */
export const HTTP_STAT_PREFIX = 'paifang';

/** Namespace of our metadata on routes and virtual hosts. */
export const METADATA = 'paifang';

/** Namespace in which Envoy keeps what an ext_authz service says; Envoy fixes it, whatever the filter's name. */
export const AUTHZ_METADATA = 'envoy.filters.http.ext_authz';

/** Request headers the gateway uses. */
export const HEADER = {
  /** Key of the scope lookup. Helper; never reaches a backend. */
  host: 'x-pf-host',
  /** Path without query, for matcher trees. Helper; never reaches a backend. */
  path: 'x-pf-path',
  /** What a client may send instead of Host. */
  gatewayHost: 'x-gateway-host',
  /** Id of the App, set by the edge for the backend. */
  appId: 'x-gateway-app-id',
} as const;

/** Prefix of the helper headers; whatever a client sends under it is dropped. */
export const HELPER_PREFIX = 'x-pf-';

/** HTTP filters, by their names in the chain: per-route settings refer to them. */
export const FILTER = {
  responseHeaders: 'response-headers',
  hostCase: 'host-case',
  pathGuard: 'path-guard',
  remember: 'remember',
  authz: 'ext_authz',
  router: 'router',
} as const;

/** Filter state: what the log tells of the request as it came, after routing has changed the headers. */
export const STATE = { host: 'paifang.host' } as const;

/** Policy name of the path guard; it stands in response code details, by which the cause of a denial is known. */
export const PATH_GUARD_POLICY = 'path-guard';
