import { beforeAll, describe, expect, it } from 'vitest';
import { bootstrap } from '../../src/core/xds/bootstrap.js';
import { type AdminClient, testController } from '../support/admin.js';
import { type Backend, startBackend } from '../support/backend.js';
import { startEnvoy } from '../support/envoy.js';
import { type Ask, httpClient } from '../support/http-client.js';
import { freePort } from '../support/ports.js';
import { testPostgres } from '../support/postgres.js';
import { tmpDir } from '../support/tmp.js';
import { until } from '../support/until.js';

const base = '/api/v1/workspaces/shop';
const pods = `${base}/clusters/pods/endpoints`;
const host = 'shop.example.com';
const headers: Ask = { headers: { host } };

type Gateway = Awaited<ReturnType<typeof gateway>>;

/** An Envoy of a fleet, which serves on a port of its own. */
async function gateway(
  controller: AdminClient,
  fleet: { name: string; port: number },
  locality?: { region: string; subZone: string },
) {
  const nodeDir = tmpDir();
  await startEnvoy({
    bootstrapYaml: bootstrap({
      nodeId: `node-${fleet.name}`,
      nodeCluster: `shop/${fleet.name}`,
      adsAddress: '127.0.0.1',
      adsPort: controller.adsPort,
      edgeSocket: 'authz.sock',
      adminAddress: '127.0.0.1',
      adminPort: 0,
      ...(locality && { locality }),
    }),
    cwd: nodeDir,
  });
  const ask = httpClient(fleet.port);
  await until(() => ask('/', headers), { within: 30_000, what: `an answer of the gateway ${fleet.name}` });
  /** Names of the backends that answer ten requests; a failure by its status. */
  const who = async () => {
    const answers = await Promise.all(Array.from({ length: 10 }, () => ask('/', headers)));
    const named = answers.map(({ status, body }) => (status === 200 ? JSON.parse(body).backend : `status ${status}`));
    return [...new Set<string>(named)].sort().join();
  };
  return { ask, who };
}

async function fleets(...names: string[]): Promise<{ name: string; port: number }[]> {
  const found: { name: string; port: number }[] = [];
  for (const name of names) found.push({ name, port: await freePort() });
  return found;
}

async function define(
  controller: AdminClient,
  served: readonly { name: string; port: number }[],
  cluster: Record<string, unknown>,
): Promise<void> {
  await controller.call('POST', '/api/v1/workspaces', { name: 'shop' });
  const { status, text } = await controller.call('POST', `${base}/changesets`, {
    definitions: {
      fleets: served.map(({ name, port, ...more }) => ({
        name,
        listeners: [{ name: 'http', address: '127.0.0.1', port }],
        ...more,
      })),
      clusters: [{ name: 'pods', ...cluster }],
      groups: [{ name: 'shop', hosts: [host] }],
      apis: [{ name: 'all', group: 'shop', match: { path: '/*' }, upstream: { kind: 'cluster', cluster: 'pods' } }],
    },
  });
  expect([status, status === 200 ? '' : text]).toEqual([200, '']);
}

const at = ({ port }: Backend, more: object = {}) => ({ host: '127.0.0.1', port, ...more });

describe('registration', () => {
  let a: AdminClient;
  let b: AdminClient;
  let one: Gateway;
  let two: Gateway;
  beforeAll(async () => {
    const url = await (await testPostgres()).database();
    a = await testController(url, { pollMs: 60_000 });
    const [first, second] = (await fleets('one', 'two')) as [
      { name: string; port: number },
      { name: string; port: number },
    ];
    await define(a, [first, second], { endpoints: [] });
    b = await testController(url, { pollMs: 60_000 });
    [one, two] = await Promise.all([gateway(a, first), gateway(b, second)]);
  });

  it('reaches the Envoys of both controllers, 4000 before and after', async () => {
    const code = async (from: Gateway) => (await from.ask('/', headers)).headers['x-gateway-result-code'];
    expect([await code(one), await code(two)]).toEqual(['4000', '4000']);
    const backend = await startBackend('first');
    await b.call('PUT', `${pods}/first`, at(backend));
    await until(async () => (await one.who()) === 'first' && (await two.who()) === 'first', {
      what: 'the backend behind both',
    });
    await a.call('DELETE', pods);
    await until(async () => (await code(one)) === '4000' && (await code(two)) === '4000', { what: '4000 again' });
  });

  it('moves traffic under load without a failed request, also when a backend leaves with requests under way', async () => {
    const slow = (name: string) =>
      startBackend(name, (seen, response) => {
        if (seen.path !== '/slow') return false;
        setTimeout(() => response.writeHead(200).end(JSON.stringify({ backend: name })), 100);
        return true;
      });
    const [x, y, z] = await Promise.all([slow('x'), slow('y'), slow('z')]);
    await a.call('PUT', pods, { endpoints: [at(x, { id: 'x' }), at(y, { id: 'y' })] });
    await until(async () => (await one.who()) === 'x,y', { what: 'both backends' });
    let running = true;
    const statuses = new Map<number, number>();
    const load = Array.from({ length: 6 }, async (_, i) => {
      while (running) {
        const { status } = await one.ask(i < 3 ? '/slow' : '/', headers);
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
      }
    });
    // Each is gone when it gets no request any more, while the others do.
    const silent = async (backend: Backend, others: Backend) => {
      let [mine, theirs] = [backend.seen.length, others.seen.length];
      await until(
        () => {
          if (backend.seen.length !== mine) [mine, theirs] = [backend.seen.length, others.seen.length];
          return others.seen.length - theirs > 100;
        },
        { within: 20_000, what: 'no more requests to a backend that left' },
      );
    };
    for (let round = 0; round < 3; round++) {
      await a.call('DELETE', `${pods}/x`);
      await silent(x, y);
      await a.call('PUT', `${pods}/z`, at(z));
      await a.call('DELETE', `${pods}/y`);
      await silent(y, z);
      await a.call('PUT', pods, { endpoints: [at(x, { id: 'x' }), at(y, { id: 'y' })] });
      await silent(z, x);
    }
    running = false;
    await Promise.all(load);
    expect([...statuses.keys()]).toEqual([200]);
    expect(statuses.get(200)).toBeGreaterThan(1000);
    await a.call('DELETE', pods);
  });
});

it('nodes of two regions prefer their room, turn to their region and then elsewhere when it is ill, and come back', async () => {
  const admin = await testController(await (await testPostgres()).database());
  const ill = new Set<string>();
  const backend = (name: string) =>
    startBackend(name, (seen, response) => {
      if (seen.path !== '/healthz') return false;
      response.writeHead(ill.has(name) ? 503 : 200).end();
      return true;
    });
  const [e1, e2, w1] = await Promise.all([backend('e1'), backend('e2'), backend('w1')]);
  const [east, west, other] = (await fleets('east', 'west', 'other')) as [
    { name: string; port: number },
    { name: string; port: number },
    { name: string; port: number },
  ];
  const defaults = { locality: { region: 'east', room: 'e2' } };
  await define(admin, [{ ...east, ...defaults }, west, { ...other, ...defaults } as typeof other], {
    // One room in the definition, the others registered: it makes no difference.
    endpoints: [at(e1, { region: 'east', room: 'e1' })],
    healthCheck: { path: '/healthz', intervalMs: 100, timeoutMs: 1000, unhealthyThreshold: 2, healthyThreshold: 1 },
  });
  await admin.call('PUT', pods, {
    endpoints: [at(e2, { region: 'east', room: 'e2' }), at(w1, { region: 'west', room: 'w1' })],
  });
  const inEast = await gateway(admin, east, { region: 'east', subZone: 'e1' });
  const inWest = await gateway(admin, west, { region: 'west', subZone: 'w1' });
  const byFleet = await gateway(admin, other);
  const serve = (from: Gateway, who: string, why: string) =>
    until(async () => (await from.who()) === who, { within: 20_000, what: `${who} alone: ${why}` });
  await serve(inEast, 'e1', 'its room');
  await serve(inWest, 'w1', 'its room');
  await serve(byFleet, 'e2', 'the room of its fleet');
  ill.add('e1');
  await serve(inEast, 'e2', 'its region');
  await serve(inWest, 'w1', 'its room is well');
  ill.add('e2');
  await serve(inEast, 'w1', 'elsewhere');
  await serve(byFleet, 'w1', 'elsewhere, by its fleet');
  ill.delete('e1');
  await serve(inEast, 'e1', 'its room is well again');
  ill.add('w1');
  await serve(inWest, 'e1', 'elsewhere');
  ill.clear();
  await serve(inEast, 'e1', 'its room');
  await serve(inWest, 'w1', 'its room is back');
  await serve(byFleet, 'e2', 'the room of its fleet is back');
  // Another room of its own, registered: there at once, shared with nobody else.
  await admin.call('DELETE', pods);
  await serve(inWest, 'e1', 'all there is');
});
