import { createRegistry, type Registry } from '@bufbuild/protobuf';
import { BootstrapSchema } from '../../gen/envoy/config/bootstrap/v3/bootstrap_pb.js';
import { RouteListSchema, RouteSchema } from '../../gen/envoy/config/route/v3/route_components_pb.js';
import { FileAccessLogSchema } from '../../gen/envoy/extensions/access_loggers/file/v3/file_pb.js';
import { ExpressionFilterSchema } from '../../gen/envoy/extensions/access_loggers/filters/cel/v3/cel_pb.js';
import { ExtensionWithMatcherSchema } from '../../gen/envoy/extensions/common/matching/v3/extension_matcher_pb.js';
import { SkipFilterSchema } from '../../gen/envoy/extensions/filters/common/matcher/action/v3/skip_action_pb.js';
import { CredentialInjectorSchema } from '../../gen/envoy/extensions/filters/http/credential_injector/v3/credential_injector_pb.js';
import {
  ExtAuthzPerRouteSchema,
  ExtAuthzSchema,
} from '../../gen/envoy/extensions/filters/http/ext_authz/v3/ext_authz_pb.js';
import {
  HeaderMutationPerRouteSchema,
  HeaderMutationSchema,
} from '../../gen/envoy/extensions/filters/http/header_mutation/v3/header_mutation_pb.js';
import { LuaSchema } from '../../gen/envoy/extensions/filters/http/lua/v3/lua_pb.js';
import { RBACSchema } from '../../gen/envoy/extensions/filters/http/rbac/v3/rbac_pb.js';
import { RouterSchema } from '../../gen/envoy/extensions/filters/http/router/v3/router_pb.js';
import { ConfigSchema as SetFilterStateSchema } from '../../gen/envoy/extensions/filters/http/set_filter_state/v3/set_filter_state_pb.js';
import { UpstreamCodecSchema } from '../../gen/envoy/extensions/filters/http/upstream_codec/v3/upstream_codec_pb.js';
import { HttpConnectionManagerSchema } from '../../gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { HeaderMutationSchema as EarlyHeaderMutationSchema } from '../../gen/envoy/extensions/http/early_header_mutation/header_mutation/v3/header_mutation_pb.js';
import { GenericSchema } from '../../gen/envoy/extensions/http/injected_credentials/generic/v3/generic_pb.js';
import { LeastRequestSchema } from '../../gen/envoy/extensions/load_balancing_policies/least_request/v3/least_request_pb.js';
import { RoundRobinSchema } from '../../gen/envoy/extensions/load_balancing_policies/round_robin/v3/round_robin_pb.js';
import { WrrLocalitySchema } from '../../gen/envoy/extensions/load_balancing_policies/wrr_locality/v3/wrr_locality_pb.js';
import { CaresDnsResolverConfigSchema } from '../../gen/envoy/extensions/network/dns_resolver/cares/v3/cares_dns_resolver_pb.js';
import { DownstreamConnectionsConfigSchema } from '../../gen/envoy/extensions/resource_monitors/downstream_connections/v3/downstream_connections_pb.js';
import { FixedHeapConfigSchema } from '../../gen/envoy/extensions/resource_monitors/fixed_heap/v3/fixed_heap_pb.js';
import { PreviousHostsPredicateSchema } from '../../gen/envoy/extensions/retry/host/previous_hosts/v3/previous_hosts_pb.js';
import { UpstreamTlsContextSchema } from '../../gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import { HttpProtocolOptionsSchema } from '../../gen/envoy/extensions/upstreams/http/v3/http_protocol_options_pb.js';
import { HttpRequestHeaderMatchInputSchema } from '../../gen/envoy/type/matcher/v3/http_inputs_pb.js';

/** Every message this room packs into an Any: with it, what Envoy is told can be written as JSON. */
export const REGISTRY: Registry = createRegistry(
  BootstrapSchema,
  CredentialInjectorSchema,
  GenericSchema,
  UpstreamCodecSchema,
  CaresDnsResolverConfigSchema,
  DownstreamConnectionsConfigSchema,
  EarlyHeaderMutationSchema,
  ExpressionFilterSchema,
  ExtAuthzPerRouteSchema,
  ExtAuthzSchema,
  ExtensionWithMatcherSchema,
  FileAccessLogSchema,
  FixedHeapConfigSchema,
  HeaderMutationPerRouteSchema,
  HeaderMutationSchema,
  HttpConnectionManagerSchema,
  HttpProtocolOptionsSchema,
  HttpRequestHeaderMatchInputSchema,
  LeastRequestSchema,
  LuaSchema,
  PreviousHostsPredicateSchema,
  RBACSchema,
  RoundRobinSchema,
  RouteListSchema,
  RouterSchema,
  RouteSchema,
  SetFilterStateSchema,
  SkipFilterSchema,
  UpstreamTlsContextSchema,
  WrrLocalitySchema,
);
