/**
 * One request as the access log tells it. Field names of the first block are those of the cloud-native gateway's log (29
 * fields); the second block is ours. Envoy writes exactly these keys as typed JSON, one object a line; absent values are null.
 */
export interface AccessLine {
  /** Unix time of the request's start in milliseconds, as a decimal string (`%START_TIME(%s%3f)%`). */
  readonly __time__: string | null;
  /** node.cluster of the Envoy: `<workspace>/<fleet>`. */
  readonly cluster_id: string | null;
  readonly ai_log: string | null;
  readonly authority: string | null;
  readonly bytes_received: number | null;
  readonly bytes_sent: number | null;
  readonly downstream_local_address: string | null;
  readonly downstream_remote_address: string | null;
  /** Milliseconds from the first byte of the request to the last byte of the response. */
  readonly duration: number | null;
  readonly method: string | null;
  /** Path and query as the client sent them. */
  readonly path: string | null;
  readonly protocol: string | null;
  /** Milliseconds from the first to the last byte of the request. */
  readonly request_duration: number | null;
  readonly request_id: string | null;
  readonly requested_server_name: string | null;
  /** HTTP status; 0 when no response was started. */
  readonly response_code: number | null;
  readonly response_code_details: string | null;
  /** Short response flags, comma separated; null or `-` for none. */
  readonly response_flags: string | null;
  /** Milliseconds from the first byte of the backend's response to the last byte sent to the client. */
  readonly response_tx_duration: number | null;
  readonly route_name: string | null;
  /** ISO 8601 with milliseconds, UTC. */
  readonly start_time: string | null;
  readonly trace_id: string | null;
  readonly upstream_cluster: string | null;
  readonly upstream_host: string | null;
  readonly upstream_local_address: string | null;
  /** Milliseconds, as a decimal string (a response header). */
  readonly upstream_service_time: string | null;
  readonly upstream_transport_failure_reason: string | null;
  readonly user_agent: string | null;
  readonly x_forwarded_for: string | null;

  /** Workspace of the API (`%METADATA(VIRTUAL_HOST:paifang:workspace)%`). */
  readonly workspace: string | null;
  /** Group id, API id and API name from route metadata; null when no group or API was found. */
  readonly group_id: string | null;
  readonly api_id: string | null;
  readonly api_name: string | null;
  /** Number of the release that last changed the group. */
  readonly release: number | string | null;
  /** Name of the policy the edge applied. */
  readonly policy: string | null;
  /** Id of the App the edge identified (dynamic metadata of ext_authz). */
  readonly app_id: string | null;
  /** Its name. */
  readonly app_name: string | null;
  /** Result code set where the cause was known: by the edge (dynamic metadata). */
  readonly edge_code: string | null;
  /** Why the edge refused, for the developer of the client; holds no secret. */
  readonly edge_detail: string | null;
  /** Result code on the response (header); null on responses of backends that carry none. */
  readonly result_code: string | null;
  /** Protocol of the backend: Http, Mock, Sofa, Dubbo, Triple. */
  readonly backend_protocol: string | null;
  /** Path the backend was asked for (after rewriting), without query. */
  readonly target_path: string | null;
  /** Host or x-gateway-host, lower-case, without port: the key of group lookup. */
  readonly gateway_host: string | null;
  /** Trace id the client sent (traceparent, X-B3-TraceId or SOFA-TraceId). */
  readonly client_trace_id: string | null;
  /** Tries at the backend. */
  readonly attempts: number | null;
  /** Microseconds from the first byte of the request to the first byte sent to the backend: the gateway's share. */
  readonly gateway_us: number | null;
  /** Microseconds from the first byte sent to the backend to the first byte of its response. */
  readonly backend_us: number | null;
  /** node.id of the Envoy. */
  readonly node: string | null;
}

/** A line with its meaning: what is stored and what queries answer. */
export interface AccessRecord {
  readonly line: AccessLine;
  /** Fields of a foreign log that {@link AccessLine} has not; null when there were none. */
  readonly extra: Readonly<Record<string, unknown>> | null;
  /** Workspace of the group, else that of the fleet; null for logs of other products. */
  readonly workspace: string | null;
  /** Unix milliseconds. */
  readonly time: number;
  /** Result code by cause; always there. */
  readonly code: string;
  readonly memo: string;
  /** Whether the call counts as success (1000, 1100, 18xx, 1999, 8002). */
  readonly success: boolean;
  /** Meaning of each response flag, in the order of the line. */
  readonly flags: readonly FlagMeaning[];
}

export interface FlagMeaning {
  readonly flag: string;
  readonly name: string;
  readonly meaning: string;
}

/** A line that could not be read: kept whole, counted, never lost. */
export interface UnparsedLine {
  readonly raw: string;
  readonly reason: string;
}
