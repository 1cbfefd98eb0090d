import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import type { TableDelta } from '../../src/core/ads/resource.js';
import { compile } from '../../src/core/compile.js';
import { signRequest } from '../../src/core/decision/sign-request.js';
import { readDefinitions } from '../../src/core/model/document.js';
import { deriveId } from '../../src/core/model/name.js';
import { Secret } from '../../src/core/secret.js';
import { bootstrap } from '../../src/core/xds/bootstrap.js';
import { type Edge, startEdge } from '../../src/edge/edge.js';
import type { EdgeOptions } from '../../src/edge/options.js';
import type { Log } from '../../src/logger.js';
import { AdsClient, type AdsClientState } from '../../src/wire/ads-client.js';
import { AdsServer } from '../../src/wire/ads-server.js';
import { startBackend } from '../support/backend.js';
import { onCleanup } from '../support/cleanup.js';
import { type RunningEnvoy, startEnvoy } from '../support/envoy.js';
import { type Answer, type Ask, httpClient } from '../support/http-client.js';
import { freePort } from '../support/ports.js';
import { type StallingProxy, startStallingProxy } from '../support/stalling-proxy.js';
import { tmpDir } from '../support/tmp.js';
import { until } from '../support/until.js';

// Envoy and edge without a controller: what they had serves, and when it is back nothing stays behind and nothing is lost.

const FLEET = 'default/main';
const TOKEN = 'node-token-of-this-test';
const HOST = 'shop.example.com';
const KEY = { accessKey: 'shop-key', secret: 'shop-secret' };

let dir: string;
let backend: number;
let gatewayPort: number;
let ask: (path: string, ask?: Ask) => Promise<Answer>;
let controller: Controller;

/** The compiler and its ADS, which is all of a controller that nodes see. */
class Controller {
  #ads: AdsServer | undefined;
  #served: TableDelta['removals'] = [];

  private constructor(readonly port: number) {}

  static async create(): Promise<Controller> {
    return new Controller(await freePort());
  }

  async start(definitions: object): Promise<void> {
    this.#ads = await AdsServer.start({ host: '127.0.0.1', port: this.port, nodeToken: TOKEN });
    this.#served = [];
    this.publish(definitions);
    onCleanup(() => this.stop());
  }

  publish(definitions: object): void {
    const read = readDefinitions(JSON.stringify(definitions), 'json');
    const { accessKey, secret } = KEY;
    const credentials = [{ accessKey, secretKey: new Secret(secret), enabled: true }];
    const { compiler, diagnostics } = compile(read.definitions ?? {}, {
      credentials: [{ kind: 'app', name: 'shop-app', credentials }],
    });
    expect([...read.diagnostics, ...diagnostics].filter(({ severity }) => severity === 'error')).toEqual([]);
    const upserts = [...compiler.resources(FLEET)];
    const now = new Set(upserts.map(({ type, name }) => `${type}\n${name}`));
    const removals = this.#served.filter(({ type, name }) => !now.has(`${type}\n${name}`));
    this.#ads?.publish(FLEET, { upserts, removals });
    this.#served = upserts.map(({ type, name }) => ({ type, name }));
  }

  nodes(): string[] {
    return this.#ads?.streams().map(({ node }) => node) ?? [];
  }

  async stop(): Promise<void> {
    await this.#ads?.close();
    this.#ads = undefined;
  }
}

interface Wanted {
  readonly hosts?: readonly string[];
  readonly clusters?: readonly string[];
  readonly mocks?: Readonly<Record<string, string>>;
}

/** An open and a signed API on each host, by the first cluster; mocks by path. */
function definitions({ hosts = [HOST], clusters = ['backend'], mocks = {} }: Wanted = {}): object {
  const group = (n: number) => `group-${n}`;
  return {
    fleets: [{ name: 'main', listeners: [{ name: 'http', address: '127.0.0.1', port: gatewayPort }] }],
    clusters: clusters.map((name) => ({ name, endpoints: [{ host: '127.0.0.1', port: backend }] })),
    groups: hosts.map((host, n) => ({ name: group(n), hosts: [host] })),
    apis: hosts.flatMap((_, n) => [
      ...[...clusters].map((cluster, c) => ({
        name: `open-${n}-${c}`,
        group: group(n),
        match: { path: c === 0 ? '/open' : `/open-${cluster}` },
        upstream: { kind: 'cluster', cluster },
      })),
      {
        name: `signed-${n}`,
        group: group(n),
        match: { path: '/signed' },
        auth: { type: 'signature' },
        upstream: { kind: 'cluster', cluster: clusters[0] },
      },
      ...Object.entries(mocks).map(([path, body], m) => ({
        name: `mock-${n}-${m}`,
        group: group(n),
        match: { path },
        upstream: { kind: 'mock', body },
      })),
    ]),
    apps: [{ name: 'shop-app', grants: { groups: [group(0)] } }],
  };
}

interface StartedEdge {
  readonly edge: Edge;
  readonly said: string[];
  healthz(): Promise<{ status: number; body: { status: string; config: { source: string; ageSeconds?: number } } }>;
}

async function edgeProcess(more: Partial<EdgeOptions> = {}): Promise<StartedEdge> {
  const said: string[] = [];
  const say = (message: string, fields?: Record<string, unknown>) =>
    void said.push(`${message} ${JSON.stringify(fields)}`);
  const log: Log = { error: say, warn: say, info: say, debug: say, setLevel() {}, level: () => 'debug' };
  const edge = await startEdge({
    node: 'node-1',
    cluster: FLEET,
    controller: `127.0.0.1:${controller.port}`,
    directory: dir,
    dataDir: dir,
    nodeToken: TOKEN,
    envoyAdmin: 'http://127.0.0.1:1',
    configPort: 0,
    toolPort: 0,
    policyWait: 500,
    rotateBytes: 1 << 20,
    keepFiles: 2,
    warmUpChecks: 50,
    lastGood: true,
    log,
    ...more,
  });
  onCleanup(() => edge.close());
  const healthz = async () => {
    const response = await fetch(`http://127.0.0.1:${edge.ports.config}/healthz`);
    return { status: response.status, body: (await response.json()) as never };
  };
  return { edge, said, healthz };
}

async function envoyProcess(adsPort = controller.port): Promise<RunningEnvoy> {
  return startEnvoy({
    cwd: dir,
    bootstrapYaml: bootstrap({
      nodeId: 'node-1',
      nodeCluster: FLEET,
      adsAddress: '127.0.0.1',
      adsPort,
      edgeSocket: 'authz.sock',
      failoverSocket: 'failover.sock',
      adminAddress: '127.0.0.1',
      adminPort: 0,
    }),
  });
}

const get = (path: string, host = HOST) => ask(path, { headers: { host } });

function signed(path: string): Promise<Answer> {
  const headers: [string, string][] = [['host', HOST]];
  const { headers: more } = signRequest({ method: 'GET', target: path, headers, ...KEY, nowMs: Date.now() });
  return ask(path, { headers: { host: HOST, ...Object.fromEntries(more) } });
}

async function expectServing(within = 15_000): Promise<void> {
  await until(async () => (await get('/open')).status === 200, { within, what: 'an answer of the backend' });
  expect((await signed('/signed')).status).toBe(200);
  expect((await get('/signed')).headers['x-gateway-result-code']).toBe('2100');
  expect((await get('/open', 'nobody.example.com')).headers['x-gateway-result-code']).toBe('3001');
}

/** Names of the clusters and scopes an Envoy was told of. */
async function dynamicNames(envoy: RunningEnvoy): Promise<string[]> {
  const clusters = await envoy.admin('/config_dump?resource=dynamic_active_clusters&mask=cluster.name');
  const scopes = await envoy.admin('/config_dump?resource=dynamic_scoped_route_configs');
  return [...`${clusters}${scopes}`.matchAll(/"name": "([^"]+)"/g)].map(([, name]) => name as string);
}

/** Asks an open path again and again; every answer but 200 is a failure. */
function asking(path = '/open') {
  const failures: string[] = [];
  let count = 0;
  let running = true;
  const loop = async () => {
    while (running) {
      const answer = await get(path).catch((error: Error) => error.message);
      count++;
      if (typeof answer === 'string' || answer.status !== 200)
        failures.push(typeof answer === 'string' ? answer : `${answer.status} ${answer.body}`);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  };
  const ended = loop();
  onCleanup(() => {
    running = false;
  });
  return {
    failures,
    count: () => count,
    async stop() {
      running = false;
      await ended;
    },
  };
}

beforeEach(async () => {
  dir = tmpDir();
  backend = (await startBackend('backend')).port;
  gatewayPort = await freePort();
  ask = httpClient(gatewayPort);
  controller = await Controller.create();
});

describe('a start without controller', { timeout: 90_000 }, () => {
  it('of Envoy beside a running edge: it serves from there, and goes to the controller when that is back', async () => {
    const before = { hosts: [HOST, 'gone.example.com'], clusters: ['backend', 'second'], mocks: { '/age': 'old' } };
    await controller.start(definitions(before));
    const { edge, healthz } = await edgeProcess();
    await edge.ready;
    await until(() => (edge.stats().lastGood?.bytes ?? 0) > 0, { what: 'the file' });
    await controller.stop();

    const envoy = await envoyProcess();
    await expectServing();
    expect((await get('/open', 'gone.example.com')).status).toBe(200);
    expect(edge.stats().lastGood).toMatchObject({ failoverStreams: 1 });
    expect(await healthz()).toMatchObject({ status: 200, body: { config: { source: 'controller' } } });

    // While it was away a host and a cluster went, others came, and the host under load moved to another group and to a new
    // cluster: nothing of the old may stay, and no request may meet a gap.
    const after = { hosts: ['new.example.com', HOST], clusters: ['third', 'backend'] };
    const requests = asking();
    await controller.start(definitions({ ...after, mocks: { '/age': 'new' } }));
    await until(() => controller.nodes().includes('node-1'), { within: 20_000, what: 'Envoy at the controller' });
    expect(edge.stats().lastGood).toMatchObject({ failoverStreams: 0 });
    await until(async () => (await get('/age')).body === 'new', { what: 'the new release' });
    expect((await get('/open', 'gone.example.com')).headers['x-gateway-result-code']).toBe('3001');
    const names = await dynamicNames(envoy);
    expect(names).not.toContain(deriveId('default', 'cluster', 'second'));
    expect(names).not.toContain('gone.example.com');
    expect(names).toEqual(expect.arrayContaining([deriveId('default', 'cluster', 'third'), HOST]));

    controller.publish(definitions({ ...after, mocks: { '/age': 'newer' } }));
    await until(async () => (await get('/age')).body === 'newer', { what: 'a release after that' });
    await requests.stop();
    expect(requests.failures).toEqual([]);
    expect(requests.count()).toBeGreaterThan(20);
  });

  it('of edge and Envoy: both serve from disk, and say so', async () => {
    await controller.start(definitions({ mocks: { '/age': 'old' } }));
    const first = await edgeProcess();
    await first.edge.ready;
    await until(() => (first.edge.stats().lastGood?.bytes ?? 0) > 0, { what: 'the file' });
    controller.publish(definitions({ mocks: { '/age': 'newest' } }));
    await until(() => first.edge.stats().resources.Policy === 1, { what: 'the policy' });
    const size = first.edge.stats().lastGood?.bytes;
    await until(() => (first.edge.stats().lastGood?.bytes ?? 0) > (size ?? 0), { what: 'the change on disk' });
    await first.edge.close();
    await controller.stop();

    const { edge, healthz, said } = await edgeProcess();
    await edge.ready;
    const { body } = await healthz();
    expect(body).toMatchObject({ status: 'UP', config: { source: 'disk' } });
    expect(body.config.ageSeconds).toBeLessThan(60);
    expect(said.join('\n')).toContain('read the last good configuration');
    await envoyProcess();
    await expectServing();
    expect((await get('/age')).body).toBe('newest');

    await controller.start(definitions({ mocks: { '/age': 'newer still' } }));
    await until(async () => (await get('/age')).body === 'newer still', {
      within: 20_000,
      what: 'the controller again',
    });
    expect(await healthz()).toMatchObject({ body: { config: { source: 'controller', ageSeconds: 0 } } });
  });

  it('with a damaged file: says so and waits for the controller', async () => {
    await controller.start(definitions());
    const first = await edgeProcess();
    await first.edge.ready;
    await until(() => (first.edge.stats().lastGood?.bytes ?? 0) > 0, { what: 'the file' });
    await first.edge.close();
    await controller.stop();
    const file = join(dir, 'last-good', 'config.journal');
    const bytes = readFileSync(file);
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] as number) ^ 1;
    writeFileSync(file, bytes);

    const { edge, said, healthz } = await edgeProcess();
    expect(said.join('\n')).toMatch(/last good configuration is not used.*damaged at byte/);
    expect(existsSync(`${file}.refused`)).toBe(true);
    expect(await healthz()).toMatchObject({ status: 503, body: { config: { source: 'none' } } });
    await controller.start(definitions());
    await edge.ready;
    await envoyProcess();
    await expectServing();
  });
});

describe('the edge as a server of last good configuration', { timeout: 90_000 }, () => {
  /** What becomes of a subscription at the failover socket. */
  async function knock(): Promise<AdsClientState> {
    let last: AdsClientState | undefined;
    const client = AdsClient.start({
      address: `unix:${join(dir, 'failover.sock')}`,
      node: { id: 'somebody', cluster: FLEET },
      subscriptions: [{ type: 'type.googleapis.com/envoy.config.cluster.v3.Cluster', wildcard: true }],
      onUpdate() {},
      onState(state) {
        if (state.kind !== 'connected') last ??= state;
      },
    });
    onCleanup(() => client.close());
    return until(() => last, { what: 'an answer' });
  }

  it('lets nobody in while the controller answers', async () => {
    await controller.start(definitions());
    const { edge } = await edgeProcess();
    await edge.ready;
    expect(await knock()).toMatchObject({
      kind: 'disconnected',
      reason: expect.stringContaining('controller answers'),
    });
  });

  it('serves when the controller hangs without a word, and stops when it goes on', async () => {
    await controller.start(definitions());
    const proxy: StallingProxy = await startStallingProxy(controller.port);
    const { edge } = await edgeProcess({ controller: `127.0.0.1:${proxy.port}` });
    await edge.ready;
    await until(() => (edge.stats().lastGood?.bytes ?? 0) > 0, { what: 'the file' });
    proxy.stall();
    await envoyProcess(proxy.port);
    // Two connections, each given up when its first ping has not been answered.
    await expectServing(14_000);
    expect(edge.stats().lastGood).toMatchObject({ failoverStreams: 1 });
    const requests = asking();
    proxy.resume();
    await until(() => controller.nodes().includes('node-1'), { within: 20_000, what: 'Envoy at the controller' });
    await until(() => edge.stats().lastGood?.failoverStreams === 0, { what: 'the edge alone' });
    await expectServing();
    await requests.stop();
    expect(requests.failures).toEqual([]);
  });
});
