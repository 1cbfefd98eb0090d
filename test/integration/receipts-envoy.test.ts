import { rootCertificates } from 'node:tls';
import { beforeAll, describe, expect, it } from 'vitest';
import { bootstrap } from '../../src/core/xds/bootstrap.js';
import { type AdminClient, testController } from '../support/admin.js';
import { startEnvoy } from '../support/envoy.js';
import { httpClient } from '../support/http-client.js';
import { freePort } from '../support/ports.js';
import { testPostgres } from '../support/postgres.js';
import { tmpDir } from '../support/tmp.js';
import { until } from '../support/until.js';

const base = '/api/v1/workspaces/shop';
const HOST = 'shop.example.com';
/** Every certificate in it can be read, what is left over cannot: only Envoy finds out. */
const cut = `${rootCertificates[0]}\n-----BEGIN CERTIFICATE-----\nMIIB`;

let admin: AdminClient;
let ask: ReturnType<typeof httpClient>;
beforeAll(async () => {
  admin = await testController(await (await testPostgres()).database());
  const port = await freePort();
  await admin.call('POST', '/api/v1/workspaces', { name: 'shop' });
  const reply = await admin.call('POST', `${base}/changesets?wait=acked`, {
    definitions: {
      fleets: [{ name: 'edge', listeners: [{ name: 'http', address: '127.0.0.1', port }] }],
      groups: [{ name: 'shop', hosts: [HOST] }],
      apis: [{ name: 'hello', group: 'shop', match: { path: '/hello' }, upstream: { kind: 'mock', body: 'one' } }],
    },
  });
  // Nobody is there yet: nobody is waited for.
  expect(reply.body.receipt).toMatchObject({ release: 1, acked: true, nodes: [] });
  await startEnvoy({
    bootstrapYaml: bootstrap({
      nodeId: 'envoy-1',
      nodeCluster: 'shop/edge',
      adsAddress: '127.0.0.1',
      adsPort: admin.adsPort,
      edgeSocket: 'authz.sock',
      adminAddress: '127.0.0.1',
      adminPort: 0,
      locality: { region: 'east', zone: 'east-1', subZone: 'room-a' },
    }),
    cwd: tmpDir(),
    concurrency: 2,
  });
  ask = httpClient(port);
});

const envoy = async () => (await admin.call('GET', `${base}/nodes/envoy-1`)).body.node;
const hello = async () => (await ask('/hello', { headers: { host: HOST } })).body;
const body = (text: string, query = '?publish=true&wait=acked') =>
  admin.call('PATCH', `${base}/apis/hello${query}`, { upstream: { kind: 'mock', body: text } }, { 'if-match': '*' });

describe('a real Envoy', () => {
  it('is in the inventory, in step with the release that was there before it', async () => {
    const node = await until(async () => ((n) => n?.state === 'in-step' && n.release === 1 && n)(await envoy()), {
      what: 'Envoy in step',
      within: 30_000,
    });
    expect(node).toMatchObject({
      role: 'envoy',
      fleet: 'shop/edge',
      connected: true,
      version: expect.stringMatching(/^envoy 1\./),
      locality: { region: 'east', zone: 'east-1', subZone: 'room-a' },
      drift: 0,
      refused: [],
      beside: null,
    });
    expect((await admin.call('GET', `${base}/nodes/envoy-1`)).body.drifting).toEqual([]);
  });

  it('has an edit in force when the wait is over: the next request meets it', async () => {
    await until(async () => (await hello()) === 'one', { what: 'the first answer' });
    for (const text of ['two', 'three', 'four']) {
      const { outcome } = (await body(text)).body;
      expect(outcome.receipt).toMatchObject({ acked: true, timedOut: false });
      expect(outcome.receipt.nodes).toMatchObject([{ node: 'envoy-1', role: 'envoy', state: 'acked' }]);
      expect(await hello()).toBe(text);
    }
  });

  it('has a new host, a new listener, and their removal in force when the wait is over', async () => {
    const port = await freePort();
    const second = { name: 'second', address: '127.0.0.1', port };
    const listeners = (await admin.call('GET', `${base}/fleets/edge`)).body.spec.listeners;
    const made = await admin.call('POST', `${base}/changesets?wait=acked`, {
      definitions: {
        fleets: [{ name: 'edge', listeners: [...listeners, second] }],
        groups: [{ name: 'new', hosts: ['new.example.com'] }],
        apis: [{ name: 'new', group: 'new', match: { path: '/hello' }, upstream: { kind: 'mock', body: 'new' } }],
      },
    });
    expect(made.body.receipt).toMatchObject({ acked: true, timedOut: false });
    const types = made.body.receipt.nodes[0].types.map((t: { type: string }) => t.type).sort();
    expect(types).toEqual(['Listener', 'RouteConfiguration', 'ScopedRouteConfiguration']);
    const there = await httpClient(port)('/hello', { headers: { host: 'new.example.com' } });
    expect(there.body).toBe('new');
    const away = await admin.call('POST', `${base}/changesets?wait=acked`, {
      prune: true,
      definitions: {
        fleets: [{ name: 'edge', listeners }],
        groups: [{ name: 'shop', hosts: [HOST] }],
        apis: [{ name: 'hello', group: 'shop', match: { path: '/hello' }, upstream: { kind: 'mock', body: 'four' } }],
      },
    });
    expect(away.body.receipt).toMatchObject({ acked: true, timedOut: false });
    const gone = await ask('/hello', { headers: { host: 'new.example.com' } });
    expect(gone.headers['x-gateway-result-code']).toBe('3001');
  });

  it('refuses what it cannot use: the receipt says what and why, and what else was published is in force', async () => {
    const reply = await admin.call('POST', `${base}/changesets?wait=acked&timeout=20s`, {
      definitions: {
        clusters: [{ name: 'bad', endpoints: [{ host: '127.0.0.1', port: 9 }], tls: { caPem: cut, sni: 'a.example' } }],
        groups: [{ name: 'other', hosts: ['other.example.com'] }],
        apis: [
          { name: 'bad', group: 'other', match: { path: '/bad' }, upstream: { kind: 'cluster', cluster: 'bad' } },
          { name: 'hello', group: 'shop', match: { path: '/hello' }, upstream: { kind: 'mock', body: 'five' } },
        ],
      },
    });
    expect(reply.status).toBe(200);
    const { receipt } = reply.body;
    expect(receipt).toMatchObject({ acked: false, result: 'refused', timedOut: false });
    const cluster = receipt.nodes[0].types.find((t: { type: string }) => t.type === 'Cluster');
    expect(cluster).toMatchObject({ refused: { error: expect.stringContaining('CA certificates') } });
    expect(await envoy()).toMatchObject({ state: 'refusing', why: expect.stringContaining('CA certificates') });
    expect(await until(async () => (await hello()) === 'five', { what: 'the good part' })).toBe(true);
    const { id } = (await admin.call('GET', `${base}/clusters/bad`)).body;
    const shown = (await admin.call('GET', `/console/config?type=Service&resourceId=${id}`)).body;
    expect(shown.fleets[0].nodes[0]).toMatchObject({
      inStep: false,
      acknowledged: null,
      refused: { error: cluster.refused.error },
    });
    // Taken back: in step again.
    const back = await admin.call('POST', `${base}/changesets?wait=acked`, {
      prune: true,
      definitions: {
        fleets: [(await admin.call('GET', `${base}/fleets/edge`)).body.spec],
        groups: [{ name: 'shop', hosts: [HOST] }],
        apis: [{ name: 'hello', group: 'shop', match: { path: '/hello' }, upstream: { kind: 'mock', body: 'six' } }],
      },
    });
    expect(back.body.receipt).toMatchObject({ acked: true });
    const after = await envoy();
    expect([after.state, after.why]).toEqual(['in-step', null]);
  });
});
