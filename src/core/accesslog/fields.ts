import type { AccessLine } from './record.js';

/** How a field of {@link AccessLine} is typed in JSON. `text|number`: either is kept as it is. */
export type FieldType = 'text' | 'number' | 'text|number';

/** Every field of {@link AccessLine} with its type, in the order of the interface: the 29 of the cloud-native gateway, then ours. */
export const FIELDS: { readonly [K in keyof AccessLine]-?: FieldType } = {
  __time__: 'text',
  cluster_id: 'text',
  ai_log: 'text',
  authority: 'text',
  bytes_received: 'number',
  bytes_sent: 'number',
  downstream_local_address: 'text',
  downstream_remote_address: 'text',
  duration: 'number',
  method: 'text',
  path: 'text',
  protocol: 'text',
  request_duration: 'number',
  request_id: 'text',
  requested_server_name: 'text',
  response_code: 'number',
  response_code_details: 'text',
  response_flags: 'text',
  response_tx_duration: 'number',
  route_name: 'text',
  start_time: 'text',
  trace_id: 'text',
  upstream_cluster: 'text',
  upstream_host: 'text',
  upstream_local_address: 'text',
  upstream_service_time: 'text',
  upstream_transport_failure_reason: 'text',
  user_agent: 'text',
  x_forwarded_for: 'text',
  workspace: 'text',
  group_id: 'text',
  api_id: 'text',
  api_name: 'text',
  release: 'text|number',
  policy: 'text',
  app_id: 'text',
  app_name: 'text',
  edge_code: 'text',
  edge_detail: 'text',
  result_code: 'text',
  backend_protocol: 'text',
  target_path: 'text',
  gateway_host: 'text',
  client_trace_id: 'text',
  attempts: 'number',
  gateway_us: 'number',
  backend_us: 'number',
  node: 'text',
};

export const FIELD_NAMES: readonly (keyof AccessLine)[] = Object.freeze(Object.keys(FIELDS) as (keyof AccessLine)[]);

/** Names other products use for a field of ours. */
export const ALIASES: Readonly<Record<string, keyof AccessLine>> = Object.freeze({
  // Heading of the flag list in the cloud-native gateway's documentation; the log itself has response_flags.
  Response_Flag: 'response_flags',
  response_flag: 'response_flags',
});
