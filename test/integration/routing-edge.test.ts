import { join } from 'node:path';
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { StatusCode } from '../../src/gen/envoy/type/v3/http_status_pb.js';
import { type CheckAnswer, startAuthzPeer } from '../support/authz-peer.js';
import { startBackend } from '../support/backend.js';
import { startGateway, type TestGateway } from '../support/gateway.js';
import { clusterIr, forward, groupIr, mock, routeIr } from '../support/ir.js';
import { tmpDir } from '../support/tmp.js';

// How Envoy, programmed by the compiler, asks the edge, and what becomes of each kind of answer.

const HOST = 'api.example.com';
const ALLOW: CheckAnswer = {
  status: { code: 0 },
  httpResponse: {
    case: 'okResponse',
    value: {
      headers: [{ header: { key: 'x-gateway-app-id', value: 'app-1' } }],
      headersToRemove: ['authorization'],
    },
  },
  dynamicMetadata: { result_code: '1000', app_id: 'app-1' },
};

let gateway: TestGateway;
let peer: Awaited<ReturnType<typeof startAuthzPeer>>;
let answer: CheckAnswer;
beforeAll(async () => {
  const dir = tmpDir();
  const socket = join(dir, 'authz.sock');
  peer = await startAuthzPeer(socket, () => answer);
  const backend = await startBackend('backend');
  const policy = { name: '00000000000000aa' };
  gateway = await startGateway(
    {
      fleet: { maxBodyBytes: 1000, signedHeaders: ['x-signed-too'] },
      groups: [
        groupIr(
          [HOST],
          [
            routeIr('/open', forward('backend')),
            routeIr('/body', forward('backend'), { policy, checkedBodyBytes: 1000 }),
            routeIr('/small-body', forward('backend'), { policy, checkedBodyBytes: 10 }),
            routeIr('/large-body', forward('backend'), { policy, checkedBodyBytes: 3_000_000 }),
            routeIr('/no-body', forward('backend'), { policy, checkedBodyBytes: 0 }),
            routeIr('/mock', mock('{"mocked":true}'), { policy, checkedBodyBytes: 0 }),
          ],
          { id: 'group-1' },
        ),
      ],
      clusters: [clusterIr('backend', { endpoints: [{ host: '127.0.0.1', port: backend.port, weight: 1 }] })],
    },
    { edgeSocket: socket, dir },
  );
});

const ask = (
  path: string,
  more: { headers?: Record<string, string | string[]>; method?: string; body?: Buffer } = {},
) => gateway.ask(path, { ...more, headers: { host: HOST, ...more.headers } });
const lastCheck = () => peer.requests.at(-1)?.attributes;

describe('asking', () => {
  beforeEach(() => {
    answer = ALLOW;
  });

  test('only where the route has a policy', async () => {
    const before = peer.requests.length;
    await ask('/open');
    await ask('/nothing');
    await ask('/a//b');
    await ask('/body//');
    await gateway.ask('/body', { headers: { host: 'nobody.example' } });
    expect(peer.requests.length).toBe(before);
    await ask('/body');
    await gateway.ask('/body', { headers: { host: HOST.toUpperCase() } });
    await ask('/mock');
    expect(peer.requests.length).toBe(before + 3);
  });

  test('with policy, API and group, and the request as it came', async () => {
    await ask('/body?a=b%20c', { method: 'POST', headers: { host: `${HOST}:99` } });
    expect(lastCheck()?.contextExtensions).toMatchObject({
      policy: '00000000000000aa',
      api: '/body',
      group: 'group-1',
    });
    expect(lastCheck()?.request?.http).toMatchObject({ method: 'POST', path: '/body?a=b%20c', host: HOST });
  });

  test('with the headers that signatures may cover, and no others', async () => {
    const sent = {
      authorization: 'Signature x',
      date: 'now',
      digest: 'd',
      'content-md5': 'm',
      'content-type': 'text/plain',
      accept: 'a/b',
      'x-gateway-host': HOST,
      'x-app-id': '1',
      'x-ca-key': '2',
      'x-signed-too': ['first', 'second'],
    };
    const kept = {
      cookie: 'secret',
      'x-other': '1',
      'user-agent': 'u',
      'x-forwarded-for': '1.2.3.4',
      'x-pf-host': 'x',
    };
    await ask('/body', { method: 'POST', headers: { ...sent, ...kept }, body: Buffer.from('abc') });
    const headers = lastCheck()?.request?.http?.headerMap?.headers ?? [];
    // Envoy itself adds whether it gives the whole body.
    const names = headers.map(({ key }) => key).filter((key) => !key.startsWith(':'));
    expect(new Set(names)).toEqual(
      new Set([...Object.keys(sent), 'content-length', 'x-request-id', 'x-envoy-auth-partial-body']),
    );
    const raw = headers
      .filter(({ key }) => key === 'x-signed-too')
      .map(({ rawValue }) => Buffer.from(rawValue).toString());
    expect(raw).toEqual(['first', 'second']);
  });

  test('with the body as bytes, where the API wants it checked', async () => {
    const body = Buffer.from([0, 255, 254, 13, 10, 128]);
    await ask('/body', { method: 'POST', body });
    expect(Buffer.from(lastCheck()?.request?.http?.rawBody ?? [])).toEqual(body);
    await ask('/small-body', { method: 'POST', body });
    expect(Buffer.from(lastCheck()?.request?.http?.rawBody ?? [])).toEqual(body);
    await ask('/no-body', { method: 'POST', body });
    expect(lastCheck()?.request?.http?.rawBody.length).toBe(0);
  });

  test.each([
    ['/body', 1000, 1001],
    ['/small-body', 10, 11],
    ['/large-body', 3_000_000, 3_000_001],
  ])('%s takes %d bytes; %d are 9413 and the edge is not asked', async (path, fits, tooLarge) => {
    const good = await ask(path, { method: 'POST', body: Buffer.alloc(fits, 'x') });
    expect(good.status).toBe(200);
    expect(JSON.parse(good.body).body.length).toBe(fits);
    const before = peer.requests.length;
    const bad = await ask(path, { method: 'POST', body: Buffer.alloc(tooLarge, 'x') });
    expect(bad).toMatchObject({ status: 413, headers: { 'x-gateway-result-code': '9413' } });
    expect(peer.requests.length).toBe(before);
  });

  test('a body that nobody checks may be of any size', async () => {
    const answered = await ask('/no-body', { method: 'POST', body: Buffer.alloc(2_000_000, 'x') });
    expect(JSON.parse(answered.body).body.length).toBe(2_000_000);
  });
});

describe('answers', () => {
  test('allow: the App’s id goes to the backend, the credentials do not', async () => {
    answer = ALLOW;
    const headers = { authorization: 'Signature x', 'x-gateway-app-id': 'spoofed' };
    const answered = await ask('/body', { headers });
    const seen = JSON.parse(answered.body).headers;
    expect(seen['x-gateway-app-id']).toBe('app-1');
    expect(seen).not.toHaveProperty('authorization');
    expect(answered.headers).not.toHaveProperty('x-gateway-result-code');
    expect(await gateway.line(answered)).toMatchObject({
      app_id: 'app-1',
      edge_code: '1000',
      result_code: null,
      policy: '00000000000000aa',
    });
  });

  test('allow of a mock', async () => {
    answer = ALLOW;
    expect(await ask('/mock')).toMatchObject({ status: 200, body: '{"mocked":true}' });
  });

  test('the edge cannot change where the request goes', async () => {
    const header = (key: string, value: string) => ({ header: { key, value } });
    const headers = [header(':path', '/open'), header(':authority', 'x'), header('host', 'y'), header('x-fine', '1')];
    answer = { status: { code: 0 }, httpResponse: { case: 'okResponse', value: { headers } } };
    const seen = JSON.parse((await ask('/body')).body);
    expect(seen).toMatchObject({ path: '/body', headers: { host: HOST, 'x-fine': '1' } });
  });

  const denial = (status: StatusCode, http?: string): CheckAnswer => ({
    status: { code: 7 },
    httpResponse: {
      case: 'deniedResponse',
      value: {
        status: { code: status },
        headers: [
          { header: { key: 'x-gateway-result-code', value: '2102' } },
          { header: { key: 'content-type', value: 'application/json' } },
        ],
        body: '{"code":"2102"}',
      },
    },
    dynamicMetadata: { result_code: '2102', app_id: 'app-2', ...(http !== undefined && { http }) },
  });

  test.each([
    ['403', denial(StatusCode.Forbidden), 403],
    ['what is to be 400, sent as 403', denial(StatusCode.Forbidden, '400'), 400],
    ['429', denial(StatusCode.TooManyRequests), 429],
    ['502', denial(StatusCode.BadGateway), 502],
    ['200', denial(StatusCode.OK), 200],
  ])('a denial passes as the edge made it: %s', async (_, denied, status) => {
    answer = denied;
    const answered = await ask('/body', { method: 'POST', body: Buffer.from('x') });
    expect(answered).toMatchObject({ status, body: '{"code":"2102"}' });
    expect(answered.headers).toMatchObject({
      'x-gateway-result-code': '2102',
      'content-type': 'application/json',
      'x-gateway-request-id': expect.stringMatching(/^[0-9a-f-]{36}$/),
    });
    expect(answered.headers.connection).not.toBe('close');
    expect(await gateway.line(answered)).toMatchObject({
      edge_code: '2102',
      app_id: 'app-2',
      result_code: '2102',
      response_code: status,
      response_flags: 'UAEX',
    });
  });

  test('an answer Envoy cannot use is 7777', async () => {
    const headers = [{ header: { key: 'bad name\n', value: 'x' } }];
    answer = { status: { code: 0 }, httpResponse: { case: 'okResponse', value: { headers } } };
    expect(await ask('/body')).toMatchObject({ status: 502, headers: { 'x-gateway-result-code': '7777' } });
  });
});
