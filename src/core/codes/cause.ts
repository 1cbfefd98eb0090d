import { CODES, codeFromStatus, isSuccess } from './catalogue.js';

/** What of an access-log line tells why a response came out as it did. Any parsed line of the access log has these. */
export interface CauseInput {
  readonly response_code: number | null;
  readonly response_code_details: string | null;
  readonly response_flags: string | null;
  readonly upstream_host: string | null;
  readonly upstream_transport_failure_reason: string | null;
  readonly backend_protocol: string | null;
  readonly edge_code: string | null;
  readonly result_code: string | null;
}

/** One row of the table from causes to codes. */
export interface CauseRow {
  /** What happened, in words. */
  readonly cause: string;
  /** Short response flags that mean it (any of them). */
  readonly flags: readonly string[];
  /** Response code details that mean it, anchored at the start; blanks are `_` there. */
  readonly details?: RegExp;
  /** Further condition on the line. */
  readonly when?: (input: CauseInput) => boolean;
  /** Code by protocol of the backend. */
  readonly code: { readonly http: string; readonly sofa: string; readonly dubbo: string };
  /** Where the row comes from. */
  readonly source: string;
}

const all = (code: string) => ({ http: code, sofa: code, dubbo: code });
const SEEN = 'seen on Envoy 1.40; choice of code: result-code contract, table of causes';
const DOC = 'Envoy documentation, response code details and response flags';

/**
 * From causes to codes. Details are tried on all rows before flags, because they are the finer of the two: an upstream time-out
 * after a failed connect carries both UF and UT. Within each pass the first row wins.
 */
export const CAUSES: readonly CauseRow[] = [
  {
    cause: 'the client went away',
    flags: ['DC', 'DR'],
    details: /^(?:downstream_remote_disconnect|http[23]\.remote_(?:reset|refuse))/,
    code: all('9499'),
    source: `${DOC}; own block, because the contract has no code for it`,
  },
  {
    cause: 'a path the gateway refuses (dot segments, empty segments, encoded slash or zero)',
    flags: [],
    details: /^rbac_access_denied_matched_policy\[path-guard\]/,
    code: all('3999'),
    source: 'name of the policy that the compiler gives the path guard',
  },
  {
    cause: 'the IP rule of the API refused the client',
    flags: [],
    details: /^rbac_access_denied/,
    code: all('8101'),
    source: SEEN,
  },
  {
    cause: 'the edge did not answer, or answered what Envoy cannot use',
    flags: [],
    details: /^(?:ext_authz_(?:error|invalid)|ext_proc_error)/,
    code: all('7777'),
    source: SEEN,
  },
  {
    cause: 'external authorization refused, and the decision carried no code',
    flags: ['UAEX'],
    details: /^ext_authz_denied/,
    code: all('7300'),
    source: 'the contract: 7300 is a refusal by external authorization. Our own edge always names its code',
  },
  {
    cause: 'the rate-limit service failed and the API says deny',
    flags: ['RLSE'],
    details: /^rate_limiter_error/,
    code: all('5000'),
    source: SEEN,
  },
  {
    cause: 'rate limited by the gateway',
    flags: ['RL'],
    details: /^(?:local_rate_limited|request_rate_limited)/,
    code: all('1002'),
    source: SEEN,
  },
  {
    cause: 'the request body is over the limit',
    flags: [],
    details: /^request_payload_too_large/,
    code: all('9413'),
    source: SEEN,
  },
  {
    cause: 'Envoy shed the request to protect itself',
    flags: ['OM'],
    details: /^overload/,
    code: all('9504'),
    source: SEEN,
  },
  {
    cause: 'a malformed or unfinished request',
    flags: ['DPE', 'IH'],
    details:
      /^(?:http[123]\.|low_version|missing_host_header|missing_path_rejected|absolute_path_rejected|path_normalization_failed|invalid_path|upgrade_failed|request_(?:overall|header)_timeout)/,
    code: all('3999'),
    source: `${SEEN}; paths rejected, upgrades, request time-outs and IH: ${DOC}`,
  },
  {
    cause: 'no such cluster',
    flags: ['NC'],
    details: /^cluster_not_found/,
    code: { http: '4000', sofa: '5010', dubbo: '4000' },
    source: SEEN,
  },
  {
    cause: 'no host to send to (none healthy, none known, or the name did not resolve)',
    flags: ['UH', 'DF'],
    details: /^(?:no_healthy_upstream|dns_resolution_failure)/,
    code: { http: '4000', sofa: '5011', dubbo: '4000' },
    source: SEEN,
  },
  {
    cause: 'the circuit breaker is open, or load is dropped',
    flags: ['UO', 'UDO', 'DO'],
    details:
      /^(?:upstream_reset_before_response_started\{overflow|unconditional_drop_overload|drop_overload|maintenance_mode)/,
    code: { http: '9503', sofa: '5012', dubbo: '9503' },
    source: `${SEEN}; drop_overload, maintenance_mode: ${DOC}`,
  },
  {
    cause: 'the backend took too long (API time-out, per try, idle, or duration)',
    flags: ['UT', 'SI', 'UMSDR', 'DT'],
    details:
      /^(?:(?:upstream_)?response_timeout|upstream_per_try_(?:idle_)?timeout|upstream_max_stream_duration_reached|(?:max_)?duration_timeout|stream_idle_timeout|upstream_reset_before_response_started\{(?:http2?_)?stream_idle_timeout)/,
    code: { http: '6305', sofa: '5013', dubbo: '4001' },
    source: SEEN,
  },
  {
    cause: 'the backend refused the connection: its port is not available',
    flags: ['UF'],
    when: refused,
    code: { http: '6303', sofa: '5011', dubbo: '4002' },
    source: `${SEEN}; the contract gives 6303 the meaning "port unavailable"`,
  },
  {
    cause: 'the backend could not be reached, broke off, or answered what is no HTTP',
    flags: ['UF', 'UC', 'UR', 'UPE', 'LR'],
    details: /^upstream_reset_(?:before|after)_response_started/,
    // The finer rows above are found by flag; details of this shape must not take a refused connection from them.
    when: (input) => !refused(input),
    code: all('4002'),
    source: SEEN,
  },
  {
    cause: 'no group has this host, or no filter chain fits',
    flags: ['NR'],
    details: /^(?:route_not_found|route_configuration_not_found|no_route|filter_chain_not_found)/,
    code: all('3001'),
    source: `${SEEN}; filter_chain_not_found: ${DOC}`,
  },
  {
    cause: 'a CORS preflight the gateway answered',
    flags: [],
    details: /^cors_response/,
    code: all('8002'),
    source: `${DOC}; the contract: 8002`,
  },
  {
    cause: 'a health check of the gateway itself',
    flags: [],
    details: /^health_check_(?:ok|cached)/,
    code: all('1999'),
    source: `${DOC}; the contract: 1999`,
  },
  {
    cause: 'stopped by fault injection, a failed local health check, or a filter without configuration',
    flags: ['FI', 'LH', 'NFCF'],
    details: /^(?:fault_filter_abort|health_check_failed|filter_config_not_found)/,
    code: all('5000'),
    source: `${SEEN}; the contract has no code for these`,
  },
];

/** What a line's code is and why. */
export interface Cause {
  readonly code: string;
  /** What happened, in words. */
  readonly cause: string;
  /** What the answer was read from. */
  readonly from: 'header' | 'edge' | 'details' | 'flags' | 'status' | 'nothing';
  readonly source: string;
}

/**
 * The result code of a logged request, by cause. Total: every line has one, 5000 when nothing explains it.
 *
 * In this order: a failing code on the response header; a decision of the edge that ended the request; the table of causes; the
 * backend's own status; a code of success on the header of a reply the gateway made. A code of success never hides a later failure: the edge's `1000`
 * only says that it let the request pass, and a header of success may be out before the backend dies in the body.
 */
export function causeOf(input: CauseInput): Cause {
  const header = known(input.result_code);
  if (header && !isSuccess(header)) return cause(header, 'the gateway set this code on its response', 'header');
  const edge = known(input.edge_code);
  if (edge && (!isSuccess(edge) || input.response_code_details === 'ext_authz_denied')) {
    return cause(edge, 'the edge decided so', 'edge');
  }
  const details = present(input.response_code_details);
  // A code of success on the backend's own response adds nothing to its status, and a backend could have written it.
  if (details === 'via_upstream') return ofBackend(input);
  const flags = splitFlags(input.response_flags);
  const row = byDetails(details, input) ?? byFlags(flags, input);
  if (row)
    return {
      code: row.code[column(input.backend_protocol)],
      cause: row.cause,
      from: details ? 'details' : 'flags',
      source: row.source,
    };
  if (header) return cause(header, 'the gateway set this code on its response', 'header');
  return withoutRow(input, details, flags);
}

/** The code alone of {@link causeOf}. */
export function codeFromLine(input: CauseInput): string {
  return causeOf(input).code;
}

/** The short flags of a line, in its order; none for null, `-` and the empty text. */
export function splitFlags(flags: string | null): readonly string[] {
  if (!flags || flags === '-') return [];
  return flags
    .split(',')
    .map((flag) => flag.trim())
    .filter((flag) => flag !== '');
}

function withoutRow(input: CauseInput, details: string | null, flags: readonly string[]): Cause {
  // Envoy's default text format has no details: a host that was asked and no flag of failure mean the backend's own answer.
  if (flags.includes('RFCF') || (details === null && present(input.upstream_host))) return ofBackend(input);
  const status = input.response_code ?? 0;
  if (details !== null && details !== 'direct_response') return unknown;
  if (status >= 200 && status < 300) {
    return cause('1100', 'a fixed reply of the gateway', 'status', 'the contract: 1100 is a mock that names no code');
  }
  if (status >= 300 && status < 400) return cause(codeFromStatus(status), 'a redirect made by the gateway', 'status');
  return unknown;
}

const unknown: Cause = cause(
  '5000',
  'nothing on the line explains it',
  'nothing',
  'the contract: anything else is 5000',
);

function ofBackend(input: CauseInput): Cause {
  return cause(codeFromStatus(input.response_code ?? 0), 'the status is the backend’s own', 'status');
}

function cause(code: string, words: string, from: Cause['from'], source = 'result-code contract'): Cause {
  return Object.freeze({ code, cause: words, from, source });
}

function byDetails(details: string | null, input: CauseInput): CauseRow | undefined {
  if (details === null) return undefined;
  return CAUSES.find((row) => row.details?.test(details) && (row.when?.(input) ?? true));
}

function byFlags(flags: readonly string[], input: CauseInput): CauseRow | undefined {
  if (flags.length === 0) return undefined;
  return CAUSES.find((row) => row.flags.some((flag) => flags.includes(flag)) && (row.when?.(input) ?? true));
}

/** Whether the backend's kernel said no. Envoy tells it in the details and in the transport failure reason, as text or as errno 111. */
function refused(input: CauseInput): boolean {
  const said = `${input.response_code_details ?? ''} ${input.upstream_transport_failure_reason ?? ''}`;
  return /connection[_ ]refused|connect[_ ]error:[_ ]?111\b/i.test(said);
}

function column(protocol: string | null): 'http' | 'sofa' | 'dubbo' {
  if (protocol === 'Sofa') return 'sofa';
  return protocol === 'Dubbo' || protocol === 'Triple' ? 'dubbo' : 'http';
}

function known(code: string | null): string | undefined {
  return code !== null && CODES.has(code) ? code : undefined;
}

function present(value: string | null): string | null {
  return value === null || value === '' || value === '-' ? null : value;
}
