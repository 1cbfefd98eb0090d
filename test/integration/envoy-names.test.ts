import { expect, it } from 'vitest';
import { bootstrap } from '../../src/core/xds/bootstrap.js';
import { testController } from '../support/admin.js';
import { type DnsServer, startDnsServer } from '../support/dns-server.js';
import { startEnvoy } from '../support/envoy.js';
import { httpClient } from '../support/http-client.js';
import { startOnLoopback } from '../support/loopback.js';
import { freePort } from '../support/ports.js';
import { testPostgres } from '../support/postgres.js';
import { steadily } from '../support/steady.js';
import { tmpDir } from '../support/tmp.js';
import { until } from '../support/until.js';

const base = '/api/v1/workspaces/shop';
const host = 'shop.example.com';
const NAME = 'backend.internal';

/** An Envoy that asks `dns` for the one host of its cluster. */
async function gateway(dns: DnsServer, backendPort: number) {
  const admin = await testController(await (await testPostgres()).database());
  const port = await freePort();
  await admin.call('POST', '/api/v1/workspaces', { name: 'shop' });
  const { status } = await admin.call('POST', `${base}/changesets`, {
    definitions: {
      fleets: [{ name: 'edge', listeners: [{ name: 'http', address: '127.0.0.1', port }] }],
      clusters: [{ name: 'backend', endpoints: [{ host: NAME, port: backendPort }] }],
      groups: [{ name: 'shop', hosts: [host] }],
      apis: [{ name: 'all', group: 'shop', match: { path: '/*' }, upstream: { kind: 'cluster', cluster: 'backend' } }],
    },
  });
  expect(status).toBe(200);
  const envoy = await startEnvoy({
    bootstrapYaml: bootstrap({
      nodeId: 'node-1',
      nodeCluster: 'shop/edge',
      adsAddress: '127.0.0.1',
      adsPort: admin.adsPort,
      edgeSocket: 'authz.sock',
      adminAddress: '127.0.0.1',
      adminPort: 0,
      dnsServers: [{ address: '127.0.0.1', port: dns.port }],
    }),
    cwd: tmpDir(),
  });
  return { ask: httpClient(port), envoy };
}

it('names that Envoy resolves: an answer that changes is followed, a failing one keeps the last, and no request is lost', async () => {
  const dns = await startDnsServer({ [NAME]: { a: ['127.0.0.1'], ttl: 1 } });
  const backendPort = await startOnLoopback(['127.0.0.1', '127.0.0.2']);
  const { ask } = await gateway(dns, backendPort);
  const request = { headers: { host } };
  await until(async () => (await ask('/', request)).status === 200, { what: 'the first answer', within: 30_000 });
  const load = steadily(ask, request, 10);
  const from = (address: string) =>
    until(() => load.last() === address, { what: `answers of ${address}`, within: 20_000 });
  await from('127.0.0.1');
  dns.set(NAME, { a: ['127.0.0.2'], ttl: 1 });
  await from('127.0.0.2');
  const asked = (times: number) => {
    const before = dns.asked.length;
    return until(() => dns.asked.length >= before + times, { what: `${times} questions`, within: 20_000 });
  };
  dns.set(NAME, { fault: 'SERVFAIL' });
  await asked(3);
  const answered = load.count();
  await until(() => load.count() > answered + 20, { what: 'answers while DNS fails' });
  dns.set(NAME, { a: ['127.0.0.1'], ttl: 1 });
  await from('127.0.0.1');
  await load.stop();
  expect([load.failed, load.count() > 100]).toEqual([[], true]);

  // What Envoy makes of a name that is gone, and the controller does not: no hosts are left.
  dns.set(NAME, undefined);
  const gone = await until(
    async () => {
      const answer = await ask('/', request);
      return answer.status !== 200 && answer;
    },
    { what: 'no host', within: 20_000 },
  );
  expect(gone.headers['x-gateway-result-code']).toBe('4000');
  dns.set(NAME, { a: ['127.0.0.2'], ttl: 1 });
  await until(async () => (await ask('/', request)).body === '127.0.0.2', { what: 'the host again', within: 20_000 });
});
