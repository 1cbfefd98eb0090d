import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { create, toBinary } from '@bufbuild/protobuf';
import { beforeAll, describe, expect, it } from 'vitest';
import { TYPE } from '../../src/core/ads/resource.js';
import { decide } from '../../src/core/decision/decide.js';
import type { CheckInput } from '../../src/core/decision/decision.js';
import { signRequest } from '../../src/core/decision/sign-request.js';
import type { PolicyIr } from '../../src/core/ir/policy.js';
import { policyResource } from '../../src/core/policy/policy.js';
import { startAuthz } from '../../src/edge/authz/authz.js';
import { EdgeTables } from '../../src/edge/tables.js';
import { ServiceKeySchema } from '../../src/gen/paifang/v1/policy_pb.js';
import { type Backend, type Seen, startBackend } from '../support/backend.js';
import { onCleanup } from '../support/cleanup.js';
import { inputOf, tablesOf } from '../support/decision.js';
import { AK, appBytes, deliver, SK } from '../support/edge-envoy.js';
import { startGateway, type TestGateway } from '../support/gateway.js';
import { clusterIr, forward, groupIr, routeIr } from '../support/ir.js';
import { rawHttp } from '../support/raw-http.js';
import { sofa } from '../support/sofa-client.js';
import { tmpDir } from '../support/tmp.js';

// The edge behind an Envoy that the compiler programmed: what Envoy changes on the way must not break signatures.

const HOST = 'shop.example.com';
const signature = {
  dialect: 'sofa',
  requiredHeaders: ['(request-target)'],
  digest: 'when-present',
  clockSkewSeconds: 900,
  tolerant: false,
} as const;
const POLICY: PolicyIr = { name: 'policy-1', signature };
const RESIGN: PolicyIr = { name: 'policy-2', signature, resignClusterId: 'backend' };

let gateway: TestGateway;
let backend: Backend;
beforeAll(async () => {
  const dir = tmpDir();
  const tables = new EdgeTables();
  for (const policy of [POLICY, RESIGN]) deliver(tables, TYPE.policy, { [policy.name]: policyResource(policy).bytes });
  deliver(tables, TYPE.app, { app0: appBytes({ grantedApiIds: [], grantedGroupIds: ['group-1'] }) });
  const key = create(ServiceKeySchema, {
    clusterId: 'backend',
    accessKey: 'service-ak',
    secretKey: Buffer.from('service-sk'),
  });
  deliver(tables, TYPE.serviceKey, { backend: toBinary(ServiceKeySchema, key) });
  const authz = await startAuthz({
    socket: join(dir, 'authz.sock'),
    tables,
    policyWaitMs: 100,
    warmUpChecks: 20,
    request: () => {},
  });
  authz.publish();
  onCleanup(() => authz.close(0));
  backend = await startBackend('backend');
  const rewrite = { pattern: '^/orders/([^/]+)$', substitution: '/internal/\\1/order' };
  gateway = await startGateway(
    {
      fleet: {
        headers: { resultCode: 'result-status', memo: 'memo', requestId: 'x-id' },
        docsUrl: 'https://docs.example.com/',
      },
      groups: [
        groupIr(
          [HOST],
          [
            routeIr('/signed', forward('backend'), { policy: POLICY, checkedBodyBytes: 1000 }),
            routeIr('/orders/{id}', forward('backend', { rewrite }), { policy: RESIGN, checkedBodyBytes: 1000 }),
          ],
          { id: 'group-1' },
        ),
      ],
      clusters: [clusterIr('backend', { endpoints: [{ host: '127.0.0.1', port: backend.port, weight: 1 }] })],
    },
    { edgeSocket: 'authz.sock', dir },
  );
});

const signed = (target: string, headers: [string, string][], cover: string[], body?: Buffer) =>
  Object.fromEntries([
    ...headers,
    ...signRequest({
      method: body ? 'POST' : 'GET',
      target,
      headers,
      body,
      accessKey: AK,
      secret: SK,
      cover,
      nowMs: Date.now(),
    }).headers,
  ]);

describe('behind the compiled Envoy', () => {
  it.each([HOST, `${HOST}:8088`, 'SHOP.example.com'])('a signature may cover Host: %s', async (name) => {
    const host = name.includes(':') ? `${HOST}:${gateway.port}` : name;
    const answer = await gateway.ask('/signed', {
      headers: signed('/signed', [['host', host]], ['host', '(request-target)', 'date']),
    });
    expect(answer.status, answer.body).toBe(200);
  });

  it('a signature may cover x-gateway-host', async () => {
    const headers = signed(
      '/signed',
      [
        ['host', 'lb.example.com'],
        ['x-gateway-host', HOST],
      ],
      ['x-gateway-host', '(request-target)'],
    );
    expect((await gateway.ask('/signed', { headers })).status).toBe(200);
  });

  it('a signature may cover text that is no ASCII', async () => {
    const signer = new sofa.Signature(AK, '', sofa.SignatureAlgorithm.HMACSHA256, ['x-app-name', '(request-target)']);
    const authorization = signer.doSignature(SK, { 'x-app-name': '你' }, 'GET', '/signed');
    const name = Buffer.from('你').toString('latin1');
    const answer = await gateway.ask('/signed', { headers: { host: HOST, 'x-app-name': name, authorization } });
    expect(answer.status, answer.body).toBe(200);
  });

  it('a refusal has the names and links of the fleet, and the same code and request id everywhere', async () => {
    const answer = await gateway.ask('/signed', { headers: { host: HOST, authorization: 'Signature nonsense' } });
    expect(answer.status).toBe(400);
    expect(answer.headers).toMatchObject({ 'result-status': '2101', memo: 'RequestSignatureParseError' });
    expect(JSON.parse(answer.body)).toMatchObject({
      code: '2101',
      docs: 'https://docs.example.com/2101',
      requestId: answer.headers['x-id'],
    });
    expect(await gateway.line(answer)).toMatchObject({
      edge_code: '2101',
      result_code: '2101',
      response_code: 400,
      policy: 'policy-1',
      api_id: '/signed',
    });
  });

  it('a request is signed for the backend as the backend sees it: path rewritten, body as it came', async () => {
    const body = Buffer.from('{"n":1}');
    const headers = signed('/orders/7?a=1', [['host', HOST]], ['(request-target)', 'date', 'digest'], body);
    const answer = await gateway.ask('/orders/7?a=1', { method: 'POST', headers, body });
    expect(answer.status, answer.body).toBe(200);
    const seen = JSON.parse(answer.body) as Seen;
    expect(seen.path).toBe('/internal/7/order?a=1');
    // The backend checks it with the same rules and its own key.
    const asSeen: CheckInput = inputOf({
      method: seen.method,
      target: seen.path,
      headers: Object.entries(seen.headers) as [string, string][],
      body: Buffer.from(seen.body),
    });
    const backend = tablesOf({
      accessKey: 'service-ak',
      secret: 'service-sk',
      policy: { digest: 'required', requiredHeaders: ['(request-target)', 'date'] },
    });
    expect(decide(asSeen, backend, Date.now())).toMatchObject({ kind: 'allow' });
    expect(seen.headers['x-gateway-app-id']).toBe('app0');
  });
});

describe('a digest is checked over the bytes of the body, however they come', () => {
  const COVER = ['(request-target)', 'date', 'digest'];
  const zipped = gzipSync('hello');
  const chunks = (...texts: string[]) =>
    `${texts.map((text) => `${text.length.toString(16)}\r\n${text}\r\n`).join('')}0\r\n\r\n`;
  const chunked = 'transfer-encoding: chunked\r\n';
  const length = (bytes: number) => `content-length: ${bytes}\r\n`;
  const send = (method: string, signedBody: Buffer, more: string, body: string) => {
    const { headers } = signRequest({
      method,
      target: '/signed',
      headers: [],
      body: signedBody,
      accessKey: AK,
      secret: SK,
      cover: COVER,
      nowMs: Date.now(),
    });
    const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`).join('');
    return rawHttp(
      gateway.port,
      `${method} /signed HTTP/1.1\r\nhost: ${HOST}\r\nconnection: close\r\n${lines}${more}\r\n${body}`,
    );
  };
  const hello = Buffer.from('hello');
  const nothing = Buffer.alloc(0);

  it.each<[string, string, Buffer, string, string]>([
    ['in chunks', 'POST', hello, chunked, chunks('he', 'llo')],
    ['in no chunk', 'POST', nothing, chunked, chunks()],
    ['with GET', 'GET', hello, length(5), 'hello'],
    ['none with GET', 'GET', nothing, '', ''],
    ['none with HEAD', 'HEAD', nothing, '', ''],
    ['compressed', 'POST', zipped, `content-encoding: gzip\r\n${length(zipped.length)}`, zipped.toString('latin1')],
    ['after 100 Continue', 'POST', hello, `expect: 100-continue\r\n${length(5)}`, 'hello'],
  ])('%s: it passes', async (_, method, body, more, sent) => {
    const { text } = await send(method, body, more, sent);
    expect(text).toMatch(/^(?:HTTP\/1\.1 100 Continue\r\n\r\n)?HTTP\/1\.1 200 /);
    expect(backend.seen.at(-1)?.method).toBe(method);
  });

  it.each<[string, string, Buffer, string, string, string]>([
    ['other chunks', 'POST', hello, chunked, chunks('he', 'lo'), '2116'],
    ['no chunk', 'POST', hello, chunked, chunks(), '2116'],
    ['no body', 'POST', hello, '', '', '2116'],
    ['a body with GET', 'GET', nothing, length(5), 'hello', '2116'],
    ['too many chunks', 'POST', Buffer.alloc(1001, 'x'), chunked, chunks(...Array(7).fill('x'.repeat(143))), '9413'],
  ])('%s: it does not', async (_, method, body, more, sent, code) => {
    const before = backend.seen.length;
    const { text } = await send(method, body, more, sent);
    expect(text).toContain(`result-status: ${code}\r\n`);
    expect(backend.seen.length).toBe(before);
  });

  it('trailers are no part of it, and do not name an App', async () => {
    const before = backend.seen.length;
    const more = `${chunked}trailer: x-gateway-app-id\r\n`;
    const { text } = await send('POST', hello, more, '5\r\nhello\r\n0\r\nx-gateway-app-id: another\r\n\r\n');
    expect(text).toContain(' 200 OK');
    expect(backend.seen.slice(before)).toMatchObject([{ body: 'hello', headers: { 'x-gateway-app-id': 'app0' } }]);
  });
});
