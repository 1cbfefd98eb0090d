import { join } from 'node:path';
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
import { type Seen, startBackend } from '../support/backend.js';
import { onCleanup } from '../support/cleanup.js';
import { inputOf, tablesOf } from '../support/decision.js';
import { AK, appBytes, deliver, SK } from '../support/edge-envoy.js';
import { startGateway, type TestGateway } from '../support/gateway.js';
import { clusterIr, forward, groupIr, routeIr } from '../support/ir.js';
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
  const backend = await startBackend('backend');
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
