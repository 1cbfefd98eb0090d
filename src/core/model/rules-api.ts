import { codeOf } from '../codes/catalogue.js';
import { pointerSegment } from '../diagnostic.js';
import type { ApiSpec, UpstreamSpec } from './api.js';
import { type Report, reportFault } from './fault.js';
import { headerValueFault, isReservedHeader, responseHeaderFault } from './header.js';
import { authorityFault } from './host.js';
import { parseApiPath, parseUpstreamPath } from './path.js';

/** Limit of the whole call when an API says nothing. */
export const DEFAULT_TIMEOUT_MS = 3000;
/** RE2 rewrites take `\1` to `\9`. */
const MOST_CAPTURES = 9;

/** Path, upstream, signature, retry and mock of one API make sense together. */
export function checkApi(spec: ApiSpec, report: Report): void {
  const { faults } = parseApiPath(spec.match.path);
  for (const fault of faults ?? []) reportFault(report, 'invalid-path', '/match/path', fault);
  checkAuth(spec.auth, report);
  checkRetry(spec, report);
  if (spec.upstream.kind === 'mock') checkMock(spec.upstream, report);
  else {
    if (spec.upstream.kind === 'weighted') checkWeights(spec.upstream.clusters, report);
    checkRewrite(spec.match.path, spec.upstream.path, report);
    if (spec.upstream.host !== undefined) {
      reportFault(report, 'invalid-rewrite', '/upstream/host', authorityFault(spec.upstream.host));
    }
  }
}

function checkAuth(auth: ApiSpec['auth'], report: Report): void {
  if (auth?.type !== 'signature') return;
  for (const [i, name] of (auth.requiredHeaders ?? []).entries()) {
    if (name === 'authorization' || name.startsWith('x-pf-')) {
      const why = name === 'authorization' ? 'carries the signature itself' : 'is removed from requests';
      report(
        'invalid-header-name',
        `/auth/requiredHeaders/${i}`,
        `A signature cannot cover "${name}": it ${why}.`,
        'Leave it out.',
      );
    }
  }
}

function checkRetry({ retry, timeoutMs = DEFAULT_TIMEOUT_MS }: ApiSpec, report: Report): void {
  if (!retry) return;
  if (retry.perTryTimeoutMs !== undefined && retry.perTryTimeoutMs > timeoutMs) {
    report(
      'invalid-timeout',
      '/retry/perTryTimeoutMs',
      `One try may take ${retry.perTryTimeoutMs} ms, the whole call only ${timeoutMs} ms.`,
      'Raise timeoutMs or lower perTryTimeoutMs.',
    );
  }
  const listed = (retry.statusCodes ?? []).length > 0;
  const asked = retry.on?.includes('retriable-status-codes');
  if (asked && !listed) {
    report(
      'invalid-retry',
      '/retry/on',
      '"retriable-status-codes" is asked for, but statusCodes lists none.',
      'Add statusCodes, e.g. [503].',
    );
  }
  if (listed && retry.on && !asked) {
    report(
      'invalid-retry',
      '/retry/statusCodes',
      'statusCodes has no effect, because "on" lacks "retriable-status-codes".',
      'Add "retriable-status-codes" to "on", or leave "on" out.',
    );
  }
}

function checkWeights(clusters: readonly { cluster: string; weight: number }[], report: Report): void {
  const sum = clusters.reduce((total, { weight }) => total + weight, 0);
  if (sum !== 100) {
    report('invalid-weights', '/upstream/clusters', `The weights add up to ${sum}.`, 'Make them add up to 100.');
  }
  const seen = new Set<string>();
  for (const [i, { cluster }] of clusters.entries()) {
    if (seen.has(cluster)) {
      report(
        'invalid-weights',
        `/upstream/clusters/${i}/cluster`,
        `The cluster "${cluster}" is listed twice.`,
        'Add the two weights up in one entry.',
      );
    }
    seen.add(cluster);
  }
}

function checkRewrite(apiPath: string, upstreamPath: string | undefined, report: Report): void {
  if (upstreamPath === undefined) return;
  const upstream = parseUpstreamPath(upstreamPath);
  for (const fault of upstream.faults ?? []) reportFault(report, 'invalid-rewrite', '/upstream/path', fault);
  const api = parseApiPath(apiPath);
  if (upstream.faults || api.faults) return;
  const known = api.path.segments.flatMap((segment) => (segment.kind === 'parameter' ? [segment.name] : []));
  const used = new Set(upstream.path.parts.flatMap((part) => (typeof part === 'string' ? [] : [part.parameter])));
  for (const name of used) {
    if (known.includes(name)) continue;
    const has = known.length > 0 ? `It has ${known.map((k) => `{${k}}`).join(', ')}.` : 'It has none.';
    report('invalid-rewrite', '/upstream/path', `The API path ${apiPath} has no parameter {${name}}.`, has);
  }
  if (upstream.path.rest && !api.path.prefix) {
    report(
      'invalid-rewrite',
      '/upstream/path',
      `The upstream path ends in /*, but the API path ${apiPath} does not.`,
      'Leave the "*" out, or end the API path in /*.',
    );
  }
  const captures = used.size + (upstream.path.rest ? 1 : 0);
  if (captures > MOST_CAPTURES) {
    report(
      'invalid-rewrite',
      '/upstream/path',
      `It uses ${captures} parts of the API path; Envoy can carry ${MOST_CAPTURES}.`,
      'Use fewer parameters, or pass the path through.',
    );
  }
}

function checkMock(mock: Extract<UpstreamSpec, { kind: 'mock' }>, report: Report): void {
  const entry = codeOf(mock.resultCode ?? '1100');
  if (!entry) {
    report(
      'unknown-result-code',
      '/upstream/resultCode',
      `The catalogue has no result code ${mock.resultCode}.`,
      'Use a code of docs/reference/result-codes.md; 1100 is the one of mocks.',
    );
  }
  const status = mock.status ?? entry?.httpStatus;
  if (mock.status === undefined && entry && entry.httpStatus < 200) {
    report(
      'invalid-mock',
      '/upstream/resultCode',
      `${entry.code} has the HTTP status ${entry.httpStatus}, which cannot end a response.`,
      'Set a status from 200 to 599 as well.',
    );
  }
  if (mock.body && (status === 204 || status === 205 || status === 304)) {
    report(
      'invalid-mock',
      '/upstream/body',
      `A response with status ${status} has no body (RFC 9110 §15).`,
      'Leave the body out, or choose another status.',
    );
  }
  if (mock.body !== undefined && /\p{Surrogate}/u.test(mock.body)) {
    report(
      'invalid-mock',
      '/upstream/body',
      'The body has half of a surrogate pair, which cannot be sent as UTF-8.',
      'Repair the text.',
    );
  }
  if (mock.contentType !== undefined && (mock.contentType === '' || headerValueFault(mock.contentType))) {
    report(
      'invalid-header-value',
      '/upstream/contentType',
      `${JSON.stringify(mock.contentType)} is no content type.`,
      'Write e.g. application/json or text/plain; charset=utf-8.',
    );
  }
  const seen = new Set<string>();
  for (const [name, value] of Object.entries(mock.headers ?? {})) {
    const path = `/upstream/headers/${pointerSegment(name)}`;
    const lower = name.toLowerCase();
    reportFault(report, 'invalid-header-name', path, responseHeaderFault(name));
    reportFault(report, 'invalid-header-value', path, headerValueFault(value));
    if (lower === 'content-type') {
      report('invalid-header-name', path, 'The content type has a field of its own.', 'Use contentType.');
    } else if (isReservedHeader(name)) {
      report('invalid-header-name', path, `"${name}" is set by the gateway.`, 'Choose another name.');
    } else if (seen.has(lower)) {
      report(
        'invalid-header-name',
        path,
        `"${name}" occurs twice; header names are compared without case.`,
        'Remove one of them.',
      );
    }
    seen.add(lower);
  }
}
