import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { resource, TYPE, type TypeUrl } from '../../src/core/ads/resource.js';
import { signRequest } from '../../src/core/decision/sign-request.js';
import { type Edge, startEdge } from '../../src/edge/edge.js';
import type { EdgeOptions } from '../../src/edge/options.js';
import { createLogger } from '../../src/logger.js';
import { AdsServer } from '../../src/wire/ads-server.js';
import { addLogService } from '../../src/wire/log-service.js';
import { onCleanup } from '../support/cleanup.js';
import {
  AK,
  appBytes,
  echoBackend,
  envoyWithEdge,
  IDS,
  keepAliveClient,
  policyBytes,
  SK,
} from '../support/edge-envoy.js';
import { type RunningEnvoy, startEnvoy } from '../support/envoy.js';
import { freePort } from '../support/ports.js';
import { tmpDir } from '../support/tmp.js';
import { until } from '../support/until.js';

const FLEET = 'default/main';
const TOKEN = 'node-token-of-this-test';
const LINE = `${JSON.stringify({ __time__: '1795344823000', authority: 'a', method: 'GET', path: '/', response_code: 200, response_code_details: 'via_upstream', request_id: 'r-1' })}\n`;

let dir: string;
let port: number;
let envoy: RunningEnvoy;
let ads: AdsServer;
let adsPort = 0;
let edge: Edge;
let collected = '';

async function controller(): Promise<AdsServer> {
  const server = await AdsServer.start({
    host: '127.0.0.1',
    port: adsPort,
    nodeToken: TOKEN,
    services: (grpc) =>
      addLogService(grpc, {
        nodeToken: TOKEN,
        collect: async ({ offset, lines }) => {
          collected += Buffer.from(lines).toString();
          return { storedTo: offset + BigInt(lines.length), unparsed: 0 };
        },
      }),
  });
  adsPort = server.port;
  return server;
}

function publish(resources: [TypeUrl, string, Uint8Array][], removals: [TypeUrl, string][] = []): void {
  ads.publish(FLEET, {
    upserts: resources.map(([type, name, bytes]) => resource(type, name, bytes)),
    removals: removals.map(([type, name]) => ({ type, name })),
  });
}

const all = (): [TypeUrl, string, Uint8Array][] => [
  [TYPE.policy, IDS.policy, policyBytes(IDS.policy)],
  [TYPE.app, IDS.app, appBytes()],
];

function options(more: Partial<EdgeOptions> = {}): EdgeOptions {
  const log = createLogger({ level: 'error', format: 'text' }, 'edge');
  return {
    node: 'node-1',
    cluster: FLEET,
    controller: `127.0.0.1:${adsPort}`,
    directory: dir,
    dataDir: dir,
    nodeToken: TOKEN,
    envoyAdmin: `http://127.0.0.1:${envoy.adminPort}`,
    configPort: 0,
    toolPort: 0,
    policyWait: 200,
    rotateBytes: 1 << 20,
    keepFiles: 2,
    warmUpChecks: 200,
    log,
    ...more,
  };
}

beforeAll(async () => {
  dir = tmpDir();
  ads = await controller();
  onCleanup(() => ads.close());
  port = await freePort();
  envoy = await startEnvoy({
    cwd: dir,
    bootstrapYaml: envoyWithEdge({ listener: port, socket: 'authz.sock', backend: await echoBackend() }),
  });
  await until(async () => (await keepAliveClient(port)('GET', '/plain')).status === 200, { what: 'the listener' });
  edge = await startEdge(options());
  onCleanup(() => edge.close());
});

async function code(): Promise<string> {
  const { headers } = signRequest({
    method: 'GET',
    target: '/x',
    headers: [],
    accessKey: AK,
    secret: SK,
    nowMs: Date.now(),
  });
  const reply = await keepAliveClient(port)('GET', '/x', headers);
  return String(reply.headers['x-gateway-result-code'] ?? reply.status);
}

interface Answer {
  status: number;
  body: unknown;
}
function ask(target: number, path: string, method = 'GET', headers: Record<string, string> = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    request({ host: '127.0.0.1', port: target, path, method, headers, agent: false }, (response) => {
      let text = '';
      response.on('data', (chunk) => (text += chunk));
      response.on('end', () => {
        const json = response.headers['content-type']?.includes('json');
        resolve({ status: response.statusCode ?? 0, body: json ? JSON.parse(text) : text });
      });
    })
      .on('error', reject)
      .end();
  });
}

describe('an edge', () => {
  it('is not reachable before the controller has delivered everything', async () => {
    expect(await ask(edge.ports.config, '/healthz')).toMatchObject({ status: 503, body: { status: 'STARTING' } });
    expect(existsSync(edge.socket)).toBe(false);
    expect(await code()).toBe('502');
    publish(all());
    await edge.ready;
    expect(await ask(edge.ports.config, '/healthz')).toMatchObject({ status: 200, body: { status: 'UP' } });
    expect(await until(async () => (await code()) === '200', { what: 'a request that passes' })).toBe(true);
  });

  it('follows changes of Apps and policies, and gives 5001 for a policy that is gone', async () => {
    publish([[TYPE.app, IDS.app, appBytes({ enabled: false })]]);
    await until(async () => (await code()) === '2113', { what: 'the disabled App' });
    publish(all());
    await until(async () => (await code()) === '200', { what: 'the enabled App' });
    const { headers } = signRequest({
      method: 'GET',
      target: '/unknown/x',
      headers: [],
      accessKey: AK,
      secret: SK,
      nowMs: Date.now(),
    });
    expect((await keepAliveClient(port)('GET', '/unknown/x', headers)).headers['x-gateway-result-code']).toBe('5001');
    publish([[TYPE.policy, 'policy-nobody-has', policyBytes('policy-nobody-has')]]);
    await until(async () => (await keepAliveClient(port)('GET', '/unknown/x', headers)).status === 200, {
      what: 'the policy',
    });
  });

  it('refuses a resource it cannot read as a whole, and keeps what it had', async () => {
    const before = edge.stats().resources;
    publish([[TYPE.app, 'broken', Buffer.from([0x0a, 0x7f])]]);
    publish([[TYPE.policy, 'sentinel', policyBytes('sentinel')]]);
    await until(() => edge.stats().resources.Policy === (before.Policy ?? 0) + 1, { what: 'the next update' });
    expect(edge.stats().resources.App).toBe(before.App);
    expect(await code()).toBe('200');
    publish(
      [],
      [
        [TYPE.app, 'broken'],
        [TYPE.policy, 'sentinel'],
      ],
    );
  });

  it('shows what it holds, without secrets', async () => {
    const { status, body } = await ask(edge.ports.config, '/mosng/config');
    expect(status).toBe(200);
    expect(body).toMatchObject({
      node: 'node-1',
      cluster: FLEET,
      synced: true,
      config: { apps: [{ name: IDS.app, appName: 'shop', credentials: [{ accessKey: AK, secret: '[redacted]' }] }] },
    });
    expect(JSON.stringify(body)).not.toContain(SK);
    expect(JSON.stringify(body)).not.toContain(TOKEN);
    const query = (type: string, name: string) =>
      ask(edge.ports.tool, `/mosng/config/query?type=${type}&name=${encodeURIComponent(name)}`);
    expect(await query('Metadata', IDS.app)).toMatchObject({ status: 200, body: { appName: 'shop' } });
    expect(await query('Policy', IDS.policy)).toMatchObject({
      status: 200,
      body: { signature: { clockSkewSeconds: 900 } },
    });
    expect(await query('App', 'nobody')).toMatchObject({ status: 404 });
    // Envoy was asked and has no dynamic routes here.
    expect(await query('Router', 'group0|api0')).toMatchObject({ status: 404 });
    expect(await query('toString', 'x')).toMatchObject({ status: 400 });
    expect(await query('Router', '')).toMatchObject({ status: 400 });
  });

  it('counts', async () => {
    await code();
    const { body } = await ask(edge.ports.config, '/metrics');
    expect(body).toMatch(/^paifang_edge_checks_total\{code="1000"\} [1-9]/m);
    expect(body).toMatch(/^paifang_edge_checks_total\{code="2113"\} [1-9]/m);
    expect(body).toMatch(/^paifang_edge_resources\{type="app"\} 1$/m);
    expect(body).toMatch(/^paifang_edge_check_seconds_bucket\{le="\+Inf"\} [1-9]/m);
    expect(edge.stats().checks['1000']).toBeGreaterThan(0);
  });

  it('changes its log level for operators on this machine, not for web pages', async () => {
    const tool = edge.ports.tool;
    expect(await ask(tool, '/tool/setLogLevel?level=DEBUG', 'POST')).toMatchObject({
      status: 200,
      body: { level: 'debug', before: 'error' },
    });
    expect(await ask(tool, '/tool/setLogLevel?level=error')).toMatchObject({ status: 200, body: { level: 'error' } });
    expect(await ask(tool, '/tool/setLogLevel?level=loud', 'POST')).toMatchObject({ status: 400 });
    expect(await ask(tool, '/tool/setLogLevel', 'DELETE')).toMatchObject({ status: 405 });
    expect(await ask(tool, '/tool/setLogLevel?level=debug', 'GET', { host: 'evil.example.com' })).toMatchObject({
      status: 403,
    });
    expect(await ask(tool, '/tool/setLogLevel?level=debug', 'GET', { 'sec-fetch-site': 'cross-site' })).toMatchObject({
      status: 403,
    });
    expect(await ask(tool, '/nothing')).toMatchObject({ status: 404 });
    expect(await ask(tool, '//[')).toMatchObject({ status: 404 });
  });

  it('ships the access log to the controller and writes the digest', async () => {
    appendFileSync(join(dir, 'access.log'), LINE);
    await until(() => collected.includes('"r-1"'), { what: 'the line at the collector' });
    await until(() => readFileSync(join(dir, 'mosng-digest.log'), 'utf8').length > 0, { what: 'the digest line' });
    await until(() => edge.stats().log?.behindBytes === 0, { what: 'nothing left to ship' });
  });

  it('says which setting to change when a port is taken or there is no token', async () => {
    await expect(startEdge(options({ configPort: edge.ports.config }))).rejects.toThrow(
      /in use.*PAIFANG_EDGE_CONFIG_PORT/,
    );
    await expect(startEdge(options({ nodeToken: undefined }))).rejects.toThrow('PAIFANG_NODE_TOKEN');
    expect(await code()).toBe('200');
  });

  it('goes on without controller, and takes up changes when one is back', async () => {
    await ads.close();
    await until(() => edge.stats().ads.kind === 'disconnected', { what: 'the edge to notice' });
    expect(await code()).toBe('200');
    ads = await controller();
    publish([...all().slice(0, 1), [TYPE.app, IDS.app, appBytes({ grantedApiIds: [] })]]);
    await until(async () => (await code()) === '2300', { what: 'the change' });
  });

  it('reads its token from a file, starts again where it was, and leaves nothing behind when it is closed', async () => {
    await edge.close();
    expect(existsSync(edge.socket)).toBe(false);
    await expect(ask(edge.ports.config, '/healthz')).rejects.toThrow('ECONNREFUSED');
    expect(await code()).toBe('502');
    writeFileSync(join(dir, 'node.token'), `${TOKEN}\n`, { mode: 0o600 });
    const digest = readFileSync(join(dir, 'mosng-digest.log'), 'utf8');
    edge = await startEdge(options({ nodeToken: undefined }));
    await edge.ready;
    expect(await until(async () => (await code()) === '2300', { what: 'the new edge' })).toBe(true);
    expect(readFileSync(join(dir, 'mosng-digest.log'), 'utf8')).toBe(digest);
  });

  it('serves what it has after the grace, if told to, when the controller does not deliver', async () => {
    const other = tmpDir();
    const impatient = await startEdge(options({ cluster: 'default/nowhere', directory: other, syncGraceMs: 1 }));
    await impatient.ready;
    expect(impatient.stats()).toMatchObject({ ready: true, synced: false });
    await impatient.close();
  });

  it('can be closed while it still waits', async () => {
    const waiting = await startEdge(options({ cluster: 'default/nowhere', directory: tmpDir() }));
    await waiting.close();
    expect(existsSync(waiting.socket)).toBe(false);
  });
});
