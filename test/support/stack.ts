import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { bootstrap } from '../../src/core/xds/bootstrap.js';
import type { ControllerAccess } from '../../src/core/xds/controller-access.js';
import { type Child, startChild } from './child.js';
import { rootDir, startEnvoy } from './envoy.js';
import { type Answer, type Ask, httpClient } from './http-client.js';
import { freePort } from './ports.js';
import { testPostgres } from './postgres.js';
import { tmpDir } from './tmp.js';
import { until } from './until.js';

/** What the admin API answered. */
export interface AdminAnswer {
  readonly status: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: tests read what they expect to be there.
  readonly body: any;
}

/** The whole product on this machine, each process as in production: PostgreSQL, controller, edge, Envoy. */
export interface Stack {
  readonly adminUrl: string;
  readonly adminToken: string;
  readonly databaseUrl: string;
  readonly gatewayPort: number;
  readonly envoyAdminPort: number;
  readonly adsPort: number;
  readonly nodeDir: string;
  readonly pids: { controller: number; edge: number; envoy: number };
  admin(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<AdminAnswer>;
  /** A request through the gateway. */
  ask(path: string, ask?: Ask): Promise<Answer>;
  /** Line of a request in Envoy's access log, by request id. */
  // biome-ignore lint/suspicious/noExplicitAny: a parsed line.
  accessLine(requestId: string): Promise<any>;
  /** Line of a request in the digest log. */
  digestLine(requestId: string): Promise<string>;
  /** The request as the controller's query answers it. */
  // biome-ignore lint/suspicious/noExplicitAny: as admin.
  query(requestId: string): Promise<any>;
  stopEdge(): Promise<void>;
  startEdge(): Promise<void>;
  /** What the controller has written so far. */
  controllerOutput(): string;
}

export interface StackOptions {
  /** Published before Envoy starts. Without fleets, a fleet `default` with one listener is added. */
  readonly definitions: Record<string, unknown>;
  /** Settings of that fleet. */
  readonly fleet?: Record<string, unknown>;
  readonly concurrency?: number;
  /** false: no edge, for definitions that need none. */
  readonly edge?: boolean;
  /** true: PostgreSQL syncs to disk, as in production. */
  readonly durable?: boolean;
  /** Arguments of Node for the controller. */
  readonly controllerArgs?: readonly string[];
  /** How Envoy proves who it is to the controller. */
  readonly access?: ControllerAccess;
  /** More settings of controller and edge, as environment. */
  readonly env?: Record<string, string>;
}

const READY_MS = 60_000;
export const WORKSPACE = '/api/v1/workspaces/default';

/** Starts everything, in a beforeAll; ended with the test file. Rejects with the output of the process that did not come up. */
export async function startStack(options: StackOptions): Promise<Stack> {
  const main = join(rootDir(), 'dist/main.js');
  const dataDir = tmpDir();
  const nodeDir = join(dataDir, 'node');
  mkdirSync(nodeDir, { recursive: true });
  const [adminPort, adsPort, gatewayPort, configPort, toolPort, envoyAdminPort] = [
    await freePort(),
    await freePort(),
    await freePort(),
    await freePort(),
    await freePort(),
    await freePort(),
  ];
  const postgres = await testPostgres(options.durable ? {} : undefined);
  const databaseUrl = await postgres.database();
  const nodeToken = randomBytes(24).toString('base64url');
  const env = {
    ...process.env,
    PAIFANG_DATA_DIR: dataDir,
    PAIFANG_DATABASE_URL: databaseUrl,
    PAIFANG_ADMIN_PORT: String(adminPort),
    PAIFANG_ADS_PORT: String(adsPort),
    PAIFANG_NODE_TOKEN: nodeToken,
    PAIFANG_NODE: 'node-1',
    PAIFANG_NODE_CLUSTER: 'default/default',
    PAIFANG_CONTROLLER: `127.0.0.1:${adsPort}`,
    PAIFANG_EDGE_DIR: nodeDir,
    PAIFANG_EDGE_CONFIG_PORT: String(configPort),
    PAIFANG_EDGE_TOOL_PORT: String(toolPort),
    PAIFANG_ENVOY_ADMIN: `http://127.0.0.1:${envoyAdminPort}`,
    ...options.env,
  };
  const adminUrl = `http://127.0.0.1:${adminPort}`;
  const flags = ['--max-semi-space-size=8', ...(options.controllerArgs ?? [])]; // as `paifang up` and deploy/ start it
  const controllerEnv = { ...env, MALLOC_ARENA_MAX: '2' };
  const controller = startChild(process.execPath, [...flags, main, 'controller'], { env: controllerEnv });
  await answers(controller, `${adminUrl}/readyz`);
  const adminToken = /Admin token, shown this once: (\S+)/.exec(controller.output())?.[1];
  if (!adminToken) throw new Error(`the controller told no admin token:\n${controller.output()}`);

  const admin = async (
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<AdminAnswer> => {
    const response = await fetch(`${adminUrl}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${adminToken}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, headers: response.headers, body: text === '' ? undefined : JSON.parse(text) };
  };
  const must = async (method: string, path: string, body?: unknown) => {
    const answer = await admin(method, path, body);
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
  };
  const known = await admin('GET', WORKSPACE);
  if (known.status === 404) await must('POST', '/api/v1/workspaces', { name: 'default' });
  const fleet = {
    name: 'default',
    listeners: [{ name: 'http', address: '127.0.0.1', port: gatewayPort }],
    ...options.fleet,
  };
  await must('POST', `${WORKSPACE}/changesets`, {
    message: 'test',
    definitions: { fleets: [fleet], ...options.definitions },
  });

  let edge: Child | undefined;
  const startEdge = async () => {
    edge = startChild(process.execPath, [main, 'edge'], { env });
    const running = edge;
    await answers(running, `http://127.0.0.1:${configPort}/healthz`);
  };
  if (options.edge !== false) await startEdge();
  const envoy = await startEnvoy({
    bootstrapYaml: bootstrap({
      nodeId: 'node-1',
      nodeCluster: 'default/default',
      adsAddress: '127.0.0.1',
      adsPort,
      edgeSocket: 'authz.sock',
      adminAddress: '127.0.0.1',
      adminPort: envoyAdminPort,
      ...(options.access && { controllerAccess: options.access }),
    }),
    cwd: nodeDir,
    concurrency: options.concurrency ?? 1,
    // Envoy writes its log every ten seconds unless the buffer is full; a test need not wait so long.
    args: ['--file-flush-interval-msec', '50'],
  });
  const ask = httpClient(gatewayPort);
  await until(async () => (await envoy.admin('/listeners?format=json')).includes(String(gatewayPort)), {
    within: READY_MS,
    what: 'the listener',
  });
  await until(() => ask('/', { headers: { host: 'nobody.example' } }), {
    within: READY_MS,
    what: 'an answer of the gateway',
  });

  const fileLine = (file: string, requestId: string) =>
    until(
      () =>
        existsSync(join(nodeDir, file)) &&
        readFileSync(join(nodeDir, file), 'utf8')
          .split('\n')
          .find((line) => line.includes(requestId)),
      {
        within: 15_000,
        what: `a line of request ${requestId} in ${file}`,
      },
    );
  return {
    adminUrl,
    adminToken,
    databaseUrl,
    gatewayPort,
    envoyAdminPort,
    adsPort,
    nodeDir,
    pids: { controller: controller.pid, edge: edge?.pid ?? -1, envoy: envoy.pid },
    admin,
    ask,
    accessLine: async (requestId) => JSON.parse(await fileLine('access.log', requestId)),
    digestLine: (requestId) => fileLine('mosng-digest.log', requestId),
    query: (requestId) =>
      until(async () => (await admin('GET', `${WORKSPACE}/requests?requestId=${requestId}`)).body?.items?.[0], {
        within: 20_000,
        what: `request ${requestId} to be found`,
      }),
    stopEdge: async () => edge?.stop(),
    startEdge,
    controllerOutput: () => controller.output(),
  };
}

async function answers(child: Child, url: string): Promise<void> {
  let ended = false;
  void child.exited.then(() => {
    ended = true;
  });
  await until(async () => ended || (await fetch(url)).ok, { within: READY_MS, what: `${url} to answer` }).catch(
    (error: Error) => {
      throw new Error(`${error.message}\n${child.output()}`);
    },
  );
  if (ended) throw new Error(`the process ended:\n${child.output()}`);
}
