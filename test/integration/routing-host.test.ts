import { connect } from 'node:http2';
import { beforeAll, describe, expect, test } from 'vitest';
import { startBackend } from '../support/backend.js';
import { startGateway, type TestGateway } from '../support/gateway.js';
import { clusterIr, forward, groupIr, routeIr } from '../support/ir.js';

// Which group a request is for, on a real Envoy.

let gateway: TestGateway;
beforeAll(async () => {
  const backend = await startBackend('backend');
  const policy = { name: '00000000000000aa' };
  const toBackend = (id: string) => [
    routeIr('/whoami', forward('backend'), { apiId: `${id}-whoami`, resultCodeHeader: true }),
    routeIr('/guarded', forward('backend'), { apiId: `${id}-guarded`, policy }),
  ];
  gateway = await startGateway({
    groups: [
      groupIr(['orders.example.com', '192.168.7.7', '[::1]'], toBackend('orders'), { id: 'orders' }),
      groupIr(['pay.example.com'], toBackend('pay'), { id: 'pay' }),
    ],
    clusters: [clusterIr('backend', { endpoints: [{ host: '127.0.0.1', port: backend.port, weight: 1 }] })],
  });
});

/** Id of the group that answered, by the log; undefined for 3001. */
async function groupOf(headers: Record<string, string | readonly string[]>): Promise<string | null> {
  const answer = await gateway.ask('/whoami', { headers });
  const { group_id } = await gateway.line(answer);
  expect(answer.status).toBe(group_id === null ? 400 : 200);
  if (group_id === null) expect(answer.headers['x-gateway-result-code']).toBe('3001');
  return group_id;
}

describe('the host selects the group', () => {
  test.each([
    ['Host', { host: 'orders.example.com' }, 'orders'],
    ['Host of another group', { host: 'pay.example.com' }, 'pay'],
    ['Host with a port', { host: 'orders.example.com:8443' }, 'orders'],
    ['Host in capitals', { host: 'Orders.EXAMPLE.com' }, 'orders'],
    ['Host in capitals with a port', { host: 'ORDERS.example.com:80' }, 'orders'],
    ['Host with a final dot', { host: 'orders.example.com.' }, 'orders'],
    ['Host with a final dot and a port', { host: 'orders.example.com.:80' }, 'orders'],
    ['an IPv4 address', { host: '192.168.7.7:8088' }, 'orders'],
    ['an IPv6 address', { host: '[::1]' }, 'orders'],
    ['an IPv6 address with a port', { host: '[::1]:8088' }, 'orders'],
    ['x-gateway-host before Host', { host: 'pay.example.com', 'x-gateway-host': 'orders.example.com' }, 'orders'],
    ['x-gateway-host with a port', { host: 'nobody.example', 'x-gateway-host': 'pay.example.com:1' }, 'pay'],
    ['x-gateway-host in capitals', { host: 'nobody.example', 'x-gateway-host': 'PAY.example.COM' }, 'pay'],
    ['x-gateway-host with a final dot', { host: 'nobody.example', 'x-gateway-host': 'pay.example.com.' }, 'pay'],
    ['an empty x-gateway-host counts as none', { host: 'orders.example.com', 'x-gateway-host': '' }, 'orders'],
    [
      'the first of two x-gateway-host',
      { host: 'nobody.example', 'x-gateway-host': ['pay.example.com', 'orders.example.com'] },
      'pay',
    ],
    ['an unknown host', { host: 'nobody.example' }, null],
    [
      'an unknown x-gateway-host, although Host is known',
      { host: 'pay.example.com', 'x-gateway-host': 'nobody' },
      null,
    ],
    ['a name that ends like a known one', { host: 'evil-orders.example.com' }, null],
    ['a list that begins with a known one', { host: 'orders.example.com,evil.example' }, null],
    ['the helper header does not, though no other is known', { host: 'nobody', 'x-pf-host': 'pay.example.com' }, null],
    [
      'nor with an empty x-gateway-host',
      { host: 'nobody', 'x-gateway-host': '', 'x-pf-host': 'pay.example.com' },
      null,
    ],
  ] as const)('%s', async (_, headers, group) => {
    expect(await groupOf(headers)).toBe(group);
  });

  test('3001 says so in header, body and log, and keeps the connection', async () => {
    const answer = await gateway.ask('/whoami', { headers: { host: 'Nobody.example:1' } });
    expect(answer.status).toBe(400);
    expect(answer.headers).toMatchObject({
      'x-gateway-result-code': '3001',
      'x-gateway-memo': 'RouterGroupNotFound',
      'content-type': 'application/json',
    });
    expect(JSON.parse(answer.body)).toEqual({
      code: '3001',
      memo: 'RouterGroupNotFound',
      tips: expect.stringContaining('API group'),
      requestId: answer.headers['x-gateway-request-id'],
      docs: '/codes/3001',
    });
    expect(answer.headers.connection).not.toBe('close');
    expect(await gateway.line(answer)).toMatchObject({
      result_code: '3001',
      gateway_host: 'nobody.example',
      api_id: null,
    });
  });
});

describe('over HTTP/2', () => {
  const ask = (authority: string, path: string) =>
    new Promise<Record<string, unknown>>((resolve, reject) => {
      const session = connect(`http://127.0.0.1:${gateway.port}`);
      session.on('error', reject);
      const stream = session.request({ ':authority': authority, ':path': path });
      stream.on('error', reject);
      stream.on('response', (headers) => {
        resolve(headers);
        session.destroy();
      });
    });

  test.each([
    ['orders.example.com', '/whoami', 200, '1000'],
    ['ORDERS.example.com:1', '/whoami', 200, '1000'],
    ['ORDERS.example.com', '/guarded', 502, '7777'],
    ['nobody.example', '/whoami', 400, '3001'],
    ['orders.example.com', '/none', 400, '3000'],
    ['orders.example.com', '/a/../b', 400, '3999'],
  ])('%s%s is %d with code %s', async (authority, path, status, code) => {
    expect(await ask(authority, path)).toMatchObject({ ':status': status, 'x-gateway-result-code': code });
  });
});

// The filters of a request are settled before its host is put in lower case: none may be left out for that.
describe('however the host is written', () => {
  test.each([
    { host: 'orders.example.com' },
    { host: 'Orders.Example.Com' },
    { host: 'orders.example.com.:8088' },
    { host: 'x', 'x-gateway-host': 'ORDERS.example.com' },
    { host: 'x', 'x-gateway-host': 'orders.example.com:1' },
  ])('$host $x-gateway-host: a guarded API is not open while the edge is down', async (headers) => {
    const answer = await gateway.ask('/guarded', { headers });
    expect(answer.status).toBe(502);
    expect(answer.headers['x-gateway-result-code']).toBe('7777');
  });

  test.each([{ host: 'orders.example.com' }, { host: 'ORDERS.EXAMPLE.COM' }])(
    '$host: the result code is on the response of the backend where the API asks for it',
    async (headers) => {
      const answer = await gateway.ask('/whoami', { headers });
      expect(answer.headers['x-gateway-result-code']).toBe('1000');
    },
  );
});
