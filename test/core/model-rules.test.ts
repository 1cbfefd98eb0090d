import { describe, expect, it } from 'vitest';
import type { ApiSpec } from '../../src/core/model/api.js';
import type { SpecOf } from '../../src/core/model/definitions.js';
import type { Kind } from '../../src/core/model/kind.js';
import { checkSpec } from '../../src/core/model/rules.js';
import { validateSpec } from '../../src/core/model/validate.js';

/** Findings as `code path`, followed by message and hint; the spec must conform to its schema. */
function told<K extends Kind>(kind: K, spec: SpecOf[K]): string[] {
  expect(validateSpec(kind, spec)).toEqual([]);
  return checkSpec(kind, spec).map((d) => {
    expect(d.object).toEqual({ kind, name: spec.name });
    return `${d.code} ${d.path} ${d.message} ${d.hint}`;
  });
}
const forward = { kind: 'cluster', cluster: 'c' } as const;
const api = (changes: Partial<ApiSpec> = {}): ApiSpec => ({
  name: 'a',
  group: 'g',
  match: { path: '/a' },
  upstream: forward,
  ...changes,
});
const ofEndpoints = (...hosts: string[]) =>
  told('cluster', { name: 'c', endpoints: hosts.map((host) => ({ host, port: 80 })) });

describe('upstreams', () => {
  const ofUpstream = (path: string, upstreamPath: string) =>
    told('api', api({ match: { path }, upstream: { ...forward, path: upstreamPath } }));

  it.each([
    ['/orders/{id}', '/internal/{id}'],
    ['/orders/{id}', '/internal/{id}-{id}/'],
    ['/orders/*', '/internal/*'],
    ['/orders/*', '/all'],
    ['/orders', '/'],
    ['/a', '/b'],
  ])('%s may become %s', (path, upstreamPath) => {
    expect(ofUpstream(path, upstreamPath)).toEqual([]);
  });

  it.each<[string, string, string]>([
    ['/orders/{id}', '/x/{key}', 'has no parameter {key}. It has {id}.'],
    ['/orders', '/x/{key}', 'It has none.'],
    ['/orders', '/x/*', 'the API path /orders does not'],
    ['/orders', 'x', 'does not begin with "/"'],
    ['/orders', '/a*b', '"*" that is not its last segment'],
    ['/orders', '/a//b', 'empty segment'],
    ['/orders', '/a/../b', 'dot segment'],
    ['/orders', '/..', 'dot segment'],
    ['/orders', '/a?b', 'query'],
    ['/orders', '/a b', '%20'],
    ['/orders', '/a\\1', 'backslash'],
    ['/orders/{id}', '/{id', 'is no parameter'],
    ['/orders/{id}', '/id}', 'is no parameter'],
    ['/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}/*', '/{a}{b}{c}{d}{e}{f}{g}{h}{i}/*', 'uses 10 parts'],
  ])('%s may not become %s', (path, upstreamPath, expected) => {
    expect(ofUpstream(path, upstreamPath).join('\n')).toMatch(/^invalid-rewrite \/upstream\/path/);
    expect(ofUpstream(path, upstreamPath).join('\n')).toContain(expected);
  });

  it.each([
    ['orders.internal', true],
    ['Orders:8080', true],
    ['10.0.0.1:1', true],
    ['[::1]:80', true],
    ['', false],
    ['a:0', false],
    ['a:65536', false],
    ['a b', false],
    ['a\nb', false],
    ['::1', false],
  ])('host %j: %s', (host, fine) => {
    expect(told('api', api({ upstream: { ...forward, host } })).map((t) => t.slice(0, 30))).toEqual(
      fine ? [] : ['invalid-rewrite /upstream/host'],
    );
  });

  it('divide 100 among clusters that are listed once', () => {
    const weighted = (...weights: number[]) =>
      told(
        'api',
        api({
          upstream: { kind: 'weighted', clusters: weights.map((weight, i) => ({ cluster: `c${i % 2}`, weight })) },
        }),
      );
    expect(weighted(30, 70)).toEqual([]);
    expect(weighted(0, 100)).toEqual([]);
    expect(weighted(30, 60)).toEqual([
      expect.stringContaining('invalid-weights /upstream/clusters The weights add up to 90.'),
    ]);
    expect(weighted(30, 60, 10)).toEqual([expect.stringContaining('invalid-weights /upstream/clusters/2/cluster')]);
  });

  it('retry within the time there is, on what is named', () => {
    const retry = (changes: object, timeoutMs?: number) =>
      told('api', api({ retry: { attempts: 1, ...changes }, ...(timeoutMs && { timeoutMs }) }));
    expect(retry({ perTryTimeoutMs: 3000 })).toEqual([]);
    expect(retry({ perTryTimeoutMs: 3001 })).toEqual([
      expect.stringContaining('invalid-timeout /retry/perTryTimeoutMs'),
    ]);
    expect(retry({ perTryTimeoutMs: 600 }, 500)).toEqual([expect.stringContaining('invalid-timeout')]);
    expect(retry({ statusCodes: [503] })).toEqual([]);
    expect(retry({ on: ['5xx'], statusCodes: [503] })).toEqual([
      expect.stringContaining('invalid-retry /retry/statusCodes'),
    ]);
    expect(retry({ on: ['retriable-status-codes'], statusCodes: [] })).toEqual([
      expect.stringContaining('invalid-retry /retry/on'),
    ]);
  });

  it('cannot have a signature cover what carries it', () => {
    const auth = (name: string) => told('api', api({ auth: { type: 'signature', requiredHeaders: [name] } }));
    expect(auth('date')).toEqual([]);
    expect(auth('authorization')).toEqual([expect.stringContaining('invalid-header-name /auth/requiredHeaders/0')]);
    expect(auth('x-pf-host')).toEqual([expect.stringContaining('is removed from requests')]);
  });
});

describe('mocks', () => {
  const mock = (changes: object) => told('api', api({ upstream: { kind: 'mock', ...changes } }));

  it.each<[string, object]>([
    ['nothing said', {}],
    ['a code', { resultCode: '2300' }],
    ['a code of our own block', { resultCode: '9413' }],
    ['1800 with a status', { resultCode: '1800', status: 200 }],
    ['headers', { headers: { 'X-A': 'a b\tc', 'x-b': '' }, contentType: 'text/plain; charset=utf-8' }],
    ['no body with 204', { status: 204 }],
    ['an astral body', { body: '\u{1f600}' }],
  ])('%s is fine', (_, changes) => {
    expect(mock(changes)).toEqual([]);
  });

  it.each<[string, object, string]>([
    ['an unknown code', { resultCode: '0001' }, 'unknown-result-code /upstream/resultCode'],
    ['a code with status 100', { resultCode: '1800' }, 'invalid-mock /upstream/resultCode'],
    ['a body with 204', { status: 204, body: 'x' }, 'invalid-mock /upstream/body'],
    ['a body with 304', { status: 304, body: 'x' }, 'invalid-mock /upstream/body'],
    ['half a surrogate pair', { body: '\ud800' }, 'invalid-mock /upstream/body'],
    ['an empty content type', { contentType: '' }, 'invalid-header-value /upstream/contentType'],
    ['a content type with a line feed', { contentType: 'a\r\nb' }, 'invalid-header-value /upstream/contentType'],
    ['a pseudo-header', { headers: { ':status': '200' } }, 'invalid-header-name /upstream/headers/:status'],
    ['Host', { headers: { Host: 'a' } }, 'invalid-header-name /upstream/headers/Host'],
    ['Transfer-Encoding', { headers: { 'transfer-encoding': 'chunked' } }, 'invalid-header-name'],
    ['Content-Length', { headers: { 'Content-Length': '1' } }, 'invalid-header-name'],
    ['Connection', { headers: { connection: 'close' } }, 'invalid-header-name'],
    ['Content-Type twice', { headers: { 'content-type': 'a/b' } }, 'Use contentType.'],
    ["the gateway's own", { headers: { 'X-Gateway-Result-Code': '1' } }, 'is set by the gateway'],
    ['a space', { headers: { 'a b': '1' } }, 'invalid-header-name /upstream/headers/a b'],
    ['an empty name', { headers: { '': '1' } }, 'invalid-header-name'],
    ['a name in two cases', { headers: { 'X-A': '1', 'x-a': '2' } }, 'occurs twice'],
    ['a slash, escaped in the pointer', { headers: { 'a/b': '1' } }, '/upstream/headers/a~1b'],
    ['a value with a line feed', { headers: { a: 'b\nc' } }, 'invalid-header-value /upstream/headers/a'],
    ['a value with spaces around', { headers: { a: ' b' } }, 'invalid-header-value'],
    ['a value beyond ASCII', { headers: { a: '注文' } }, 'invalid-header-value'],
  ])('%s is refused', (_, changes, expected) => {
    const found = mock(changes);
    expect(found).toHaveLength(1);
    expect(found[0]).toContain(expected);
  });

  it('with a header whose name has a line feed, which the schema lets by with any value', () => {
    expect(mock({ headers: { 'a\nb': 5 } })).toEqual([
      expect.stringContaining('invalid-header-name'),
      expect.stringContaining('invalid-header-value'),
    ]);
  });
});

describe('clusters', () => {
  it.each([['10.0.0.1'], ['::1'], ['2001:DB8::1'], ['orders.internal'], ['orders.internal.'], ['LOCALHOST']])(
    '%s can be an endpoint',
    (host) => {
      expect(ofEndpoints(host)).toEqual([]);
    },
  );

  it.each<[string[], string]>([
    [['10.0.0.256'], 'invalid-endpoint /endpoints/0/host'],
    [['[::1]'], 'Write ::1, without brackets.'],
    [['a:80'], 'Put the port into the field port.'],
    [['http://a'], 'neither an IP address nor a DNS name'],
    [['a b'], 'neither'],
    [['0.0.0.0'], 'nothing can be sent to'],
    [['0:0::'], 'nothing can be sent to'],
    [
      ['10.0.0.1', 'a.internal'],
      'invalid-endpoint /endpoints/1/host "a.internal" is a DNS name, while the first endpoint is an IP address',
    ],
    [['10.0.0.1', '10.0.0.1'], 'invalid-endpoint /endpoints/1 The endpoint 10.0.0.1:80 is listed twice'],
    [['::1', '0:0::1'], 'is listed twice'],
    [['a', 'A'], 'is listed twice'],
    [[], 'no-endpoint /endpoints'],
  ])('%j is told of', (hosts, expected) => {
    const found = ofEndpoints(...hosts);
    expect(found).toHaveLength(1);
    expect(found[0]).toContain(expected);
  });

  it("have TLS settings that can be loaded, and ids that are not the bootstrap's", () => {
    const endpoints = [{ host: 'a', port: 443 }];
    expect(told('cluster', { name: 'c', endpoints, tls: { sni: 'a.internal' } })).toEqual([]);
    expect(told('cluster', { name: 'c', endpoints, tls: { sni: '10.0.0.1' } })).toEqual([
      expect.stringContaining('invalid-setting /tls/sni'),
    ]);
    expect(told('cluster', { name: 'c', endpoints, tls: { caPem: 'x' } })).toEqual([
      expect.stringContaining('It has no PEM certificate.'),
    ]);
    const broken = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----';
    expect(told('cluster', { name: 'c', endpoints, tls: { caPem: broken } })).toEqual([
      expect.stringContaining('Certificate 1 of 1 cannot be read.'),
    ]);
    expect(told('cluster', { name: 'c', id: 'paifang_ads', endpoints })).toEqual([
      expect.stringContaining('reserved-id /id'),
    ]);
  });
});

describe('fleets', () => {
  const fleet = (changes: object) => told('fleet', { name: 'f', listeners: [{ name: 'l', port: 80 }], ...changes });

  it.each<[string, object, string | undefined]>([
    ['the least', {}, undefined],
    [
      'one port on two addresses',
      {
        listeners: [
          { name: 'a', address: '10.0.0.1', port: 80 },
          { name: 'b', address: '::1', port: 80 },
        ],
      },
      undefined,
    ],
    [
      'a name twice',
      {
        listeners: [
          { name: 'a', port: 80 },
          { name: 'a', port: 81 },
        ],
      },
      'duplicate-name /listeners/1/name',
    ],
    [
      'a port twice',
      {
        listeners: [
          { name: 'a', port: 80 },
          { name: 'b', port: 80 },
        ],
      },
      'listener-conflict /listeners/1/port',
    ],
    [
      'a port also on all addresses',
      {
        listeners: [
          { name: 'a', address: '127.0.0.1', port: 80 },
          { name: 'b', port: 80 },
        ],
      },
      'listener-conflict',
    ],
    [
      'one address in two spellings',
      {
        listeners: [
          { name: 'a', address: '::1', port: 80 },
          { name: 'b', address: '0:0::1', port: 80 },
        ],
      },
      'listener-conflict',
    ],
    [
      'a name for an address',
      { listeners: [{ name: 'a', address: 'localhost', port: 80 }] },
      'invalid-listener /listeners/0/address',
    ],
    ['header names', { headers: { resultCode: 'result-status', memo: 'memo' } }, undefined],
    ['a header name twice', { headers: { resultCode: 'x', memo: 'x' } }, 'is also the name of resultCode'],
    [
      'a header name that is a default of another',
      { headers: { memo: 'x-gateway-result-code' } },
      'invalid-header-name /headers/memo',
    ],
    ['a header that frames', { headers: { memo: 'content-length' } }, 'invalid-header-name /headers/memo'],
    ['content-type', { headers: { memo: 'content-type' } }, 'is taken by the gateway'],
    ["Envoy's", { headers: { memo: 'x-envoy-memo' } }, 'belongs to Envoy'],
    ['the signature as signed header', { signedHeaders: ['authorization'] }, 'invalid-header-name /signedHeaders/0'],
    ['no log path', { accessLogPath: '' }, 'invalid-setting /accessLogPath'],
    ['a log path', { accessLogPath: '/var/log/..a/b c.log' }, undefined],
    ['a log path that is a folder', { accessLogPath: 'logs/' }, 'invalid-setting /accessLogPath'],
    ['a log path that is a parent', { accessLogPath: 'logs/..' }, 'invalid-setting /accessLogPath'],
    ['a log path with a line feed', { accessLogPath: 'a\nb' }, 'invalid-setting /accessLogPath'],
    ['a link with spaces', { docsUrl: 'a b' }, 'invalid-setting /docsUrl'],
    ['no link', { docsUrl: '' }, undefined],
  ])('%s', (_, changes, expected) => {
    const found = fleet(changes);
    expect(found).toEqual(expected === undefined ? [] : [expect.stringContaining(expected)]);
  });
});
