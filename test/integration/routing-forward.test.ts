import { beforeAll, describe, expect, test } from 'vitest';
import { FIELD_NAMES, FIELDS } from '../../src/core/accesslog/fields.js';
import { type Backend, type Seen, startBackend } from '../support/backend.js';
import { startGateway, type TestGateway } from '../support/gateway.js';
import type { Ask } from '../support/http-client.js';
import { clusterIr, forward, groupIr, mock, routeIr } from '../support/ir.js';
import { freePort } from '../support/ports.js';

// What reaches a backend, and what a mock answers, on a real Envoy.

const HOST = 'api.example.com';

let gateway: TestGateway;
let behindProxy: TestGateway;
let one: Backend;
let two: Backend;
beforeAll(async () => {
  const failing = new Map<string, number>();
  one = await startBackend('one', ({ path }, response) => {
    const fails = Number(/^\/fails\/(\d)/.exec(path)?.[1] ?? 0);
    const before = failing.get(path) ?? 0;
    failing.set(path, before + 1);
    if (before >= fails) return false;
    response.writeHead(503).end();
    return true;
  });
  two = await startBackend('two');
  const endpoint = (port: number) => ({ host: '127.0.0.1', port, weight: 1 });
  const rewrite = (pattern: string, substitution: string) => ({ rewrite: { pattern, substitution } });
  const groups = [
    groupIr(
      [HOST],
      [
        routeIr('/as-it-is/*', forward('one')),
        routeIr('/fixed/{id}', forward('one', rewrite('^.*$', '/internal/fixed'))),
        routeIr('/swap/{a}/{b}', forward('one', rewrite('^/swap/([^/]+)/([^/]+)$', '/\\2/x-\\1'))),
        routeIr('/below/*', forward('one', rewrite('^/below/(.*)$', '/internal/\\1'))),
        routeIr('/host', forward('one', { host: 'internal.example.org' })),
        routeIr('/split', forward('one', { clusters: [weight('one', 25), weight('two', 75)] })),
        routeIr('/none-of-two', forward('one', { clusters: [weight('one', 100), weight('two', 0)] })),
        routeIr('/fails/{n}/{key}', forward('one', { retry: { attempts: 2, on: ['5xx'], statusCodes: [] } })),
        routeIr('/codes/{key}', forward('one', { ...rewrite('^/codes/', '/fails/1/'), retry: onStatus(503) })),
        routeIr('/no-codes/{key}', forward('one', { ...rewrite('^/no-codes/', '/fails/1/'), retry: onStatus(502) })),
        routeIr(
          '/elsewhere',
          forward('half-closed', { retry: { attempts: 3, on: ['connect-failure'], statusCodes: [] } }),
        ),
        routeIr('/by-name', forward('by-name')),
        ...MOCKS.map(([path, answer]) => routeIr(path, answer)),
      ],
    ),
  ];
  const clusters = [
    clusterIr('one', { endpoints: [endpoint(one.port)] }),
    clusterIr('two', { endpoints: [endpoint(two.port)] }),
    clusterIr('half-closed', { endpoints: [endpoint(await freePort()), endpoint(two.port)] }),
    clusterIr('by-name', { discovery: 'dns', endpoints: [{ host: 'localhost', port: two.port, weight: 1 }] }),
  ];
  gateway = await startGateway({ groups, clusters });
  behindProxy = await startGateway({ groups, clusters, fleet: { trustedProxies: 1 } });
});

const weight = (id: string, value: number) => ({ id, weight: value });
const onStatus = (status: number) => ({ attempts: 1, on: ['retriable-status-codes'], statusCodes: [status] });

/** What the backend saw of the request. */
async function seen(path: string, ask: Ask = {}, through = gateway): Promise<Seen> {
  const answer = await through.ask(path, { ...ask, headers: { host: HOST, ...ask.headers } });
  expect(answer.status).toBe(200);
  return JSON.parse(answer.body) as Seen;
}

describe('path and host sent to the backend', () => {
  test.each([
    ['as the client sent it', '/as-it-is/a%20b/%E4%B8%AD;v=1?q=1&q=%2F', '/as-it-is/a%20b/%E4%B8%AD;v=1?q=1&q=%2F'],
    ['a fixed one, the query kept', '/fixed/7?q=/fixed', '/internal/fixed?q=/fixed'],
    ['with parameters', '/swap/1/2', '/2/x-1'],
    ['parameters stay encoded', '/swap/a%20b/c%3Fd?x', '/c%3Fd/x-a%20b?x'],
    ['everything below', '/below/a/b/c?q=1', '/internal/a/b/c?q=1'],
    ['nothing below', '/below/', '/internal/'],
  ])('%s', async (_, path, want) => {
    expect((await seen(path)).path).toBe(want);
  });

  test('the log has both paths and the host as sent', async () => {
    const answer = await gateway.ask('/swap/1/2?q=3', { headers: { host: HOST } });
    expect(await gateway.line(answer)).toMatchObject({ path: '/swap/1/2?q=3', target_path: '/2/x-1' });
    const rehosted = await gateway.ask('/host', { headers: { host: `${HOST}:99` } });
    expect(JSON.parse(rehosted.body).headers.host).toBe('internal.example.org');
    expect(await gateway.line(rehosted)).toMatchObject({ authority: HOST, gateway_host: HOST });
  });

  test('a backend known by name', async () => {
    expect(await seen('/by-name')).toMatchObject({ backend: 'two', headers: { host: HOST } });
  });
});

describe('clusters and retries', () => {
  test('weights share the requests', async () => {
    const count = { one: 0, two: 0 };
    for (let i = 0; i < 400; i++) count[(await seen('/split')).backend as 'one' | 'two']++;
    // 25 % of 400 within more than six standard deviations.
    expect(count.one).toBeGreaterThan(45);
    expect(count.one).toBeLessThan(155);
    expect(count.one + count.two).toBe(400);
  });

  test('weight 0 gets none', async () => {
    for (let i = 0; i < 30; i++) expect((await seen('/none-of-two')).backend).toBe('one');
  });

  test('a failure is tried again, and the log counts the tries', async () => {
    const answer = await gateway.ask('/fails/2/a', { headers: { host: HOST } });
    expect(answer.status).toBe(200);
    expect(await gateway.line(answer)).toMatchObject({ attempts: 3, response_flags: '-' });
  });

  test('but not more often than allowed: the backend’s own answer comes then', async () => {
    const answer = await gateway.ask('/fails/5/b', { headers: { host: HOST } });
    expect(answer.status).toBe(503);
    expect(await gateway.line(answer)).toMatchObject({
      attempts: 3,
      response_flags: 'URX',
      response_code_details: 'via_upstream',
    });
  });

  test('by status codes', async () => {
    expect((await gateway.ask('/codes/c', { headers: { host: HOST } })).status).toBe(200);
    expect((await gateway.ask('/no-codes/d', { headers: { host: HOST } })).status).toBe(503);
  });

  test('another host takes the next try', async () => {
    for (let i = 0; i < 20; i++) expect((await seen('/elsewhere')).backend).toBe('two');
  });
});

describe('what clients cannot say', () => {
  const spoofed = {
    'x-pf-host': 'other.example.com',
    'x-pf-path': '/fixed/7',
    'x-pf-anything': '1',
    'x-gateway-app-id': 'another-app',
    'x-forwarded-for': '10.9.8.7',
    forwarded: 'for=10.9.8.7',
    'x-real-ip': '10.9.8.7',
    'x-forwarded-host': 'elsewhere.example.com',
    'x-forwarded-port': '1',
    'x-forwarded-prefix': '/elsewhere',
    'x-forwarded-proto': 'https',
    // The same to backends that turn `-` into `_`.
    x_gateway_app_id: 'another-app',
    'x-gateway_app-id': 'another-app',
    x_forwarded_for: '10.9.8.7',
    'X_Real-IP': '10.9.8.7',
    'x_envoy-original_path': '/elsewhere',
    'x-request-id': 'mine',
    'x-envoy-original-path': '/elsewhere',
    'x-envoy-original-host': 'elsewhere',
    'x-envoy-upstream-rq-timeout-ms': '1',
    'x-envoy-max-retries': '9',
    'x-envoy-external-address': '10.9.8.7',
  };

  test('helpers, App id, address, request id and time-outs are dropped', async () => {
    const { headers } = await seen('/as-it-is/x', { headers: { ...spoofed, x_own: 'kept' } });
    for (const name of Object.keys(spoofed))
      expect(headers[name.toLowerCase()] ?? 'gone', name).not.toBe(spoofed[name as 'forwarded']);
    const named = Object.keys(headers).map((name) => name.replaceAll('_', '-'));
    for (const name of ['x-gateway-app-id', 'x-real-ip', 'x-envoy-original-path']) expect(named).not.toContain(name);
    expect(named.filter((name) => name.startsWith('x-forwarded-')).sort()).toEqual([
      'x-forwarded-for',
      'x-forwarded-proto',
    ]);
    expect(headers.x_own).toBe('kept');
    expect(Object.keys(headers).filter((name) => name.startsWith('x-pf-'))).toEqual([]);
    expect(headers).not.toHaveProperty('x-gateway-app-id');
    expect(headers).not.toHaveProperty('forwarded');
    expect(headers).not.toHaveProperty('x-real-ip');
    expect(headers['x-envoy-expected-rq-timeout-ms']).toBe('3000');
    expect(headers['x-request-id']).toMatch(/^[0-9a-f-]{36}$/);
  });

  test('nor in the log', async () => {
    const answer = await gateway.ask('/as-it-is/x?q', { headers: { host: HOST, ...spoofed } });
    const line = await gateway.line(answer);
    expect(line).toMatchObject({ path: '/as-it-is/x?q', authority: HOST, gateway_host: HOST });
    expect(line.downstream_remote_address).toMatch(/^127\.0\.0\.1:/);
    expect(line.x_forwarded_for).not.toContain('10.9.8.7');
  });

  test('a request id is fresh for every request', async () => {
    const ids = [await seen('/as-it-is/x'), await seen('/as-it-is/x')].map(({ headers }) => headers['x-request-id']);
    expect(new Set(ids).size).toBe(2);
  });

  test('behind one trusted proxy the address it names counts, not what a client put before it', async () => {
    const headers = { 'x-forwarded-for': '10.9.8.7, 203.0.113.5' };
    const answer = await behindProxy.ask('/as-it-is/x', { headers: { host: HOST, ...headers } });
    expect((await behindProxy.line(answer)).downstream_remote_address).toBe('203.0.113.5:0');
  });

  test('a trusted proxy may say which host the request was for', async () => {
    const answer = await behindProxy.ask('/as-it-is/x', {
      headers: { host: HOST, 'x-forwarded-for': '203.0.113.5', 'x-forwarded-host': 'shop.example.com' },
    });
    expect(JSON.parse(answer.body).headers['x-forwarded-host']).toBe('shop.example.com');
  });
});

describe('the log line', () => {
  const typeOf = (value: unknown) => (typeof value === 'number' ? 'number' : 'text');

  test.each([
    ['of a forwarded request', '/swap/1/2?q=3', { host: HOST, 'user-agent': 'test', traceparent: '00-ab-cd-01' }],
    ['of a mock', '/mock/default', { host: HOST }],
    ['of an unknown host', '/x', { host: 'nobody.example' }],
  ])('%s has every field, typed as readers expect', async (_, path, headers) => {
    const line = await gateway.line(await gateway.ask(path, { headers }));
    expect(Object.keys(line).sort()).toEqual([...FIELD_NAMES].sort());
    for (const name of FIELD_NAMES) {
      if (line[name] !== null) expect(FIELDS[name].split('|'), `${name}: ${line[name]}`).toContain(typeOf(line[name]));
    }
  });

  test('has all there is to know of a forwarded request', async () => {
    const headers = { host: `${HOST}:1`, 'user-agent': 'test', 'x-b3-traceid': '463ac35c9f6413ad' };
    const answer = await gateway.ask('/swap/1/2?q=3', { method: 'POST', headers, body: 'four' });
    const line = await gateway.line(answer);
    const absent = FIELD_NAMES.filter((name) => line[name] === null);
    expect(absent).toEqual(
      expect.arrayContaining([
        'ai_log',
        'trace_id',
        'requested_server_name',
        'policy',
        'app_id',
        'app_name',
        'edge_code',
        'edge_detail',
        'result_code',
      ]),
    );
    expect(absent.length).toBe(10); // and upstream_transport_failure_reason
    expect(line).toMatchObject({
      cluster_id: 'test/edge',
      node: 'node-1',
      workspace: 'test',
      group_id: `group-of-${HOST}`,
      release: 7,
      api_id: '/swap/{a}/{b}',
      route_name: '/swap/{a}/{b}',
      upstream_cluster: 'one',
      upstream_host: `127.0.0.1:${one.port}`,
      backend_protocol: 'Http',
      method: 'POST',
      protocol: 'HTTP/1.1',
      bytes_received: 4,
      attempts: 1,
      user_agent: 'test',
      client_trace_id: '463ac35c9f6413ad',
      __time__: expect.stringMatching(/^\d{13}$/),
      start_time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
    });
    expect(Date.parse(line.start_time as string)).toBe(Number(line.__time__));
  });

  test.each([
    [{ 'sofa-traceid': 's' }, 's'],
    [{ 'x-b3-traceid': 'b', 'sofa-traceid': 's' }, 'b'],
    [{ traceparent: 'w', 'x-b3-traceid': 'b' }, 'w'],
    [{}, null],
  ])('trace id of the client from %j', async (headers, want) => {
    const answer = await gateway.ask('/mock/default', { headers: { host: HOST, ...headers } });
    expect((await gateway.line(answer)).client_trace_id).toBe(want);
  });
});

const MOCKS = [
  ['/mock/default', mock('{"ok":true}')],
  ['/mock/201', mock('{}', { status: 201 })],
  ['/mock/204', mock('', { status: 204 })],
  [
    '/mock/302',
    mock('', {
      status: 302,
      headers: [
        { name: 'content-type', value: 'x/y' },
        { name: 'location', value: '/there?a=50%' },
      ],
    }),
  ],
  ['/mock/302-bare', mock('', { status: 302 })],
  ['/mock/400', mock('{"a":1}', { status: 400, code: '3999', memo: 'BadRequest' })],
  ['/mock/503', mock('{"a":2}', { status: 503, code: '6304', memo: 'BizServiceUnavailable' })],
  [
    '/mock/headers',
    mock('100% of "it" — 中文 %REQ(HOST)%', {
      headers: [
        { name: 'content-type', value: 'text/plain; charset=utf-8' },
        { name: 'x-empty', value: '' },
        { name: 'x-percent', value: '100% %START_TIME%' },
      ],
    }),
  ],
  ['/mock/large', mock(`"${'中'.repeat(200_000)}"`)],
] as const;

describe('mocks', () => {
  test.each(MOCKS)('%s', async (path, { code, memo, status, body, headers }) => {
    const answer = await gateway.ask(path, { headers: { host: HOST } });
    expect(answer).toMatchObject({ status, body });
    expect(answer.headers).toMatchObject({ 'x-gateway-result-code': code, 'x-gateway-memo': memo });
    // Without a body Envoy sends no content type.
    for (const { name, value } of body === '' ? headers.slice(1) : headers) expect(answer.headers[name]).toBe(value);
    if (path !== '/mock/302') expect(answer.headers).not.toHaveProperty('location');
    const line = await gateway.line(answer);
    expect(line).toMatchObject({ backend_protocol: 'Mock', api_id: path, result_code: code, response_code: status });
  });

  test('answer any method', async () => {
    const answer = await gateway.ask('/mock/default', { method: 'DELETE', headers: { host: HOST }, body: 'x' });
    expect(answer).toMatchObject({ status: 200, body: '{"ok":true}' });
  });
});
