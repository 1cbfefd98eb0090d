import type { MessageInitShape } from '@bufbuild/protobuf';
import type { AccessLogFilterSchema } from '../../gen/envoy/config/accesslog/v3/accesslog_pb.js';
import { ExpressionFilterSchema } from '../../gen/envoy/extensions/access_loggers/filters/cel/v3/cel_pb.js';
import type {
  LocalReplyConfigSchema,
  ResponseMapperSchema,
} from '../../gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { codeOf, type ResultCode } from '../codes/catalogue.js';
import type { FleetIr } from '../ir/fleet.js';
import { any } from './any.js';
import { headerOption, literal } from './format-string.js';
import { AUTHZ_METADATA, METADATA, PATH_GUARD_POLICY } from './names.js';

/** When a mapper applies: an expression in CEL, or any of some response flags. */
export type ReplyCondition = { readonly cel: string } | { readonly flags: readonly string[] };

/** One kind of reply that Envoy makes itself, and the result code it gets. */
export interface ReplyCause {
  readonly cause: string;
  readonly when: ReplyCondition;
  /**
   * A code: status, headers and body become the code's. `route`: the code stands in the route's metadata. `as-is`: nothing
   * changes, since whoever made the reply made all of it.
   */
  readonly reply: string | 'route' | 'as-is';
  /** Status set in place of the one the reply was born with; for a code, its own. */
  readonly status?: number;
}

const OF_ROUTE = `xds.route_metadata.filter_metadata['${METADATA}']`;
const OF_EDGE = `metadata.filter_metadata['${AUTHZ_METADATA}']`;
const details = (...any: readonly string[]) => any.map((text) => `response.code_details == '${text}'`).join(' || ');
const begins = (...any: readonly string[]) =>
  any.map((text) => `response.code_details.startsWith('${text}')`).join(' || ');

/**
 * The causes in the order they are tried; the first that applies is the one. Kinds known by details come before flags: Envoy
 * sets some flags (rate limit, protocol error) only after the reply is made. A condition that cannot be evaluated, such as
 * metadata of a route where there is none, does not apply.
 *
 * A reply born with status 400 closes an HTTP/1.1 connection, so replies that are to be 400 are born with another status.
 * To HEAD a reply has no body; to gRPC it has status 200, the code's HTTP status as grpc-status and the body as grpc-message.
 */
export const REPLY_CAUSES: readonly ReplyCause[] = [
  {
    cause: 'a route that stands for a result code',
    when: { cel: `response.code_details == 'direct_response' && 'tips' in ${OF_ROUTE} && ${OF_ROUTE}.http == '400'` },
    reply: 'route',
    status: 400,
  },
  {
    cause: 'a mock with status 400',
    when: { cel: `response.code_details == 'direct_response' && ${OF_ROUTE}.http == '400'` },
    reply: 'as-is',
    status: 400,
  },
  { cause: 'a mock', when: { cel: details('direct_response') }, reply: 'as-is' },
  {
    cause: 'a denial of the edge with status 400',
    when: { cel: `response.code_details == 'ext_authz_denied' && ${OF_EDGE}.http == '400'` },
    reply: 'as-is',
    status: 400,
  },
  { cause: 'a denial of the edge', when: { cel: details('ext_authz_denied') }, reply: 'as-is' },
  {
    cause: 'the edge did not answer, or answered what Envoy cannot use',
    when: { cel: begins('ext_authz_error', 'ext_authz_invalid', 'ext_proc_error') },
    reply: '7777',
  },
  { cause: 'rate limited', when: { cel: details('local_rate_limited', 'request_rate_limited') }, reply: '1002' },
  {
    cause: 'a path the gateway refuses',
    when: { cel: begins(`rbac_access_denied_matched_policy[${PATH_GUARD_POLICY}]`) },
    reply: '3999',
  },
  { cause: 'an IP rule', when: { cel: begins('rbac_access_denied') }, reply: '8101' },
  { cause: 'a body over the limit', when: { cel: details('request_payload_too_large') }, reply: '9413' },
  {
    cause: 'a malformed or unfinished request',
    when: {
      cel: [
        begins('http1.', 'http2.', 'http3.'),
        details(
          'low_version',
          'missing_host_header',
          'missing_path_rejected',
          'absolute_path_rejected',
          'path_normalization_failed',
          'invalid_path',
          'upgrade_failed',
          'request_overall_timeout',
          'request_header_timeout',
        ),
        // A tunnel has no path, so no API can be meant.
        "response.code_details == 'route_not_found' && request.method == 'CONNECT'",
      ].join(' || '),
    },
    reply: '3999',
  },
  { cause: 'Envoy sheds load', when: { cel: begins('overload') }, reply: '9504' },
  { cause: 'the longest duration of a request', when: { cel: details('max_duration_timeout') }, reply: '6305' },
  {
    cause: 'the backend refused the connection',
    when: {
      cel: "response.code_details.startsWith('upstream_reset') && response.code_details.contains('Connection_refused')",
    },
    reply: '6303',
  },
  { cause: 'no group has this host', when: { flags: ['NR'] }, reply: '3001' },
  { cause: 'no cluster, or no host to send to', when: { flags: ['NC', 'UH', 'DF'] }, reply: '4000' },
  { cause: 'the circuit breaker is open, or load is dropped', when: { flags: ['UO', 'UDO', 'DO'] }, reply: '9503' },
  { cause: 'Envoy sheds load (flag)', when: { flags: ['OM'] }, reply: '9504' },
  { cause: 'the backend took too long', when: { flags: ['UT', 'SI', 'UMSDR', 'DT'] }, reply: '6305' },
  { cause: 'the backend broke off or was not HTTP', when: { flags: ['UF', 'UC', 'UR', 'UPE', 'LR'] }, reply: '4002' },
  { cause: 'anything else Envoy made', when: { cel: 'response.code >= 400' }, reply: '5000' },
];

/** How replies that Envoy makes itself look: result code, memo and request id in headers and in a JSON body. */
export function localReplyConfig(fleet: FleetIr): MessageInitShape<typeof LocalReplyConfigSchema> {
  return { mappers: REPLY_CAUSES.map((cause) => mapper(cause, fleet)) };
}

function mapper(cause: ReplyCause, fleet: FleetIr): MessageInitShape<typeof ResponseMapperSchema> {
  const filter = condition(cause.when);
  if (cause.reply === 'as-is') return { filter, ...(cause.status && { statusCode: cause.status }) };
  if (cause.reply === 'route') {
    const field = (name: string) => `%METADATA(ROUTE:${METADATA}:${name})%`;
    const code = { code: field('code'), memo: field('memo'), tips: field('tips') };
    return { filter, ...(cause.status && { statusCode: cause.status }), ...reply(code, fleet) };
  }
  const row = codeOf(cause.reply) as ResultCode;
  const code = { code: row.code, memo: literal(row.memo), tips: literal(row.tipsEn) };
  return { filter, statusCode: row.httpStatus, ...reply(code, fleet) };
}

/** Headers and body of a reply; the fields are format strings. */
function reply({ code, memo, tips }: { code: string; memo: string; tips: string }, { headers, docsUrl }: FleetIr) {
  const requestId = '%REQ(X-REQUEST-ID)%';
  return {
    headersToAdd: [
      headerOption(headers.resultCode, code),
      headerOption(headers.memo, memo),
      headerOption(headers.requestId, requestId),
    ],
    bodyFormatOverride: {
      format: {
        case: 'jsonFormat' as const,
        value: { code, memo, tips, requestId, docs: `${literal(docsUrl)}${code}` },
      },
    },
  };
}

function condition(when: ReplyCondition): MessageInitShape<typeof AccessLogFilterSchema> {
  if ('flags' in when) {
    return { filterSpecifier: { case: 'responseFlagFilter', value: { flags: [...when.flags] } } };
  }
  return {
    filterSpecifier: {
      case: 'extensionFilter',
      value: {
        name: 'cel',
        configType: { case: 'typedConfig', value: any(ExpressionFilterSchema, { expression: when.cel }) },
      },
    },
  };
}
