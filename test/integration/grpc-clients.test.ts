import { join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { bootstrap } from '../../src/core/xds/bootstrap.js';
import { grpcBootstrap } from '../../src/core/xds/grpc-bootstrap.js';
import { type Child, startChild } from '../support/child.js';
import { paifang } from '../support/cli.js';
import { type RunningEnvoy, rootDir, startEnvoy } from '../support/envoy.js';
import { type Calls, grpcClient } from '../support/grpc-client.js';
import { type GrpcService, grpcService } from '../support/grpc-service.js';
import { httpClient } from '../support/http-client.js';
import { freePort } from '../support/ports.js';
import { testPostgres } from '../support/postgres.js';
import { tmpDir } from '../support/tmp.js';
import { until } from '../support/until.js';

// gRPC's own xDS clients against the whole product: definitions by REST, a controller and a database as in production, an Envoy
// of the same fleet beside them. Clients are processes that read what `paifang bootstrap --grpc` prints.

process.setMaxListeners(50);

const shop = '/api/v1/workspaces/shop';
const LIMIT_MS = 120_000;
/** Names of nothing, odd ones among them. */
const NOTHING = ['nobody', 'grpc/orders', 'a b%2F..', 'x'.repeat(2_000)];

// biome-ignore lint/suspicious/noExplicitAny: tests read what they expect to be there.
type Json = any;
let start: () => Promise<Child>;
let controller: Child;
let envoy: RunningEnvoy;
let admin: (method: string, path: string, body?: unknown) => Promise<{ status: number; body: Json }>;
let a: GrpcService;
let b: GrpcService;
let near: GrpcService;
let far: GrpcService;
/** Calls of a client without a place, of those in two rooms, of one of a fleet that is not there. */
let calls: (target: string) => Calls;
let inEast: Calls;
let inWest: Calls;
let astray: Calls;

const http2 = (name: string, endpoints: object[], more: object = {}) => ({
  name,
  protocol: 'http2',
  endpoints,
  ...more,
});
const at = ({ port }: GrpcService, more: object = {}) => ({ host: '127.0.0.1', port, ...more });
const users = () => [at(near, { region: 'east', room: 'e1' }), at(far, { region: 'west', room: 'w1' })];

beforeAll(async () => {
  const [adminPort, adsPort, gatewayPort] = [await freePort(), await freePort(), await freePort()];
  const env = {
    ...process.env,
    PAIFANG_DATA_DIR: tmpDir(),
    PAIFANG_DATABASE_URL: await (await testPostgres()).database(),
    PAIFANG_ADMIN_PORT: String(adminPort),
    PAIFANG_ADS_PORT: String(adsPort),
  };
  const url = `http://127.0.0.1:${adminPort}`;
  start = async () => {
    const child = startChild(process.execPath, [join(rootDir(), 'dist/main.js'), 'controller'], { env });
    const ready = until(async () => (await fetch(`${url}/readyz`)).ok, { within: 60_000, what: 'a controller' });
    await ready.catch((error: Error) => {
      throw new Error(`${error.message}\n${child.output()}`);
    });
    return child;
  };
  controller = await start();
  const token = /Admin token, shown this once: (\S+)/.exec(controller.output())?.[1];
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json', 'if-match': '*' };
  admin = async (method, path, body) => {
    const request = { method, headers, ...(body !== undefined && { body: JSON.stringify(body) }) };
    const response = await fetch(`${url}${path}`, request);
    const text = await response.text();
    return { status: response.status, body: text === '' ? undefined : JSON.parse(text) };
  };
  [a, b, near, far] = [
    await grpcService('a'),
    await grpcService('b'),
    await grpcService('near'),
    await grpcService('far'),
  ];
  await must('POST', '/api/v1/workspaces', { name: 'shop' });
  // The API is what gives the Envoy something to do; the other clusters need none.
  await publish({
    fleets: [{ name: 'main', listeners: [{ name: 'http', address: '127.0.0.1', port: gatewayPort }] }],
    clusters: [
      http2('web', [at(a)]),
      http2('orders', [at(a), at(b)]),
      http2('users', users()),
      http2('stock', [at(a)]),
      http2('cart', [at(a)]),
      http2('dns', [{ host: 'localhost', port: a.port }]),
      http2('least', [at(a), at(b)], {
        loadBalancing: 'least_request',
        outlierDetection: { intervalMs: 200 },
        healthCheck: { path: '/' },
      }),
      http2('订单.v2', [at(b)], { loadBalancing: 'random' }),
    ],
    groups: [{ name: 'shop', hosts: ['shop.example.com'] }],
    apis: [{ name: 'web', group: 'shop', match: { path: '/*' }, upstream: { kind: 'cluster', cluster: 'web' } }],
  });
  const server = `127.0.0.1:${adsPort}`;
  const { status, stdout, stderr } = await paifang(
    `bootstrap --grpc --node somewhere --workspace shop --fleet main --ads ${server}`.split(' '),
  );
  expect([status, stderr]).toEqual([0, '']);
  calls = grpcClient(JSON.parse(stdout), [
    ...['orders', 'users', 'stock', 'cart', 'dns', 'least'].map((name) => ({ target: `xds:///${name}` })),
    // A host header takes ASCII only, and a client takes it from the name unless told.
    { target: 'xds:///订单.v2', options: { 'grpc.default_authority': 'orders' } },
    ...NOTHING.map((name) => ({ target: `xds:///${name}`, deadlineMs: 1_000 })),
  ]);
  const placed = (region: string, subZone: string) => {
    const locality = { region, zone: '', subZone };
    const file = grpcBootstrap({ nodeId: `in-${region}`, nodeCluster: 'shop/main', server, locality });
    return grpcClient(file, [{ target: 'xds:///users' }])('xds:///users');
  };
  [inEast, inWest] = [placed('east', 'e1'), placed('west', 'w1')];
  const other = grpcBootstrap({ nodeId: 'astray', nodeCluster: 'shop/other', server });
  astray = grpcClient(other, [{ target: 'xds:///orders', deadlineMs: 1_000 }])('xds:///orders');
  const place = { adsAddress: '127.0.0.1', adsPort, adminAddress: '127.0.0.1', adminPort: 0, edgeSocket: 'authz.sock' };
  envoy = await startEnvoy({
    bootstrapYaml: bootstrap({ nodeId: 'envoy-1', nodeCluster: 'shop/main', ...place }),
    cwd: tmpDir(),
  });
  const ask = httpClient(gatewayPort);
  await until(() => ask('/', { headers: { host: 'shop.example.com' } }), { within: 30_000, what: 'the gateway' });
}, LIMIT_MS);

async function must(method: string, path: string, body?: unknown): Promise<Json> {
  const answer = await admin(method, path, body);
  if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
  return answer.body;
}

const publish = (definitions: object, query = ''): Promise<Json> =>
  must('POST', `${shop}/changesets${query}`, { definitions });

async function nodeOf(name: string): Promise<Json> {
  const { items } = await must('GET', `${shop}/nodes`);
  return items.find(({ node }: Json) => node === name);
}

it('resolve a cluster that no API uses, call it, and follow registrations and releases without a failed call', {
  timeout: LIMIT_MS,
}, async () => {
  const orders = calls('xds:///orders');
  const c = await grpcService('c');
  await orders.answeredBy(['a', 'b'], 'the endpoints of the definition');
  await must('PUT', `${shop}/clusters/orders/endpoints/c`, at(c));
  await orders.answeredBy(['a', 'b', 'c'], 'c has registered');
  await must('DELETE', `${shop}/clusters/orders/endpoints/c`);
  await orders.answeredBy(['a', 'b'], 'c has left');
  const { receipt } = await publish({ clusters: [http2('orders', [at(b)])] }, '?wait=acked&timeout=20s');
  expect(receipt).toMatchObject({ result: 'acked' });
  // Counted for the client is what it asked for and the release changed. For others: nothing.
  const counted = receipt.nodes.map(({ node, role, types }: Json) => [node, role, types.map(({ type }: Json) => type)]);
  expect(counted).toEqual([
    ['envoy-1', 'envoy', []],
    ['in-east', 'grpc', []],
    ['in-west', 'grpc', []],
    ['somewhere', 'grpc', ['ClusterLoadAssignment', 'Listener']],
  ]);
  await orders.answeredBy(['b'], 'a release took a out');
  expect(orders.failures()).toEqual([]);
  const node = await until(
    async () => {
      const found = await nodeOf('somewhere');
      return found?.state === 'in-step' && found.release !== null && found;
    },
    { what: 'the client in step' },
  );
  expect(node).toMatchObject({ role: 'grpc', variant: 'sotw', drift: 0, refused: [], held: [] });
  expect(node.version).toMatch(/^gRPC Node/);
  const { fleets } = await must('GET', '/console/config?type=Server&resourceId=orders');
  expect(fleets).toMatchObject([
    {
      fleet: 'shop/main',
      resource: { name: 'grpc/orders' },
      desired: { content: { cluster_name: 'grpc/orders' } },
      nodes: [{ node: 'somewhere', inStep: true }],
    },
  ]);
});

it('prefer the room where they stand, turn elsewhere when it dies or is gone, and come back', {
  timeout: LIMIT_MS,
}, async () => {
  await Promise.all([
    inEast.answeredBy(['near'], 'its room'),
    inWest.answeredBy(['far'], 'its room'),
    calls('xds:///users').answeredBy(['far', 'near'], 'all are equally near'),
  ]);
  near.kill();
  await inEast.answeredBy(['far'], 'its room died');
  near = await grpcService('near', near.port);
  await inEast.answeredBy(['near'], 'its room is back');
  const failed = inEast.failures().length;
  await publish({ clusters: [http2('users', [users()[1] as object])] });
  await inEast.answeredBy(['far'], 'its room has no endpoint any more');
  await publish({ clusters: [http2('users', users())] });
  await inEast.answeredBy(['near'], 'its room has endpoints again');
  await inWest.answeredBy(['far'], 'all along');
  expect([inEast.failures().length, inWest.failures()]).toEqual([failed, []]);
  expect((await nodeOf('in-east')).locality).toEqual({ region: 'east', zone: '', subZone: 'e1' });
});

it('are told that a cluster is gone, and call again when it is back', { timeout: LIMIT_MS }, async () => {
  const cart = calls('xds:///cart');
  await cart.answeredBy(['a'], 'it is there');
  const gone = async (what: string) => {
    const failed = cart.failures().length;
    const { missing } = await must('GET', `${shop}/nodes/somewhere`);
    expect(missing).toContainEqual({ name: 'grpc/cart', why: expect.stringContaining(what) });
    await until(() => cart.failures().length > failed + 3, { within: 20_000, what: `failed calls: ${what}` });
    expect(cart.failures().slice(failed).join('\n')).toMatch(/^(failed UNAVAILABLE .*\n?)+$/);
    await publish({ clusters: [http2('cart', [at(a)])] });
    await cart.answeredBy(['a'], `it is back: ${what}`);
  };
  await must('DELETE', `${shop}/clusters/cart?publish=true`);
  await gone('no cluster of this name');
  // What gRPC clients cannot reach is not there for them.
  await publish({ clusters: [{ ...http2('cart', [at(a)]), protocol: 'http1' }] });
  await gone('does not speak http2');
  await publish({ clusters: [http2('cart', [at(a)], { tls: {} })] });
  await gone('wants TLS');
});

it('call a cluster by a DNS name, with few calls first, and by names in other scripts', {
  timeout: LIMIT_MS,
}, async () => {
  const [dns, least, scripted] = [calls('xds:///dns'), calls('xds:///least'), calls('xds:///订单.v2')];
  await Promise.all([
    dns.answeredBy(['a'], 'localhost'),
    least.answeredBy(['a', 'b'], 'both'),
    scripted.answeredBy(['b'], 'its name is its own'),
  ]);
  expect([...dns.failures(), ...least.failures(), ...scripted.failures()]).toEqual([]);
});

it('fail when their deadline passes where a name leads nowhere, or their fleet is not there', {
  timeout: LIMIT_MS,
}, async () => {
  // gRPC gives a name that it was never told of time to come (15 s in most libraries, for ever in grpc-js 1.14).
  for (const name of NOTHING) {
    const { failures, count } = calls(`xds:///${name}`);
    await until(() => count() > 2, { within: 20_000, what: `calls of ${name}` });
    expect(failures()).toHaveLength(count());
    expect(failures()[0]).toMatch(/^failed DEADLINE_EXCEEDED .*waiting for name resolution/);
  }
  const { missing } = await must('GET', `${shop}/nodes/somewhere`);
  const why = 'no cluster of this name is in force';
  expect(missing).toEqual(NOTHING.map((name) => ({ name: `grpc/${name}`, why })));
  await until(() => astray.count() > 2, { within: 20_000, what: 'calls from a fleet that is not there' });
  expect(astray.failures()).toHaveLength(astray.count());
});

it('an Envoy of the fleet has seen nothing of all that', async () => {
  const dump = await envoy.admin('/config_dump?include_eds');
  expect(dump).toContain('shop.example.com');
  expect(dump).not.toContain('grpc/');
  expect(await nodeOf('envoy-1')).toMatchObject({ role: 'envoy', state: 'in-step', drift: 0, refused: [] });
  expect((await must('GET', `${shop}/quarantine`)).items).toEqual([]);
  // Only what it uses reached it.
  const { stats } = JSON.parse(await envoy.admin('/stats?filter=cds.update_success&format=json'));
  const updates = stats.find(({ name }: Json) => name === 'cluster_manager.cds.update_success');
  expect(updates.value).toBeLessThan(5);
});

it('go on while the controller is gone, killed, and follow when it is back', { timeout: LIMIT_MS }, async () => {
  const stock = calls('xds:///stock');
  await stock.answeredBy(['a'], 'it is there');
  controller.process.kill('SIGKILL');
  await controller.exited;
  const before = stock.count();
  await until(() => stock.count() > before + 100, { within: 20_000, what: 'calls without a controller' });
  await start();
  await must('PUT', `${shop}/clusters/stock/endpoints/b`, at(b));
  await stock.answeredBy(['a', 'b'], 'what registered after the controller came back');
  expect(stock.failures()).toEqual([]);
});
