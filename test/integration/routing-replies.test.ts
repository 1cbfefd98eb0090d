import { type AddressInfo, connect, createServer as createTcpServer, type Socket } from 'node:net';
import { beforeAll, describe, expect, test } from 'vitest';
import { codeOf, type ResultCode } from '../../src/core/codes/catalogue.js';
import { startBackend } from '../support/backend.js';
import { onCleanup } from '../support/cleanup.js';
import { startGateway, type TestGateway } from '../support/gateway.js';
import type { Answer } from '../support/http-client.js';
import { clusterIr, forward, groupIr, mock, routeIr } from '../support/ir.js';
import { freePort } from '../support/ports.js';
import { rawHttp } from '../support/raw-http.js';
import { until } from '../support/until.js';

// What a client gets when Envoy itself answers, by cause, on a real Envoy.

const HOST = 'api.example.com';
const SPOOFED = { 'x-gateway-result-code': '9999', 'x-gateway-memo': 'made up', 'x-gateway-request-id': 'made up' };

let gateway: TestGateway;
beforeAll(async () => {
  const backend = await startBackend('backend', ({ path }, response, { socket }) => {
    if (path.startsWith('/hang')) return true; // the socket is closed with the server
    if (path.startsWith('/die-in-body')) {
      response.writeHead(200, { 'content-length': '100' });
      response.write('half of it', () => socket.destroy());
      return true;
    }
    if (path.startsWith('/die')) socket.destroy();
    else if (path.startsWith('/status/')) {
      response.writeHead(Number(path.slice(8)), { ...SPOOFED, 'content-type': 'text/plain' });
      response.end('from the backend');
    } else return false;
    return true;
  });
  const babbler = await startTcp((socket) => socket.once('data', () => socket.end('this is no HTTP\r\n\r\n')));
  const endpoint = (port: number) => [{ host: '127.0.0.1', port, weight: 1 }];
  const narrow = { maxConnections: 1, maxPendingRequests: 0, maxRequests: 0, maxRetries: 0 };
  gateway = await startGateway({
    fleet: { docsUrl: 'https://docs.example.com/100%/' },
    groups: [
      groupIr(
        [HOST],
        [
          routeIr('/hang', forward('backend', { timeoutMs: 150 })),
          routeIr('/hang/try', forward('backend', { retry: tries(1, 100) })),
          routeIr('/die', forward('backend')),
          routeIr('/die-in-body', forward('backend')),
          routeIr('/status/{n}', forward('backend')),
          routeIr(
            '/coded/{n}',
            forward('backend', { rewrite: { pattern: '^/coded/(.*)$', substitution: '/status/\\1' } }),
            {
              resultCodeHeader: true,
            },
          ),
          routeIr('/closed', forward('closed')),
          routeIr('/closed-retried', forward('closed', { retry: tries(2) })),
          routeIr('/empty', forward('empty')),
          routeIr('/nowhere', forward('nowhere')),
          routeIr('/babble', forward('babbler')),
          routeIr('/overflow', forward('narrow')),
          routeIr('/mock-400', mock('{"a":1}', { status: 400, code: '3999', memo: 'BadRequest' })),
          routeIr('/mock', mock('{}')),
        ],
      ),
    ],
    clusters: [
      clusterIr('backend', { endpoints: endpoint(backend.port) }),
      clusterIr('babbler', { endpoints: endpoint(babbler) }),
      clusterIr('closed', { endpoints: endpoint(await freePort()) }),
      clusterIr('empty'),
      clusterIr('nowhere', { discovery: 'dns', endpoints: [{ host: 'name.invalid', port: 80, weight: 1 }] }),
      clusterIr('narrow', { endpoints: endpoint(backend.port), circuitBreaker: narrow }),
    ],
  });
});

function tries(attempts: number, perTryTimeoutMs?: number) {
  const on = ['5xx', 'connect-failure', 'reset'];
  return { attempts, on, statusCodes: [], ...(perTryTimeoutMs !== undefined && { perTryTimeoutMs }) };
}

async function startTcp(onConnection: (socket: Socket) => void): Promise<number> {
  const server = createTcpServer(onConnection);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onCleanup(() => new Promise((resolve) => server.close(() => resolve())));
  return (server.address() as AddressInfo).port;
}

const ask = (path: string, more: object = {}) => gateway.ask(path, { headers: { host: HOST }, ...more });

/** The same code in status, headers, body and log, as the catalogue has it. */
async function expectCode(answer: Answer, code: string): Promise<void> {
  const row = codeOf(code) as ResultCode;
  expect({ status: answer.status, headers: answer.headers, body: JSON.parse(answer.body) }).toMatchObject({
    status: row.httpStatus,
    headers: {
      'x-gateway-result-code': code,
      'x-gateway-memo': row.memo,
      'x-gateway-request-id': expect.stringMatching(/^[0-9a-f-]{36}$/),
      'content-type': 'application/json',
      server: 'paifang',
    },
    body: {
      code,
      memo: row.memo,
      tips: row.tipsEn,
      requestId: answer.headers['x-gateway-request-id'],
      docs: `https://docs.example.com/100%/${code}`,
    },
  });
  const line = await gateway.line(answer);
  expect(line).toMatchObject({ result_code: code, response_code: row.httpStatus });
}

describe('replies by cause', () => {
  test.each([
    ['no API of the group matches', '/none', '3000'],
    ['the API time-out', '/hang', '6305'],
    ['the time-out of each try', '/hang/try', '6305'],
    ['the backend closes without answering', '/die', '4002'],
    ['the backend does not speak HTTP', '/babble', '4002'],
    ['nobody listens', '/closed', '6303'],
    ['nobody listens, also after retries', '/closed-retried', '6303'],
    ['the cluster has no endpoint', '/empty', '4000'],
    ['the name of the backend does not resolve', '/nowhere', '4000'],
    ['the circuit breaker is open', '/overflow', '9503'],
  ])('%s: %s is %s', async (_, path, code) => {
    await expectCode(await ask(path), code);
  });

  test.each(['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE'])('%s of nothing is 3000', async (method) => {
    await expectCode(await ask('/none', { method }), '3000');
  });

  test('to HEAD the headers alone', async () => {
    const answer = await ask('/none', { method: 'HEAD' });
    expect(answer).toMatchObject({ status: 400, body: '', headers: { 'x-gateway-result-code': '3000' } });
  });

  test('to gRPC status 200, the code in its header and the body as grpc-message', async () => {
    const answer = await ask('/none', { method: 'POST', headers: { host: HOST, 'content-type': 'application/grpc' } });
    expect(answer.status).toBe(200);
    expect(answer.headers).toMatchObject({ 'x-gateway-result-code': '3000', 'grpc-status': '13' });
    expect(answer.headers['grpc-message']).toContain('RouterNotFound');
  });

  test('a body that breaks off leaves the status that was sent; the log knows', async () => {
    await expect(ask('/die-in-body')).rejects.toThrow('aborted');
    const line = await until(async () => (await gateway.lines(1)).find(({ path }) => path === '/die-in-body'), {
      what: 'its log line',
    });
    expect(line).toMatchObject({ response_code: 200, response_flags: 'UPE', result_code: null });
  });
});

describe('paths that a backend may read otherwise are refused', () => {
  test.each([
    '/a/../b',
    '/a/./b',
    '/..',
    '/.',
    '/a/..',
    '/a/.',
    '/a/..;/b',
    '/a/..;x=1',
    '/./',
    '/a//b',
    '//',
    '//a',
    '/a//',
    '/a%2fb',
    '/a%2Fb',
    '/a%5cb',
    '/a%5Cb',
    '/a\\b',
    '/a%00b',
    '/%6done',
    '/%6Done',
    '/mo%63k',
    '/MOCK%30',
    '/a%2Db%5fc',
    '/a%2eb',
    '/%2e%2e/b',
    '/%2E/b',
    '/.%2e/b',
    '/a/%2e%2E',
    '/mock/../mock',
    '/mock%00',
    '/mock/..?x=1',
    '/none/..',
  ])('%s', async (path) => {
    await expectCode(await ask(path), '3999');
  });

  test.each([
    '/a.b',
    '/a/..b',
    '/a/b..',
    '/...',
    '/a/.../b',
    '/mock?x=/../y',
    '/mock?x=a//b',
    '/mock?x=%2f%00%61',
    '/%7Ea',
    '/a%20b%40%3b',
    '/%E4%B8%AD%e6',
  ])('but not %s', async (path) => {
    expect((await ask(path)).headers['x-gateway-result-code']).not.toBe('3999');
  });
});

describe('requests that are none', () => {
  const long = 'x'.repeat(70_000);
  test.each([
    ['no Host', 'GET / HTTP/1.1\r\n\r\n'],
    ['HTTP/1.0', 'GET / HTTP/1.0\r\nHost: api.example.com\r\n\r\n'],
    ['no HTTP at all', 'hello\r\n\r\n'],
    ['an unknown method', 'BREW /mock HTTP/1.1\r\nHost: api.example.com\r\n\r\n'],
    [
      'two ways to tell the length',
      'POST /mock HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    ],
    ['headers too large', `GET /mock HTTP/1.1\r\nHost: api.example.com\r\nx: ${long}\r\n\r\n`],
    ['too many headers', `GET /mock HTTP/1.1\r\nHost: api.example.com\r\n${'x: y\r\n'.repeat(101)}\r\n`],
    ['a fragment in the path', 'GET /mock#x HTTP/1.1\r\nHost: api.example.com\r\n\r\n'],
    ['the server itself', 'OPTIONS * HTTP/1.1\r\nHost: api.example.com\r\n\r\n'],
    ['a tunnel', 'CONNECT api.example.com:443 HTTP/1.1\r\nHost: api.example.com\r\n\r\n'],
    ['a tunnel to an unknown host', 'CONNECT nobody.example:443 HTTP/1.1\r\nHost: nobody.example:443\r\n\r\n'],
    [
      'another protocol',
      'GET /status/200 HTTP/1.1\r\nHost: api.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
    ],
  ])('%s: 3999', async (_, request) => {
    const { text } = await rawHttp(gateway.port, request);
    expect(text).toMatch(/^HTTP\/1\.1 400 /);
    expect(text.toLowerCase()).toContain('x-gateway-result-code: 3999\r\n');
    expect(text).toContain('"code":"3999"');
  });

  test('an absolute target is taken by its host and path', async () => {
    const { text } = await rawHttp(gateway.port, `GET http://${HOST}/mock HTTP/1.1\r\nHost: nobody.example\r\n\r\n`);
    expect(text).toMatch(/^HTTP\/1\.1 200 /);
    expect(text).toContain('x-gateway-result-code: 1100');
  });
});

describe('a reply with status 400 keeps the connection', () => {
  test.each([
    ['3000', '/none'],
    ['3999', '/a//b'],
    ['4000', '/empty'],
    ['a mock', '/mock-400'],
  ])('%s', async (_, path) => {
    const host = `GET ${path} HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`;
    const socket = connect(gateway.port, '127.0.0.1');
    onCleanup(() => {
      socket.destroy();
    });
    let text = '';
    socket.setEncoding('latin1').on('data', (chunk: string) => {
      text += chunk;
    });
    socket.write(host);
    await until(() => text.match(/HTTP\/1\.1 400 /g)?.length === 1 && text.includes('}'), { what: 'the first reply' });
    socket.write(host);
    await until(() => text.match(/HTTP\/1\.1 400 /g)?.length === 2, { what: 'the second on the same connection' });
    expect(text.toLowerCase()).not.toContain('connection: close');
  });
});

describe('responses of the backend', () => {
  test.each([200, 201, 204, 301, 400, 404, 418, 429, 500, 502, 503, 504])(
    '%d passes as it is, but does not speak for the gateway',
    async (status) => {
      const answer = await ask(`/status/${status}`);
      expect(answer.status).toBe(status);
      if (status !== 204) expect(answer.body).toBe('from the backend');
      expect(answer.headers).not.toHaveProperty('x-gateway-result-code');
      expect(answer.headers).not.toHaveProperty('x-gateway-memo');
      expect(answer.headers['x-gateway-request-id']).toMatch(/^[0-9a-f-]{36}$/);
      expect(await gateway.line(answer)).toMatchObject({ result_code: null, response_code_details: 'via_upstream' });
    },
  );

  test.each([
    [200, '1000'],
    [201, '1801'],
    [204, '1804'],
    [226, '1809'],
    [299, '1000'],
    [301, '6101'],
    [304, '6104'],
    [306, '6102'],
    [400, '6201'],
    [404, '6205'],
    [418, '6201'],
    [429, '6225'],
    [500, '6301'],
    [503, '6304'],
    [511, '6311'],
    [599, '6301'],
  ])('%d has code %s where the API asks for it', async (status, code) => {
    const answer = await ask(`/coded/${status}`);
    expect(answer.status).toBe(status);
    expect(answer.headers['x-gateway-result-code']).toBe(code);
    expect((await gateway.line(answer)).result_code).toBe(code);
  });
});
