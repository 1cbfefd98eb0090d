import type { AccessRecord } from '../core/accesslog/record.js';
import { codeOf } from '../core/codes/catalogue.js';
import { causeOf } from '../core/codes/cause.js';
import { type Column, facts, table } from './table.js';
import { paint } from './terminal.js';

const COLUMNS: readonly Column<AccessRecord>[] = [
  {
    head: 'TIME',
    cell: (r) => (r.time > 0 ? new Date(r.time).toISOString().replace('T', ' ').slice(0, 23) : undefined),
  },
  { head: 'CODE', cell: (r) => r.code },
  { head: 'MEMO', cell: (r) => r.memo },
  { head: 'HTTP', cell: (r) => r.line.response_code, right: true },
  { head: 'METHOD', cell: (r) => r.line.method },
  { head: 'PATH', cell: (r) => r.line.path, flexible: true },
  { head: 'API', cell: (r) => r.line.api_name ?? r.line.route_name, flexible: true },
  { head: 'APP', cell: (r) => r.line.app_name ?? r.line.app_id },
  { head: 'MS', cell: (r) => r.line.duration, right: true },
  { head: 'FLAGS', cell: (r) => (r.line.response_flags === '-' ? undefined : r.line.response_flags) },
  { head: 'REQUEST ID', cell: (r) => r.line.request_id, flexible: true },
];

/** Logged requests, one line each. Times are UTC. */
export function requestTable(records: readonly AccessRecord[]): string {
  return table(records, COLUMNS);
}

/** One logged request, all that is known: what happened, why, and what to do. */
export function explainRequest(record: AccessRecord): string {
  const { line, code, memo, success, time } = record;
  const known = codeOf(code);
  // The header tells the code and not the reason; what else the line holds does, if it leads to the same code.
  const behind = causeOf({ ...line, result_code: null });
  const { cause } = behind.code === code ? behind : causeOf(line);
  const parts = [
    paint(success ? 'green' : 'red', `${code} ${memo}`),
    facts([
      ['why', line.edge_detail ?? cause],
      ['what to do', success ? undefined : known?.tipsEn],
      ['提示', success ? undefined : known?.tipsZh],
    ]),
    '',
    facts([
      ['time', time > 0 ? `${new Date(time).toISOString()} (UTC)` : undefined],
      ['request', `${line.method ?? '-'} ${line.path ?? '-'} ${line.protocol ?? ''}`],
      ['host', line.gateway_host ?? line.authority],
      ['HTTP status', line.response_code],
      ['details', line.response_code_details],
      ...record.flags.map((flag) => [`flag ${flag.flag}`, `${flag.name}: ${flag.meaning}`] as const),
      ['failure', line.upstream_transport_failure_reason],
    ]),
    '',
    facts([
      ['workspace', line.workspace],
      ['group', line.group_id],
      ['API', line.api_name === null ? line.route_name : `${line.api_name} (${line.api_id})`],
      ['release', line.release],
      ['policy', line.policy],
      ['App', line.app_name === null ? line.app_id : `${line.app_name} (${line.app_id})`],
      ['client', line.downstream_remote_address],
      ['user agent', line.user_agent],
      ['node', line.node],
    ]),
    '',
    facts([
      ['backend', line.upstream_host],
      ['cluster', line.upstream_cluster],
      ['protocol', line.backend_protocol],
      ['backend path', line.target_path],
      ['tries', line.attempts],
      ['took', line.duration === null ? undefined : `${line.duration} ms`],
      ['gateway', line.gateway_us === null ? undefined : `${line.gateway_us} µs before the backend was called`],
      ['backend took', line.backend_us === null ? undefined : `${line.backend_us} µs to the first byte`],
      ['bytes', `${line.bytes_received ?? '-'} in, ${line.bytes_sent ?? '-'} out`],
      ['request id', line.request_id],
      ['trace id', line.trace_id ?? line.client_trace_id],
    ]),
  ];
  return parts.filter((part, i) => part !== '' || parts[i + 1] !== '').join('\n');
}
