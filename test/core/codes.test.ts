import { describe, expect, it } from 'vitest';
import { CODES, codeFromStatus, codeOf, isSuccess } from '../../src/core/codes/catalogue.js';
import { type CauseInput, causeOf, codeFromLine } from '../../src/core/codes/cause.js';
import { TIP_REPAIRS } from '../../src/core/codes/repairs.js';
import rows from '../../src/core/codes/result-codes.json' with { type: 'json' };
import { REPLY_CAUSES } from '../../src/core/xds/local-reply.js';

describe('the catalogue', () => {
  it('has the 140 codes of the contract with their statuses and memos, and our own block', () => {
    expect(rows).toHaveLength(140);
    for (const row of rows) {
      expect(codeOf(row.code)).toMatchObject({ code: row.code, httpStatus: row.httpStatus, memo: row.memo });
    }
    const own = [...CODES.values()].filter(({ code }) => code.startsWith('9'));
    expect(own.map(({ code, httpStatus, memo }) => [code, httpStatus, memo])).toEqual([
      ['9413', 413, 'RequestTooLarge'],
      ['9499', 499, 'ClientGone'],
      ['9503', 503, 'UpstreamOverflow'],
      ['9504', 503, 'GatewayOverloaded'],
    ]);
    for (const { why } of own) expect(why).toMatch(/\w+/);
    expect(CODES.size).toBe(144);
    expect(Object.isFrozen(codeOf('1000'))).toBe(true);
  });

  it('repairs tips and keeps the published one beside', () => {
    for (const code of Object.keys(TIP_REPAIRS)) {
      const row = rows.find((r) => r.code === code);
      expect(codeOf(code)?.sourceTipsZh, code).toBe(row?.tipsZh);
      expect(codeOf(code)?.tipsZh, code).not.toBe(row?.tipsZh);
    }
    expect(codeOf('4010')?.tipsZh).toBe(codeOf('4011')?.sourceTipsZh);
    expect(codeOf('4011')?.tipsZh).toBe(codeOf('4010')?.sourceTipsZh);
    expect(codeOf('2115')?.sourceTipsZh).toBeUndefined();
    expect(codeOf('2116')?.tipsEn).not.toBe(codeOf('2115')?.tipsEn);
  });

  it('knows no code that is only a property of objects', () => {
    expect(codeOf('constructor')).toBeUndefined();
    expect(codeOf('__proto__')).toBeUndefined();
  });

  it.each([
    [100, '1800'],
    [101, '1800'],
    [200, '1000'],
    [201, '1801'],
    [208, '1808'],
    [226, '1809'],
    [299, '1000'],
    [300, '6100'],
    [302, '6102'],
    [305, '6105'],
    [306, '6102'],
    [307, '6106'],
    [308, '6107'],
    [400, '6201'],
    [404, '6205'],
    [417, '6218'],
    [418, '6201'],
    [421, '6219'],
    [425, '6201'],
    [426, '6223'],
    [431, '6226'],
    [451, '6201'],
    [500, '6301'],
    [502, '6303'],
    [503, '6304'],
    [504, '6305'],
    [508, '6309'],
    [509, '6301'],
    [511, '6311'],
    [599, '6301'],
    [0, '5000'],
    [99, '5000'],
    [600, '5000'],
    [-1, '5000'],
    [Number.NaN, '5000'],
  ])('status %i of a backend is %s', (status, code) => {
    expect(codeFromStatus(status)).toBe(code);
  });

  it('counts 1000, 1100, 18xx, 1999 and 8002 as success, and nothing else', () => {
    const good = [...CODES.keys()].filter(isSuccess);
    expect(good).toEqual(['1000', '1100', ...Array.from({ length: 10 }, (_, i) => `180${i}`), '1999', '8002'].sort());
    for (const code of ['', '10000', '100', '18', 'x1000', '8003', '6102']) expect(isSuccess(code)).toBe(false);
  });
});

const nothing: CauseInput = {
  response_code: null,
  response_code_details: null,
  response_flags: null,
  upstream_host: null,
  upstream_transport_failure_reason: null,
  backend_protocol: null,
  edge_code: null,
  result_code: null,
};
const line = (fields: Partial<CauseInput>): CauseInput => ({ ...nothing, ...fields });
const refused =
  'upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}';

describe('the code of a line', () => {
  // Flags and details as Envoy 1.40 writes them; codes by protocol of the backend: HTTP, SOFARPC, Dubbo.
  it.each<[string, number, string | null, string, string, string, string]>([
    ['no group', 404, 'NR', 'route_not_found', '3001', '3001', '3001'],
    ['no cluster', 503, 'NC', 'cluster_not_found', '4000', '5010', '4000'],
    ['no endpoint', 503, 'UH', 'no_healthy_upstream', '4000', '5011', '4000'],
    ['name does not resolve', 503, 'UH', 'dns_resolution_failure{x}', '4000', '5011', '4000'],
    ['port closed', 503, 'UF', refused, '6303', '5011', '4002'],
    ['port closed, tried again', 503, 'URX,UF', refused, '6303', '5011', '4002'],
    [
      'connect timeout',
      503,
      'UF',
      'upstream_reset_before_response_started{connection_timeout}',
      '4002',
      '4002',
      '4002',
    ],
    [
      'closed before headers',
      503,
      'UC',
      'upstream_reset_before_response_started{connection_termination}',
      '4002',
      '4002',
      '4002',
    ],
    ['reset', 503, 'UR', 'upstream_reset_before_response_started{remote_reset}', '4002', '4002', '4002'],
    ['garbage', 502, 'UPE', 'upstream_reset_before_response_started{protocol_error}', '4002', '4002', '4002'],
    ['dies in the body', 200, 'UPE', 'upstream_reset_after_response_started{protocol_error}', '4002', '4002', '4002'],
    ['route timeout', 504, 'UT', 'response_timeout', '6305', '5013', '4001'],
    ['per-try timeout', 504, 'URX,UT', 'upstream_per_try_timeout', '6305', '5013', '4001'],
    ['longest duration of the route', 504, null, 'max_duration_timeout', '6305', '5013', '4001'],
    ['longest duration of the cluster', 504, 'UMSDR', 'upstream_max_stream_duration_reached', '6305', '5013', '4001'],
    ['idle', 504, 'SI', 'stream_idle_timeout', '6305', '5013', '4001'],
    ['timeout after a failed connect', 504, 'UF,UT', 'response_timeout', '6305', '5013', '4001'],
    ['breaker', 503, 'UO', 'upstream_reset_before_response_started{overflow}', '9503', '5012', '9503'],
    ['drop all', 503, 'UDO', 'unconditional_drop_overload', '9503', '5012', '9503'],
    ['drop some', 503, 'DO', 'drop_overload', '9503', '5012', '9503'],
    ['local limit', 429, 'RL', 'local_rate_limited', '1002', '1002', '1002'],
    ['shared limit', 429, 'RL', 'request_rate_limited', '1002', '1002', '1002'],
    ['limit service', 500, 'RLSE', 'rate_limiter_error', '5000', '5000', '5000'],
    ['IP rule', 403, null, 'rbac_access_denied_matched_policy[ip]', '8101', '8101', '8101'],
    ['path guard', 403, null, 'rbac_access_denied_matched_policy[path-guard]', '3999', '3999', '3999'],
    ['body too large', 413, null, 'request_payload_too_large', '9413', '9413', '9413'],
    ['malformed', 400, 'DPE', 'http1.codec_error', '3999', '3999', '3999'],
    ['no host', 400, null, 'missing_host_header', '3999', '3999', '3999'],
    ['bad path', 400, null, 'path_normalization_failed', '3999', '3999', '3999'],
    ['HTTP/1.0', 426, null, 'low_version', '3999', '3999', '3999'],
    ['edge away', 403, 'UAEX', 'ext_authz_error', '7777', '7777', '7777'],
    ['processor away', 504, null, 'ext_proc_error_timeout', '7777', '7777', '7777'],
    ['overload', 503, null, 'overload', '9504', '9504', '9504'],
    ['overload manager', 503, 'OM', 'unknown', '9504', '9504', '9504'],
    ['client gone', 0, 'DC', 'downstream_remote_disconnect', '9499', '9499', '9499'],
    ['client gone in the body', 200, 'DC', 'downstream_remote_disconnect', '9499', '9499', '9499'],
    ['client reset', 0, 'DR', 'http2.remote_reset', '9499', '9499', '9499'],
    ['fault', 503, 'FI', 'fault_filter_abort', '5000', '5000', '5000'],
    ['preflight', 200, null, 'cors_response', '8002', '8002', '8002'],
    ['something new', 503, null, 'a_reason_of_tomorrow', '5000', '5000', '5000'],
    ['a flag of an extension', 503, 'XYZ', 'a_reason_of_tomorrow', '5000', '5000', '5000'],
    ['a mock that names no code', 200, null, 'direct_response', '1100', '1100', '1100'],
    ['a redirect', 301, null, 'direct_response', '6101', '6101', '6101'],
    ['a fixed error that names no code', 404, null, 'direct_response', '5000', '5000', '5000'],
  ])('%s', (_, status, flags, details, http, sofa, dubbo) => {
    const input = { response_code: status, response_flags: flags, response_code_details: details };
    const by = (backend_protocol: string | null) => codeFromLine(line({ ...input, backend_protocol }));
    expect([by(null), by('Http'), by('Sofa'), by('Dubbo'), by('Triple')]).toEqual([http, http, sofa, dubbo, dubbo]);
  });

  it('is the backend’s own when the backend answered, whatever flags of retries say', () => {
    const own = { response_code_details: 'via_upstream', upstream_host: '10.0.0.1:80' };
    expect(codeFromLine(line({ ...own, response_code: 200 }))).toBe('1000');
    expect(codeFromLine(line({ ...own, response_code: 503, response_flags: 'URX' }))).toBe('6304');
    expect(codeFromLine(line({ ...own, response_code: 404, edge_code: '1000' }))).toBe('6205');
    expect(codeFromLine(line({ ...own, response_code: 504, response_flags: 'DI' }))).toBe('6305');
  });

  it('is what the gateway set on a failing response', () => {
    expect(
      codeFromLine(line({ response_code: 403, response_code_details: 'direct_response', result_code: '3000' })),
    ).toBe('3000');
    expect(codeFromLine(line({ response_code: 400, response_code_details: 'via_upstream', result_code: '2104' }))).toBe(
      '2104',
    );
  });

  it('is not what a backend wrote into the header of its own response to look well', () => {
    expect(codeFromLine(line({ response_code: 500, response_code_details: 'via_upstream', result_code: '1000' }))).toBe(
      '6301',
    );
  });

  it('agrees with what the local replies of Envoy are given', () => {
    for (const { when, reply } of REPLY_CAUSES) {
      if (!('flags' in when)) continue;
      for (const flag of when.flags)
        expect(codeFromLine(line({ response_code: 503, response_flags: flag })), flag).toBe(reply);
    }
    const told = REPLY_CAUSES.flatMap(({ when, reply }) => {
      const expression = 'cel' in when && /^\d{4}$/.test(reply) ? when.cel : '';
      return [...expression.matchAll(/code_details (?:== |\.?)'([^']+)'|startsWith\('([^']+)'\)/g)].map((m) => [
        m[1] ?? m[2],
        reply,
      ]);
    });
    expect(told.length).toBeGreaterThan(15);
    for (const [details, reply] of told) {
      if (details === 'route_not_found' || details === 'upstream_reset') continue; // with a further condition: CONNECT, refused
      expect(codeFromLine(line({ response_code: 503, response_code_details: `${details}` })), details).toBe(reply);
    }
  });

  it('is that of the edge when the edge refused or answered itself', () => {
    const denied = { response_flags: 'UAEX', response_code_details: 'ext_authz_denied' };
    expect(codeFromLine(line({ ...denied, response_code: 400, edge_code: '2102' }))).toBe('2102');
    expect(codeFromLine(line({ ...denied, response_code: 200, edge_code: '1100' }))).toBe('1100');
    expect(codeFromLine(line({ ...denied, response_code: 403 }))).toBe('7300');
    expect(
      codeFromLine(
        line({
          response_code: 502,
          response_flags: 'UAEX',
          response_code_details: 'ext_authz_error',
          edge_code: '5001',
        }),
      ),
    ).toBe('5001');
  });

  it('is never hidden by a success that was said before the failure', () => {
    const late = {
      response_flags: 'UPE',
      response_code_details: 'upstream_reset_after_response_started{protocol_error}',
    };
    expect(codeFromLine(line({ ...late, response_code: 200, result_code: '1000' }))).toBe('4002');
    expect(
      codeFromLine(line({ response_code: 504, response_code_details: 'response_timeout', edge_code: '1000' })),
    ).toBe('6305');
    expect(
      codeFromLine(line({ response_code: 429, response_code_details: 'local_rate_limited', result_code: '1000' })),
    ).toBe('1002');
  });

  it('does not believe a code that the catalogue does not have', () => {
    const forged = {
      response_code: 500,
      response_code_details: 'via_upstream',
      result_code: 'oops',
      edge_code: '0000',
    };
    expect(codeFromLine(line(forged))).toBe('6301');
  });

  it('is read from flags and host where there are no details (Envoy’s default text format)', () => {
    expect(causeOf(line({ response_code: 503, response_flags: 'UF', upstream_host: '10.0.0.1:80' }))).toMatchObject({
      code: '4002',
      from: 'flags',
    });
    expect(causeOf(line({ response_code: 404, response_flags: '-', upstream_host: '10.0.0.1:80' }))).toMatchObject({
      code: '6205',
      from: 'status',
    });
    expect(causeOf(line({ response_code: 404, response_flags: '-' }))).toMatchObject({ code: '5000', from: 'nothing' });
    expect(codeFromLine(nothing)).toBe('5000');
  });
});
