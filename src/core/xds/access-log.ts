import type { MessageInitShape } from '@bufbuild/protobuf';
import type { AccessLogSchema } from '../../gen/envoy/config/accesslog/v3/accesslog_pb.js';
import { FileAccessLogSchema } from '../../gen/envoy/extensions/access_loggers/file/v3/file_pb.js';
import type { AccessLine } from '../accesslog/record.js';
import type { FleetIr } from '../ir/fleet.js';
import { any } from './any.js';
import { literal } from './format-string.js';
import { AUTHZ_METADATA, METADATA, STATE } from './names.js';

const ofRoute = (key: string) => `%METADATA(ROUTE:${METADATA}:${key})%`;
const ofGroup = (key: string) => `%METADATA(VIRTUAL_HOST:${METADATA}:${key})%`;
const ofEdge = (key: string) => `%DYNAMIC_METADATA(${AUTHZ_METADATA}:${key})%`;

/** The first of these request headers that is there; an expression that fails is null in the log. */
function firstHeader(...names: readonly [string, ...string[]]): string {
  const value = (name: string) => `request.headers['${name}']`;
  const last = value(names.at(-1) as string);
  const choose = names
    .slice(0, -1)
    .reduceRight((rest, name) => `('${name}' in request.headers ? ${value(name)} : ${rest})`, last);
  return `%CEL(${choose})%`;
}

/** Envoy's operator for each field of the log. One operator alone keeps its type in JSON; what is absent is null. */
export function accessLogFormat(fleet: FleetIr): Readonly<Record<keyof AccessLine, string | null>> {
  return {
    __time__: '%START_TIME(%s%3f)%',
    cluster_id: literal(fleet.key),
    ai_log: null,
    // Envoy keeps what routing rewrote under these names; clients cannot send them, they are removed first.
    authority: '%REQ(X-ENVOY-ORIGINAL-HOST?:AUTHORITY)%',
    bytes_received: '%BYTES_RECEIVED%',
    bytes_sent: '%BYTES_SENT%',
    downstream_local_address: '%DOWNSTREAM_LOCAL_ADDRESS%',
    downstream_remote_address: '%DOWNSTREAM_REMOTE_ADDRESS%',
    duration: '%DURATION%',
    method: '%REQ(:METHOD)%',
    path: '%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%',
    protocol: '%PROTOCOL%',
    request_duration: '%REQUEST_DURATION%',
    request_id: '%REQ(X-REQUEST-ID)%',
    requested_server_name: '%REQUESTED_SERVER_NAME%',
    response_code: '%RESPONSE_CODE%',
    response_code_details: '%RESPONSE_CODE_DETAILS%',
    response_flags: '%RESPONSE_FLAGS%',
    response_tx_duration: '%RESPONSE_TX_DURATION%',
    route_name: '%ROUTE_NAME%',
    start_time: '%START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)%',
    trace_id: '%TRACE_ID%',
    upstream_cluster: '%UPSTREAM_CLUSTER%',
    upstream_host: '%UPSTREAM_HOST%',
    upstream_local_address: '%UPSTREAM_LOCAL_ADDRESS%',
    upstream_service_time: '%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%',
    upstream_transport_failure_reason: '%UPSTREAM_TRANSPORT_FAILURE_REASON%',
    user_agent: '%REQ(USER-AGENT)%',
    x_forwarded_for: '%REQ(X-FORWARDED-FOR)%',
    workspace: ofGroup('workspace'),
    group_id: ofGroup('group_id'),
    api_id: ofRoute('api_id'),
    api_name: ofRoute('api_name'),
    release: ofGroup('release'),
    policy: ofRoute('policy'),
    app_id: ofEdge('app_id'),
    app_name: ofEdge('app_name'),
    edge_code: ofEdge('result_code'),
    edge_detail: ofEdge('detail'),
    result_code: `%RESP(${fleet.headers.resultCode})%`,
    backend_protocol: ofRoute('backend_protocol'),
    target_path: '%PATH(NQ:PATH)%',
    gateway_host: `%FILTER_STATE(${STATE.host}:PLAIN)%`,
    client_trace_id: firstHeader('traceparent', 'x-b3-traceid', 'sofa-traceid'),
    attempts: '%UPSTREAM_REQUEST_ATTEMPT_COUNT%',
    gateway_us: '%COMMON_DURATION(DS_RX_BEG:US_TX_BEG:us)%',
    backend_us: '%COMMON_DURATION(US_TX_BEG:US_RX_BEG:us)%',
    node: '%CEL(xds.node.id)%',
  };
}

/** One JSON object a line, in the file the fleet names; what reads it knows exactly these keys. */
export function accessLog(fleet: FleetIr): MessageInitShape<typeof AccessLogSchema> {
  return {
    name: 'file',
    configType: {
      case: 'typedConfig',
      value: any(FileAccessLogSchema, {
        path: fleet.accessLogPath,
        accessLogFormat: {
          case: 'logFormat',
          value: { format: { case: 'jsonFormat', value: { ...accessLogFormat(fleet) } } },
        },
      }),
    },
  };
}
