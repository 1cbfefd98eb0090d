import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CODES } from '../../src/core/codes/catalogue.js';
import type { Allow, DenialCode, Deny } from '../../src/core/decision/decision.js';
import { type CheckRequest, decodeCheckRequest } from '../../src/edge/authz/check-request.js';
import { encodeAllow, encodeDeny } from '../../src/edge/authz/check-response.js';
import { type GrpcFailure, RESOURCE_EXHAUSTED, UNIMPLEMENTED, UnaryMessage } from '../../src/edge/authz/grpc.js';
import { styleOf } from '../../src/edge/authz/reply-style.js';
import { framedCheckRequest } from '../../src/edge/authz/warm-up.js';
import { CheckRequestSchema, CheckResponseSchema } from '../../src/gen/envoy/service/auth/v3/external_auth_pb.js';

/** A CheckRequest by the generated code, with everything in it that Envoy may send and the edge does not read. */
function encoded(request: {
  method?: string;
  path?: string;
  host?: string;
  headers?: [string, string][];
  raw?: boolean;
  body?: Uint8Array;
  extensions?: Record<string, string>;
}): Buffer {
  const { headers = [], raw = true, body = new Uint8Array(0), extensions = {}, ...http } = request;
  const message = create(CheckRequestSchema, {
    attributes: {
      source: {
        address: {
          address: {
            case: 'socketAddress',
            value: { address: '127.0.0.1', portSpecifier: { case: 'portValue', value: 999 } },
          },
        },
        principal: 'p',
      },
      destination: {
        address: {
          address: {
            case: 'socketAddress',
            value: { address: '10.0.0.1', portSpecifier: { case: 'portValue', value: 8088 }, ipv4Compat: true },
          },
        },
        labels: { a: 'b' },
      },
      request: {
        time: { seconds: 1_795_344_823n, nanos: 7 },
        http: {
          ...http,
          id: '123456789',
          size: 1n << 62n,
          protocol: 'HTTP/1.1',
          scheme: 'http',
          rawBody: body,
          ...(raw
            ? {
                headerMap: {
                  headers: headers.map(([key, value]) => ({ key, rawValue: Buffer.from(value, 'latin1') })),
                },
              }
            : { headers: Object.fromEntries(headers) }),
        },
      },
      contextExtensions: extensions,
      metadataContext: { filterMetadata: { x: { y: 1 } } },
      tlsSession: { sni: 'sni' },
    },
  });
  return Buffer.from(toBinary(CheckRequestSchema, message));
}

function decoded(bytes: Buffer): CheckRequest {
  const request = decodeCheckRequest(bytes);
  if (!request) throw new Error('not decoded');
  return request;
}

describe('decodeCheckRequest', () => {
  it('reads what the generated code writes, whatever is in it', () => {
    const name = fc.stringMatching(/^[a-z][a-z0-9-]{0,12}$/);
    const value = fc.string({
      unit: fc.integer({ min: 0x21, max: 0xff }).map((c) => String.fromCharCode(c)),
      maxLength: 300,
    });
    fc.assert(
      fc.property(
        fc.record({
          method: fc.constantFrom('GET', 'POST', 'DELETE'),
          path: fc.webPath(),
          host: fc.domain(),
          headers: fc.array(fc.tuple(name, value), { maxLength: 12 }),
          body: fc.uint8Array({ maxLength: 3000 }),
        }),
        (request) => {
          const read = decoded(
            encoded({ ...request, extensions: { policy: 'p', api: 'a', group: 'g', docs_url: 'd' } }),
          );
          expect(read).toMatchObject({
            method: request.method,
            target: request.path,
            host: request.host,
            policy: 'p',
            apiId: 'a',
            groupId: 'g',
          });
          expect(Buffer.from(read.body)).toEqual(Buffer.from(request.body));
          expect(read.headers).toEqual(request.headers.flat());
          expect(read.extension('docs_url')).toBe('d');
        },
      ),
    );
  });

  it('takes blanks off a value, but no byte of a character', () => {
    const bytes = Buffer.from('你').toString('latin1'); // ends in A0, a blank in Latin-1
    expect(decoded(encoded({ headers: [['x-a', ` \t${bytes}\t `]] })).header('x-a')).toBe(bytes);
  });

  it('reads headers of the other form, and one set twice in both lines', () => {
    const map = decoded(
      encoded({
        headers: [
          ['date', ' x '],
          ['digest', 'y'],
        ],
        raw: false,
        host: 'a.example.com',
      }),
    );
    expect([map.header('date'), map.header('digest'), map.header('host'), map.header('none')]).toEqual([
      'x',
      'y',
      'a.example.com',
      undefined,
    ]);
    const twice = decoded(
      encoded({
        headers: [
          ['x-a', '1'],
          ['host', 'own'],
          ['x-a', ' 2 '],
        ],
        host: 'a.example.com',
      }),
    );
    expect([twice.header('x-a'), twice.header('host')]).toEqual(['1, 2', 'own']);
  });

  it('knows the port of the listener and the target of the backend, when asked', () => {
    const at = (extensions: Record<string, string>, path = '/orders/7/items?a=1') =>
      decoded(encoded({ path, extensions }));
    expect(at({}).listenerPort).toBe(8088);
    expect(decoded(Buffer.alloc(0)).listenerPort).toBeUndefined();
    expect(at({}).backendTarget).toBeUndefined();
    const rewrite = { rewrite_pattern: '^/orders/([^/]+)/(.*)$', rewrite_substitution: '/$internal/\\2/of/\\1' };
    expect(at(rewrite).backendTarget).toBe('/$internal/items/of/7?a=1');
    expect(at(rewrite, '/other').backendTarget).toBe('/other');
    expect(at({ rewrite_pattern: '(', rewrite_substitution: '' }, '/a').backendTarget).toBe('/a');
  });

  it('agrees with the writer of the warm-up', () => {
    const framed = framedCheckRequest('POST', '/a?b', 'h', [['date', 'é']], Buffer.alloc(300, 'x'), { policy: 'p' });
    expect(fromBinary(CheckRequestSchema, framed.subarray(5)).attributes?.request?.http).toMatchObject({
      method: 'POST',
      path: '/a?b',
      host: 'h',
    });
    expect(decoded(framed.subarray(5)).header('date')).toBe('é');
  });

  it('never throws: cut off anywhere, changed anywhere, or made of anything', () => {
    const whole = encoded({
      method: 'POST',
      path: '/a',
      host: 'h',
      headers: [
        ['date', 'x'],
        ['a', 'b'],
      ],
      body: Buffer.alloc(200),
      extensions: { policy: 'p' },
    });
    for (let length = 1; length < whole.length; length++) decodeCheckRequest(whole.subarray(0, length));
    fc.assert(
      fc.property(fc.nat(whole.length - 1), fc.nat(255), (at, byte) => {
        const changed = Buffer.from(whole);
        changed[at] = byte;
        decodeCheckRequest(changed);
      }),
      { numRuns: 3000 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => void decodeCheckRequest(Buffer.from(bytes))),
      { numRuns: 3000 },
    );
  });

  it.each<[string, number[]]>([
    ['a length beyond the end', [0x0a, 0x7f, 0x22]],
    ['a length of 2^63', [0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]],
    ['a varint without end', [0x0a, ...Array<number>(20).fill(0xff)]],
    ['field number 0', [0x02, 0x00]],
    ['a group', [0x0b, 0x0c]],
    ['wire type 7', [0x0f]],
    ['a fixed64 that is cut off', [0x09, 1, 2, 3]],
    ['a tag alone', [0x0a]],
  ])('refuses %s', (_, bytes) => {
    expect(decodeCheckRequest(Buffer.from(bytes))).toBeUndefined();
  });

  it('refuses more headers than a request can have', () => {
    const headers = Array.from({ length: 1025 }, (_, i): [string, string] => [`a${i}`, 'b']);
    expect(decodeCheckRequest(encoded({ headers }))).toBeUndefined();
    expect(decodeCheckRequest(encoded({ headers: headers.slice(1) }))?.headers).toHaveLength(2048);
  });

  it('takes an empty message for an empty request', () => {
    expect(decoded(Buffer.alloc(0))).toMatchObject({ method: '', policy: '', headers: [] });
  });
});

function response(framed: Buffer) {
  expect(framed[0]).toBe(0);
  expect(framed.readUInt32BE(1)).toBe(framed.length - 5);
  return fromBinary(CheckResponseSchema, framed.subarray(5));
}

describe('CheckResponse', () => {
  const app = {
    id: 'app0',
    name: 'a',
    workspace: 'w',
    tenant: 't',
    enabled: true,
    grantedApiIds: new Set<string>(),
    grantedGroupIds: new Set<string>(),
  };

  it('of an accepted request sets and removes headers and names the App', () => {
    const allow: Allow = {
      kind: 'allow',
      code: '1000',
      app,
      setHeaders: [['x-gateway-app-id', 'app0']],
      removeHeaders: ['x-secret'],
    };
    const { status, httpResponse, dynamicMetadata } = response(encodeAllow(allow));
    expect(status?.code).toBe(0);
    expect(httpResponse).toMatchObject({
      case: 'okResponse',
      value: {
        headersToRemove: ['x-secret'],
        headers: [{ header: { key: 'x-gateway-app-id', value: 'app0' }, appendAction: 2 }],
      },
    });
    expect(dynamicMetadata).toEqual({ app_id: 'app0', app_name: 'a' });
    expect(encodeAllow(allow)).toBe(encodeAllow(allow));
  });

  it('of a refusal holds status, code, memo, body and what the log needs', () => {
    const deny: Deny = { kind: 'deny', code: '2102', app, detail: 'wrong "é"\n' };
    const { status, httpResponse, dynamicMetadata } = response(encodeDeny(deny, 'id-1'));
    expect(status?.code).toBe(7);
    if (httpResponse.case !== 'deniedResponse') throw new Error(String(httpResponse.case));
    const { value } = httpResponse;
    expect(value.status?.code).toBe(403);
    expect(Object.fromEntries(value.headers.map(({ header }) => [header?.key, header?.value]))).toEqual({
      'x-gateway-result-code': '2102',
      'x-gateway-memo': 'RequestSignatureVerifyError',
      'content-type': 'application/json',
    });
    expect(JSON.parse(value.body)).toEqual({
      code: '2102',
      memo: 'RequestSignatureVerifyError',
      tips: CODES.get('2102')?.tipsEn,
      detail: 'wrong "é"\n',
      requestId: 'id-1',
      docs: '/codes/2102',
    });
    expect(dynamicMetadata).toEqual({
      result_code: '2102',
      app_id: 'app0',
      app_name: 'a',
      http: '400',
      detail: 'wrong "é"\n',
    });
  });

  it('has the status of the catalogue, except that 400 travels as 403', () => {
    for (const code of ['2100', '2113', '2110', '2300', '5001'] as DenialCode[]) {
      const { httpResponse, dynamicMetadata } = response(encodeDeny({ kind: 'deny', code, detail: '' }, ''));
      const status = CODES.get(code)?.httpStatus;
      expect(httpResponse.value).toMatchObject({ status: { code: status === 400 ? 403 : status } });
      expect(dynamicMetadata?.http).toBe(status === 400 ? '400' : undefined);
    }
  });

  it('follows the names and links of the fleet', () => {
    const request = decoded(
      encoded({ extensions: { code_header: 'result-status', memo_header: 'memo', docs_url: 'https://docs/' } }),
    );
    const { httpResponse } = response(encodeDeny({ kind: 'deny', code: '2100', detail: '' }, 'i', styleOf(request)));
    if (httpResponse.case !== 'deniedResponse') throw new Error(String(httpResponse.case));
    expect(httpResponse.value.headers.map(({ header }) => header?.key)).toEqual([
      'result-status',
      'memo',
      'content-type',
    ]);
    expect(JSON.parse(httpResponse.value.body)).toMatchObject({ docs: 'https://docs/2100' });
  });
});

describe('UnaryMessage', () => {
  const framed = framedCheckRequest('GET', '/', 'h', []);

  it('joins a message however it is split', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 20 }), { maxLength: 80 }), (sizes) => {
        const message = new UnaryMessage(1000);
        let at = 0;
        let got: Buffer | GrpcFailure | undefined;
        for (const size of [...sizes, framed.length]) {
          if (at >= framed.length) break;
          expect(got).toBeUndefined();
          got = message.push(framed.subarray(at, at + size));
          at += size;
        }
        expect(got).toEqual(framed.subarray(5));
      }),
    );
  });

  it('refuses compression, size and a second message', () => {
    expect(new UnaryMessage(1000).push(Buffer.from([1, 0, 0, 0, 1]))).toMatchObject({ status: UNIMPLEMENTED });
    expect(new UnaryMessage(1000).push(Buffer.from([0, 0xff, 0xff, 0xff, 0xff]))).toMatchObject({
      status: RESOURCE_EXHAUSTED,
    });
    expect(new UnaryMessage(1000).push(Buffer.concat([framed, framed]))).toMatchObject({ status: 3 });
  });
});
