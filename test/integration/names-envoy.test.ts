import { join } from 'node:path';
import { expect, it } from 'vitest';
import { type Child, startChild } from '../support/child.js';
import { onCleanup } from '../support/cleanup.js';
import { type DnsServer, startDnsServer } from '../support/dns-server.js';
import { rootDir } from '../support/envoy.js';
import { httpClient } from '../support/http-client.js';
import { startOnLoopback } from '../support/loopback.js';
import { freePort } from '../support/ports.js';
import { type Stack, startStack, WORKSPACE } from '../support/stack.js';
import { steadily } from '../support/steady.js';
import { tmpDir } from '../support/tmp.js';
import { until } from '../support/until.js';

const NAME = 'backend.internal';
const request = { headers: { host: 'shop.example.com' } };

function settings(dns: DnsServer): Record<string, string> {
  return {
    PAIFANG_MASTER_KEY: '11'.repeat(32),
    PAIFANG_DNS_SERVERS: dns.address,
    PAIFANG_DNS_TIMEOUT: '200',
    PAIFANG_DNS_LEAST_REFRESH: '100',
    PAIFANG_CANARY: 'off',
  };
}

/** A second controller on the same database, as a process. */
async function secondController(stack: Stack, dns: DnsServer): Promise<Child> {
  const child = startChild(process.execPath, [join(rootDir(), 'dist/main.js'), 'controller'], {
    env: {
      ...process.env,
      ...settings(dns),
      PAIFANG_DATA_DIR: tmpDir(),
      PAIFANG_DATABASE_URL: stack.databaseUrl,
      PAIFANG_ADMIN_PORT: String(await freePort()),
      PAIFANG_ADS_PORT: String(await freePort()),
      PAIFANG_NODE_TOKEN: 'node-token-for-tests',
    },
  });
  await until(() => child.output().includes('controller ready'), { what: 'a second controller', within: 60_000 });
  return child;
}

/** Everything Envoy has but its endpoints, with versions and the time each last changed. */
async function allButEndpoints(envoyAdminPort: number): Promise<string> {
  const dump = await (await fetch(`http://127.0.0.1:${envoyAdminPort}/config_dump`)).text();
  const { configs } = JSON.parse(dump) as { configs: { '@type': string }[] };
  const kept = configs.filter(({ '@type': type }) => /Clusters|Listeners|Routes/.test(type));
  expect(kept.length).toBeGreaterThan(2);
  return JSON.stringify(kept);
}

it('names that the controller resolves reach Envoy as endpoints alone; DNS, the asking controller and its turns may fail', async () => {
  const dns = await startDnsServer({ [NAME]: { a: ['127.0.0.1'] } });
  const port = await startOnLoopback(['127.0.0.1', '127.0.0.2', '127.0.0.3']);
  const stack = await startStack({
    definitions: {
      clusters: [{ name: 'backend', endpoints: [], discovery: { dns: [{ name: NAME, port }] } }],
      groups: [{ name: 'shop', hosts: ['shop.example.com'] }],
      apis: [{ name: 'all', group: 'shop', match: { path: '/*' }, upstream: { kind: 'cluster', cluster: 'backend' } }],
    },
    edge: false,
    env: settings(dns),
  });
  const first = stack.pids.controller;
  const second = await secondController(stack, dns);
  const asking = async () => (await stack.admin('GET', '/api/v1/status')).body.components.dns.details.asking;
  await until(asking, { what: 'someone asks' });
  await until(async () => (await stack.ask('/', request)).status === 200, { what: 'the first answer' });
  const releases = (await stack.admin('GET', `${WORKSPACE}/releases`)).body.total;
  const before = await allButEndpoints(stack.envoyAdminPort);
  const load = steadily(httpClient(stack.gatewayPort), request, 20);
  const follows = async (address: string) => {
    dns.set(NAME, { a: [address] });
    await until(() => load.last() === address, { what: `answers of ${address}`, within: 20_000 });
  };
  await follows('127.0.0.2');

  // No DNS: what was last known stays, and the status tells.
  dns.mute(true);
  const told = await until(
    async () => {
      const { body } = await stack.admin('GET', '/api/v1/status');
      return body.components.dns.status === 'DEGRADED' && body;
    },
    { what: 'the status tells', within: 20_000 },
  );
  expect(told.names).toMatchObject([{ name: NAME, state: 'stale', addresses: [{ host: '127.0.0.2' }] }]);
  expect(load.last()).toBe('127.0.0.2');
  dns.mute(false);
  await follows('127.0.0.3');

  // The first controller, which asks and which Envoy hangs on, stands still: the second one goes on.
  process.kill(first, 'SIGSTOP');
  onCleanup(() => {
    try {
      process.kill(first, 'SIGCONT');
    } catch {
      // It is gone already.
    }
  });
  await until(() => second.output().includes('this controller asks DNS for all'), {
    what: 'the second one asks',
    within: 20_000,
  });
  process.kill(first, 'SIGCONT');
  await follows('127.0.0.1');

  // The one that asks is killed: the first one goes on.
  process.kill(second.pid, 'SIGKILL');
  await second.exited;
  await follows('127.0.0.2');

  await load.stop();
  expect([load.failed, load.count() > 100]).toEqual([[], true]);
  expect(await allButEndpoints(stack.envoyAdminPort)).toBe(before);
  expect((await stack.admin('GET', `${WORKSPACE}/releases`)).body.total).toBe(releases);
});
