import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { expect, it } from 'vitest';
import { bootstrap } from '../../src/core/xds/bootstrap.js';
import { testController } from '../support/admin.js';
import { type Backend, startBackend } from '../support/backend.js';
import { type SelfSigned, selfSigned } from '../support/certificate.js';
import { onCleanup } from '../support/cleanup.js';
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

/** An Envoy with one cluster, for whose names it, or the controller, asks `dns`. */
async function gateway(dns: DnsServer, cluster: object) {
  const pace = { leastMs: 50, mostMs: 200, otherMs: 100 };
  const database = await (await testPostgres()).database();
  const admin = await testController(database, { dns: { servers: [dns.address], timeoutMs: 500, pace } });
  const port = await freePort();
  await admin.call('POST', '/api/v1/workspaces', { name: 'shop' });
  const { status } = await admin.call('POST', `${base}/changesets`, {
    definitions: {
      fleets: [{ name: 'edge', listeners: [{ name: 'http', address: '127.0.0.1', port }] }],
      clusters: [{ name: 'backend', ...cluster }],
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
  return { admin, ask: httpClient(port), envoy };
}
const request = { headers: { host } };
const byEnvoy = (port: number) => ({ endpoints: [{ host: NAME, port }], discovery: null });
const byController = (port: number) => ({ endpoints: [], discovery: { dns: [{ name: NAME, port }] } });

it('names that Envoy resolves: an answer that changes is followed, a failing one keeps the last, and no request is lost', async () => {
  const dns = await startDnsServer({ [NAME]: { a: ['127.0.0.1'], ttl: 1 } });
  const backendPort = await startOnLoopback(['127.0.0.1', '127.0.0.2']);
  const { ask } = await gateway(dns, { endpoints: [{ host: NAME, port: backendPort }] });
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

it('a name goes over from Envoy to the controller and back without a lost request', async () => {
  const dns = await startDnsServer({ [NAME]: { a: ['127.0.0.1'], ttl: 1 } });
  const backendPort = await startOnLoopback(['127.0.0.1']);
  const { admin, ask } = await gateway(dns, { endpoints: [{ host: NAME, port: backendPort }] });
  await until(async () => (await ask('/', request)).status === 200, { what: 'the first answer', within: 30_000 });
  const load = steadily(ask, request, 10);
  for (const spec of [byController(backendPort), byEnvoy(backendPort), byController(backendPort)]) {
    const path = `${base}/clusters/backend?publish=true&wait=acked&timeout=10000`;
    const { status, body } = await admin.call('PATCH', path, spec, { 'if-match': '*' });
    expect([status, body.outcome.receipt.outcome ?? body.outcome.receipt]).toMatchObject([200, expect.anything()]);
    const before = load.count();
    await until(() => load.count() > before + 50, { what: 'answers after the change', within: 20_000 });
  }
  await load.stop();
  expect(load.failed).toEqual([]);
});

it('TLS verifies the name that led to an address, also when the controller resolved it', async () => {
  const dns = await startDnsServer({ [NAME]: { a: ['127.0.0.1'] } });
  const [right, wrong] = [selfSigned(NAME), selfSigned('other.internal')];
  const port = await startTls('127.0.0.1', 0, right);
  await startTls('127.0.0.2', port, wrong);
  const tls = { caPem: right.certPem + wrong.certPem };
  const { admin, ask } = await gateway(dns, { endpoints: [], discovery: { dns: [{ name: NAME, port }] }, tls });
  const answers = (wanted: number) =>
    until(async () => (await ask('/', request)).status === wanted, { what: `status ${wanted}`, within: 20_000 });
  await answers(200);
  expect((await ask('/', request)).body).toBe(`127.0.0.1 ${NAME}`);
  dns.set(NAME, { a: ['127.0.0.2'] });
  await answers(502);
  dns.set(NAME, { a: ['127.0.0.1'] });
  await answers(200);
  // One that registers has no name: it is not asked for one, and only its chain is verified. `sni` names one for all.
  const registered = await admin.call('PUT', `${base}/clusters/backend/endpoints/one`, { host: '127.0.0.1', port });
  expect(registered.status).toBe(201);
  await until(async () => (await ask('/', request)).body === '127.0.0.1 false', { what: 'no name asked for' });
});

it('SRV records: their ports and weights, and the second priority while the hosts of the first are ill', async () => {
  const name = '_http._tcp.backend.internal';
  const ill = new Set<string>();
  const backend = (who: string) =>
    startBackend(who, (_, response) => {
      response.writeHead(ill.has(who) ? 503 : 200).end(who);
      return true;
    });
  const [often, seldom, reserve] = [await backend('often'), await backend('seldom'), await backend('reserve')];
  const record = ({ port }: Backend, priority: number, weight: number) => ({ target: NAME, port, priority, weight });
  const dns = await startDnsServer({
    [NAME]: { a: ['127.0.0.1'] },
    [name]: { srv: [record(often, 10, 90), record(seldom, 10, 10), record(reserve, 20, 1)] },
  });
  const { ask } = await gateway(dns, {
    endpoints: [],
    discovery: { dns: [{ name, type: 'srv' }] },
    healthCheck: { path: '/healthz', intervalMs: 100, timeoutMs: 1000, unhealthyThreshold: 1 },
  });
  const who = async () => {
    const answers = await Promise.all(Array.from({ length: 50 }, () => ask('/', request)));
    const bodies = answers.map(({ status, body }) => (status === 200 ? body : String(status)));
    return { all: [...new Set(bodies)].sort().join(), often: bodies.filter((body) => body === 'often').length };
  };
  const among = (all: string) =>
    until(async () => (await who()).all === all, { what: `answers of ${all}`, within: 20_000 });
  await among('often,seldom');
  expect((await who()).often).toBeGreaterThan(35);
  ill.add('often').add('seldom');
  await among('reserve');
  ill.delete('seldom');
  ill.delete('often');
  await among('often,seldom');
});

/** Answers with its address and the name that the client asked for; returns the port. */
async function startTls(address: string, port: number, { certPem, keyPem }: SelfSigned): Promise<number> {
  const server = createServer({ cert: certPem, key: keyPem }, (asked, response) => {
    response.end(`${address} ${(asked.socket as TLSSocket & { servername?: string }).servername}`);
  });
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, address, resolve));
  onCleanup(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(() => resolve()));
  });
  return (server.address() as AddressInfo).port;
}
