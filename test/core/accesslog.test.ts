import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DIGEST_FIELDS, digestLine, formatDigest, parseDigestLine } from '../../src/core/accesslog/digest.js';
import { FIELD_NAMES, FIELDS } from '../../src/core/accesslog/fields.js';
import { FLAGS, meaningOfFlag } from '../../src/core/accesslog/flags.js';
import { isParsed, MAX_LINE_CHARS, parseBytes, parseLine } from '../../src/core/accesslog/parse.js';
import type { AccessLine } from '../../src/core/accesslog/record.js';
import { readLine, toRecord } from '../../src/core/explain/log-line.js';

const ours = {
  __time__: '1795354527815',
  cluster_id: 'default/main',
  ai_log: null,
  authority: 'pets.example.com',
  bytes_received: 0,
  bytes_sent: 15,
  downstream_local_address: '10.0.0.9:8088',
  downstream_remote_address: '100.117.119.252:39652',
  duration: 3,
  method: 'GET',
  path: '/pets/7?token=abc',
  protocol: 'HTTP/1.1',
  request_duration: 0,
  request_id: '99b0b135-d25b-4ea6-b27d-07494ccdcd98',
  requested_server_name: null,
  response_code: 200,
  response_code_details: 'via_upstream',
  response_flags: '-',
  response_tx_duration: 1,
  route_name: 'r',
  start_time: '2026-11-22T13:35:27.815Z',
  trace_id: null,
  upstream_cluster: 'c1',
  upstream_host: '10.1.1.1:80',
  upstream_local_address: '10.0.0.9:51000',
  upstream_service_time: '2',
  upstream_transport_failure_reason: null,
  user_agent: 'curl/8',
  x_forwarded_for: null,
  workspace: 'default',
  group_id: 'g1',
  api_id: 'a1',
  api_name: 'get-pet',
  release: 7,
  policy: 'p',
  app_id: 'app-1',
  app_name: 'shop',
  edge_code: '1000',
  edge_detail: null,
  result_code: null,
  backend_protocol: 'Http',
  target_path: '/v1/pets/7',
  gateway_host: 'pets.example.com',
  client_trace_id: 'T,1',
  attempts: 1,
  gateway_us: 200,
  backend_us: 1500,
  node: 'node-1',
} satisfies AccessLine;

const reason = (text: string) => {
  const line = parseLine(text);
  return isParsed(line) ? undefined : line.reason;
};

describe('our JSON', () => {
  it('is read back field by field', () => {
    expect(parseLine(JSON.stringify(ours))).toEqual({ ...ours, response_flags: null, extra: null });
    expect(Object.keys(ours).sort()).toEqual([...FIELD_NAMES].sort());
  });

  it('keeps unknown fields', () => {
    const line = parseLine('{"method":"GET","consumer":"c","custom_log":{"a":[1]},"__proto__":{"polluted":1}}');
    expect(isParsed(line) && Object.keys(line.extra ?? {})).toEqual(['consumer', 'custom_log', '__proto__']);
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });
});

describe('the cloud-native gateway’s JSON', () => {
  const theirs = {
    ai_log: '{"api":"chat","input_token":"12","model":"m-1"}',
    authority: 'ai.example.com',
    bytes_received: '321',
    bytes_sent: '-',
    duration: '1500',
    method: 'POST',
    path: '/v1/chat',
    protocol: 'HTTP/2',
    response_code: '503',
    response_code_details: '-',
    Response_Flag: 'URX,UF',
    start_time: '2026-11-22T13:35:27.815Z',
    istio_policy_status: '-',
    upstream_service_time: '-',
    upstream_host: '10.0.0.1:8080',
    trace_id: '-',
    cluster_id: 'gw-123',
    __time__: '1795354527',
    route_name: 'r',
    user_agent: '-',
  };

  it('has texts for numbers, dashes for nothing, and the flags under either name', () => {
    expect(parseLine(JSON.stringify(theirs))).toMatchObject({
      bytes_received: 321,
      bytes_sent: null,
      duration: 1500,
      response_code: 503,
      response_code_details: null,
      response_flags: 'URX,UF',
      trace_id: null,
      user_agent: null,
      ai_log: theirs.ai_log,
      extra: { istio_policy_status: '-' },
      app_id: null,
    });
    const { Response_Flag, ...rest } = theirs;
    expect(parseLine(JSON.stringify({ ...rest, response_flags: Response_Flag }))).toMatchObject({
      response_flags: 'URX,UF',
    });
  });

  it('has its time in seconds and no workspace', () => {
    const line = parseLine(JSON.stringify(theirs));
    expect(isParsed(line) && toRecord(line)).toMatchObject({
      time: 1795354527000,
      workspace: null,
      code: '4002',
      success: false,
    });
  });

  it('may come with ai_log unpacked', () => {
    expect(parseLine('{"method":"POST","ai_log":{"model":"m"}}')).toMatchObject({ ai_log: '{"model":"m"}' });
  });
});

describe('Envoy’s default text format', () => {
  const id = '12784130-7d9c-4a2a-9489-5a15a235dc82';

  it('is read as Envoy 1.40 writes it', () => {
    const text = `[2026-11-22T13:35:28.122Z] "GET /refused HTTP/1.1" 503 UF 0 98 0 - "-" "curl/8" "${id}" "h" "127.0.0.1:1"`;
    expect(parseLine(text)).toMatchObject({
      __time__: '1795354528122',
      method: 'GET',
      path: '/refused',
      protocol: 'HTTP/1.1',
      response_code: 503,
      response_flags: 'UF',
      bytes_received: 0,
      bytes_sent: 98,
      duration: 0,
      upstream_service_time: null,
      x_forwarded_for: null,
      user_agent: 'curl/8',
      request_id: id,
      authority: 'h',
      upstream_host: '127.0.0.1:1',
      response_code_details: null,
      extra: null,
    });
    expect(readLine(Buffer.from(text))).toMatchObject({ code: '4002' });
  });

  it('is read with quotes and backslashes that a client put in, which Envoy does not escape', () => {
    const text = `[2026-11-22T13:35:28.121Z] "GET /a"b?x=1 HTTP/1.1" 200 - 0 0 0 2 "1.1.1.1" "q"uo\\te" "${id}" "h" "-"`;
    expect(parseLine(text)).toMatchObject({
      path: '/a"b?x=1',
      user_agent: 'q"uo\\te',
      response_flags: null,
      upstream_host: null,
      upstream_service_time: '2',
    });
  });

  it('is read for requests that were no HTTP', () => {
    expect(parseLine('[2026-11-22T13:35:29.346Z] "- - HTTP/1.1" 400 DPE 0 11 0 - "-" "-" "-" "-" "-"')).toMatchObject({
      method: null,
      path: null,
      response_code: 400,
      response_flags: 'DPE',
    });
  });

  it('is fast for lines made to be slow', () => {
    const hostile = `[t] "${' HTTP/1.1" 200 - 0 0 '.repeat(20_000)}`;
    expect(reason(hostile)).toContain('default text format');
    expect(reason(`[t] "GET / HTTP/1.1" 200 - 0 0 0 - "${'" "'.repeat(200_000)}"`)).toBeUndefined();
  });
});

describe('hostile lines', () => {
  it.each([
    ['empty', '', 'empty'],
    ['blank', ' \t ', 'empty'],
    ['no log at all', 'hello', 'neither'],
    ['cut off JSON', JSON.stringify(ours).slice(0, 200), 'not well-formed JSON'],
    ['two objects on a line', '{"method":"GET"}{"method":"GET"}', 'not well-formed JSON'],
    ['an array', '[1,2]', 'default text format'],
    ['text cut off', '[2026-11-22T13:35:29.346Z] "GET / HTTP/1.1" 200 -', 'default text format'],
    ['a key twice', '{"method":"GET","path":"/a","path":"/b"}', 'key twice'],
    ['a key twice, once escaped', '{"method":"GET","m\\u0065thod":"POST"}', 'key twice'],
    ['a wrong type', '{"duration":{"a":1}}', 'The field duration'],
    ['a number that is none', '{"duration":"12abc"}', 'The field duration'],
    ['a boolean', '{"method":true}', 'The field method'],
    ['a number too large', '{"bytes_sent":1e999}', 'The field bytes_sent'],
    ['JSON of something else', '{"hello":"world"}', 'no field of an access log'],
    ['a known field nested very deep', `{"ai_log":${'['.repeat(50_000)}${']'.repeat(50_000)}}`, 'nested deeper'],
    [
      'an unknown field nested very deep',
      `{"method":"GET","x":${'['.repeat(50_000)}${']'.repeat(50_000)}}`,
      'nested deeper',
    ],
    ['zero bytes', '\0\0\0', 'neither'],
    ['a byte order mark', `\ufeff${JSON.stringify(ours)}`, 'neither'],
  ])('%s: kept raw with a reason', (_, text, part) => {
    expect(parseLine(text)).toEqual({ raw: text, reason: expect.stringContaining(part) });
  });

  it('a line beyond the limit', () => {
    const text = JSON.stringify({ method: 'GET', path: 'x'.repeat(MAX_LINE_CHARS) });
    expect(reason(text)).toContain(`longer than ${MAX_LINE_CHARS}`);
  });

  it('bytes that are no UTF-8 lose nothing', () => {
    const line = parseBytes(Buffer.from([0x7b, 0xff, 0xe9, 0x41]));
    expect(line).toEqual({ raw: '{ÿéA', reason: expect.stringContaining('not UTF-8') });
  });

  it('never throw', () => {
    const fieldValue = fc.oneof(fc.jsonValue(), fc.string({ unit: 'binary' }), fc.double());
    const nearly = fc
      .dictionary(fc.oneof(fc.constantFrom<string>(...FIELD_NAMES, 'Response_Flag'), fc.string()), fieldValue)
      .map((value) => JSON.stringify(value));
    const textLine = fc
      .array(fc.oneof(fc.constantFrom('[', ']', '"', ' ', '-', 'HTTP/1.1"', '200', '" "'), fc.string()), {
        maxLength: 40,
      })
      .map((parts) => `[${parts.join('')}`);
    const cut = fc.tuple(nearly, fc.nat()).map(([text, at]) => text.slice(0, at % (text.length + 1)));
    fc.assert(
      fc.property(fc.oneof(nearly, textLine, cut, fc.string({ unit: 'binary' })), (text) => {
        const line = parseLine(text);
        if (!isParsed(line)) return line.raw === text && line.reason !== '';
        for (const name of FIELD_NAMES) {
          const type = line[name] === null ? 'null' : typeof line[name];
          if (type !== 'null' && !FIELDS[name].split('|').includes(type === 'string' ? 'text' : type)) return false;
        }
        const record = toRecord(line, 1);
        return (
          /^\d{4}$/.test(record.code) &&
          Number.isFinite(record.time) &&
          !digestLine(record, { utcOffsetMinutes: 480 }).includes('\n')
        );
      }),
      { numRuns: 1000 },
    );
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => readLine(bytes) !== undefined));
  });
});

describe('response flags', () => {
  it('are the 30 of Envoy, each with a meaning of its own', () => {
    expect(FLAGS).toHaveLength(30);
    expect(new Set(FLAGS.map(({ flag }) => flag)).size).toBe(30);
    expect(new Set(FLAGS.map(({ meaning }) => meaning)).size).toBe(30);
  });

  it('tell by the details which limit was reached', () => {
    const meanings = ['local_rate_limited', 'request_rate_limited', null].map(
      (details) => meaningOfFlag('RL', details).meaning,
    );
    expect(new Set(meanings).size).toBe(3);
    expect(meaningOfFlag('ZZ')).toMatchObject({ flag: 'ZZ', name: 'ZZ' });
  });

  it('stand on the record in the order of the line', () => {
    const line = parseLine(JSON.stringify({ ...ours, response_flags: 'URX,UF' }));
    expect(isParsed(line) && toRecord(line).flags.map(({ name }) => name)).toEqual([
      'UpstreamRetryLimitExceeded',
      'UpstreamConnectionFailure',
    ]);
  });
});

describe('the record', () => {
  it('belongs to the fleet’s workspace when no group was found', () => {
    expect(toRecord({ ...ours, workspace: null }).workspace).toBe('default');
    expect(toRecord({ ...ours, workspace: null, cluster_id: 'gw-1' }).workspace).toBeNull();
  });

  it('takes its time from the line, else from whoever received it', () => {
    expect(toRecord(ours).time).toBe(1795354527815);
    expect(toRecord({ ...ours, __time__: null }).time).toBe(1795354527815);
    expect(toRecord({ ...ours, __time__: '99999999999999999', start_time: 'x' }, 5).time).toBe(5);
    expect(toRecord({ ...ours, __time__: '-5', start_time: '-100000-01-01T00:00:00Z' }, 5).time).toBe(5);
  });
});

describe('the digest line', () => {
  it('has the 24 fields of the product in their order, with the local time', () => {
    expect(DIGEST_FIELDS).toHaveLength(24);
    expect(digestLine(toRecord(ours), { utcOffsetMinutes: 480 })).toBe(
      '2026-11-22 21:35:27,815 [INFO]  - [99b0b135-d25b-4ea6-b27d-07494ccdcd98]' +
        '(GET,/pets/7,Y,1000,3ms,app-1,default,g1,a1,a1,-,/v1/pets/7,100.117.119.252:39652,10.1.1.1:80,SofaGw-Http1,Http,-,-,0,15,-,-,[T%2C1],node-1)',
    );
  });

  it('is N with the code by cause for a failure, and - for what there is not', () => {
    const empty = Object.fromEntries(FIELD_NAMES.map((name) => [name, null])) as unknown as AccessLine;
    const record = toRecord({ ...empty, response_flags: 'UH', path: '/a,b(c)[d]%\n' });
    expect(digestLine(record, { utcOffsetMinutes: 0, zone: 'z1', instanceId: '-' })).toBe(
      '1970-01-01 00:00:00,000 [INFO]  - [-](-,/a%2Cb%28c%29%5Bd%5D%25%0A,N,4000,-,-,-,-,-,-,-,-,-,-,-,-,-,-,-,-,-,z1,[-],%2D)',
    );
  });

  it('reads the product’s own line', () => {
    const theirs =
      '2022-09-08 17:12:07,630 [INFO]  - [0a6585631662628327630132215563](GET,/http-mock-get-appauth,Y,1000,0ms,33TTRTJGZDZ3XM5Z,hzfinshowcase,endqoxqv4adxdtgv,BSFmseZvrwSy9EjQlamBzP9IkwmWsH90,BSFmseZvrwSy9EjQlamBzP9IkwmWsH90,-,,100.117.119.252:39652,-,SofaGw-Http1,Mock,,-,0,15,-,-,[Z5JTc2VtYc0LgkFNUSwymtGoH9QkArPR],FX5ZWZMHAIHL)';
    const entry = parseDigestLine(theirs, 480);
    expect(entry).toMatchObject({
      time: Date.UTC(2022, 8, 8, 9, 12, 7, 630),
      traceId: '0a6585631662628327630132215563',
      level: 'INFO',
    });
    expect(entry?.fields).toMatchObject({
      backendProtocol: 'Mock',
      targetPath: null,
      clientTraceId: 'Z5JTc2VtYc0LgkFNUSwymtGoH9QkArPR',
      instanceId: 'FX5ZWZMHAIHL',
    });
  });

  it('comes back from its text, whatever stands in the fields', () => {
    const value = fc.option(
      fc.oneof(
        fc.string({ minLength: 1, unit: 'grapheme' }),
        fc.stringMatching(/^[-,()[\]%\r\n]+$/),
        fc.constant('%2C'),
      ),
    );
    const fields = fc.record(
      Object.fromEntries(DIGEST_FIELDS.map((name) => [name, value])) as Record<
        (typeof DIGEST_FIELDS)[number],
        typeof value
      >,
    );
    fc.assert(
      fc.property(
        fields,
        value,
        fc.integer({ min: 0, max: 4e12 }),
        fc.integer({ min: -720, max: 840 }),
        (f, traceId, time, offset) => {
          const entry = { time, level: 'INFO', traceId, fields: f };
          const text = formatDigest(entry, offset);
          expect(text).not.toMatch(/[\r\n]/);
          expect(parseDigestLine(text, offset)).toEqual(entry);
        },
      ),
    );
  });

  it('reading any text never throws', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => parseDigestLine(text, 0) === undefined));
  });
});
