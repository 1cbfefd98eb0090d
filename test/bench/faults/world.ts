import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import pg from 'pg';
import { bootstrap } from '../../../src/core/xds/bootstrap.js';
import { onCleanup } from '../../support/cleanup.js';
import { envoyPath, rootDir } from '../../support/envoy.js';
import { freePort } from '../../support/ports.js';
import { postgresPids, testPostgres } from '../../support/postgres.js';
import { tmpDir } from '../../support/tmp.js';
import { until } from '../../support/until.js';
import { Kept } from './kept.js';
import { type Link, startLink } from './link.js';
import { Windows } from './windows.js';

export const MOCKS = 24;
export const PLAINS = 40;
export const SIGNED = 20;
export const WORKSPACE = '/api/v1/workspaces/default';
const GROUPS = 8;
/** As in deploy/systemd. */
const RESTART_MS = { controller: 2000, edge: 1000, envoy: 1000 };
const READY_MS = 60_000;

export const hostOf = (n: number) => `g${n % GROUPS}.faults.example`;
export const mark = (api: number, n: number) => ({ kind: 'mock', body: `mock ${api} mark ${n}` });

/** An Envoy, its edge, and their two links to the controllers. */
export interface Node {
  readonly name: string;
  readonly port: number;
  readonly envoy: Kept;
  readonly edge: Kept;
  readonly envoyLink: Link;
  readonly edgeLink: Link;
  readonly edgeConfigPort: number;
  readonly envoyDown: Windows;
  readonly edgeDown: Windows;
}

export interface World {
  readonly controllers: readonly { readonly kept: Kept; readonly url: string }[];
  readonly nodes: readonly [Node, Node];
  readonly adminToken: string;
  readonly key: { readonly accessKey: string; readonly secret: string };
  /** Process ids of PostgreSQL, the first one's is that of the server itself. */
  postgres(): number[];
  databaseAnswers(): Promise<boolean>;
}

function definitions(ports: readonly number[], backends: readonly number[]): object {
  const to = (n: number) => ({ kind: 'cluster', cluster: `c${n % 2}` });
  return {
    // A fleet for each node: two Envoys of one fleet on one machine would share the port.
    fleets: ports.map((port, n) => ({
      name: `f${n}`,
      listeners: [{ name: 'http', address: '127.0.0.1', port }],
    })),
    clusters: backends.map((port, n) => ({
      name: `c${n}`,
      endpoints: [{ host: '127.0.0.1', port }],
      connectTimeoutMs: 5000,
    })),
    groups: Array.from({ length: GROUPS }, (_, n) => ({ name: `g${n}`, hosts: [hostOf(n)] })),
    apis: [
      ...Array.from({ length: MOCKS }, (_, n) => ({
        name: `mock-${n}`,
        group: `g${n % GROUPS}`,
        match: { path: `/mock/${n}` },
        upstream: mark(n, 0),
      })),
      ...Array.from({ length: PLAINS }, (_, n) => ({
        name: `plain-${n}`,
        group: `g${n % GROUPS}`,
        match: { path: `/plain/${n}` },
        upstream: to(n),
        retry: { attempts: 1 },
      })),
      ...Array.from({ length: SIGNED }, (_, n) => ({
        name: `signed-${n}`,
        group: `g${n % GROUPS}`,
        match: { path: `/signed/${n}` },
        auth: { type: 'signature' },
        upstream: to(n),
        retry: { attempts: 1 },
      })),
    ],
    apps: [{ name: 'caller', grants: { apis: Array.from({ length: SIGNED }, (_, n) => `signed-${n}`) } }],
  };
}

/** Starts everything: PostgreSQL, two controllers on it, two nodes; resolves when both nodes answer. */
export async function startWorld(): Promise<World> {
  const database = await testPostgres();
  const main = join(rootDir(), 'dist/main.js');
  const secrets = {
    PAIFANG_DATABASE_URL: await database.database(),
    PAIFANG_NODE_TOKEN: randomBytes(24).toString('base64url'),
    PAIFANG_MASTER_KEY: randomBytes(32).toString('hex'),
  };
  const controllers: { kept: Kept; url: string; ads: number }[] = [];
  for (const name of ['controller-a', 'controller-b']) {
    const [admin, ads] = [await freePort(), await freePort()];
    const kept = new Kept(
      name,
      process.execPath,
      [main, 'controller'],
      {
        env: {
          ...process.env,
          ...secrets,
          PAIFANG_DATA_DIR: tmpDir(),
          PAIFANG_ADMIN_PORT: String(admin),
          PAIFANG_ADS_PORT: String(ads),
        },
      },
      RESTART_MS.controller,
    );
    const url = `http://127.0.0.1:${admin}`;
    await answers(kept, `${url}/readyz`);
    controllers.push({ kept, url, ads });
  }
  const first = controllers[0] as { kept: Kept; url: string };
  const adminToken = /Admin token, shown this once: (\S+)/.exec(first.kept.output())?.[1];
  if (!adminToken) throw new Error(`the first controller told no admin token:\n${first.kept.output()}`);
  const post = async (path: string, body: object) => {
    const response = await fetch(first.url + path, {
      method: 'POST',
      headers: { authorization: `Bearer ${adminToken}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    if (!response.ok) throw new Error(`POST ${path}: ${response.status} ${await response.text()}`);
    return response.json() as Promise<Record<string, unknown>>;
  };
  const backends = await Promise.all([echo('b0'), echo('b1')]);
  const ports: [number, number] = [await freePort(), await freePort()];
  await post('/api/v1/workspaces', { name: 'default' }).catch(() => {});
  await post(`${WORKSPACE}/changesets`, { message: 'faults', definitions: definitions(ports, backends) });
  const made = await post(`${WORKSPACE}/apps/caller/credentials`, {});
  const targets = controllers.map(({ ads }) => ads);
  const nodes = [
    await startNode(0, ports[0], main, secrets, targets),
    await startNode(1, ports[1], main, secrets, targets),
  ];
  return {
    controllers,
    nodes: nodes as [Node, Node],
    adminToken,
    key: { accessKey: String(made.accessKey), secret: String(made.secretKey) },
    postgres: () => postgresPids(database.dir),
    databaseAnswers: () => databaseAnswers(secrets.PAIFANG_DATABASE_URL),
  };
}

async function startNode(
  n: number,
  port: number,
  main: string,
  secrets: Readonly<Record<string, string>>,
  targets: readonly number[],
): Promise<Node> {
  const name = `node-${n}`;
  const directory = tmpDir();
  const [configPort, toolPort, adminPort] = [await freePort(), await freePort(), await freePort()];
  const envoyLink = await startLink(`${name}'s Envoy`, targets);
  const edgeLink = await startLink(`${name}'s edge`, targets);
  mkdirSync(directory, { recursive: true });
  const edge = new Kept(
    `${name}'s edge`,
    process.execPath,
    [main, 'edge'],
    {
      env: {
        ...process.env,
        PAIFANG_NODE_TOKEN: secrets.PAIFANG_NODE_TOKEN,
        PAIFANG_NODE: name,
        PAIFANG_NODE_CLUSTER: `default/f${n}`,
        PAIFANG_CONTROLLER: `127.0.0.1:${edgeLink.port}`,
        PAIFANG_DATA_DIR: directory,
        PAIFANG_EDGE_DIR: directory,
        PAIFANG_EDGE_CONFIG_PORT: String(configPort),
        PAIFANG_EDGE_TOOL_PORT: String(toolPort),
        PAIFANG_ENVOY_ADMIN: `http://127.0.0.1:${adminPort}`,
      },
    },
    RESTART_MS.edge,
  );
  await answers(edge, `http://127.0.0.1:${configPort}/healthz`);
  writeFileSync(
    join(directory, 'bootstrap.json'),
    JSON.stringify(
      bootstrap({
        nodeId: name,
        nodeCluster: `default/f${n}`,
        adsAddress: '127.0.0.1',
        adsPort: envoyLink.port,
        edgeSocket: 'authz.sock',
        failoverSocket: 'failover.sock',
        adminAddress: '127.0.0.1',
        adminPort,
      }),
    ),
  );
  // One worker: then what it answers has an order, and an older answer after a newer one is a fault.
  const line = ['-c', 'bootstrap.json', '--concurrency', '1', '--disable-hot-restart', '-l', 'warning'];
  const envoy = new Kept(`${name}'s Envoy`, envoyPath(), line, { cwd: directory }, RESTART_MS.envoy);
  const host = hostOf(0);
  await answers(envoy, `http://127.0.0.1:${adminPort}/ready`);
  await until(
    async () => (await fetch(`http://127.0.0.1:${port}/mock/0`, { headers: { 'x-gateway-host': host } })).ok,
    { within: READY_MS, what: `${name} to answer` },
  );
  return {
    name,
    port,
    envoy,
    edge,
    envoyLink,
    edgeLink,
    edgeConfigPort: configPort,
    envoyDown: new Windows(),
    edgeDown: new Windows(),
  };
}

/**
 * A backend that says who it is and what it was asked; returns its port. It never closes an idle connection: a request that
 * meets such an end is lost by the backend's fault, and would blur the count.
 */
async function echo(name: string): Promise<number> {
  const server = createServer({ keepAliveTimeout: 0 }, (request, response) => {
    request.resume();
    response.writeHead(200, { 'content-type': 'text/plain' }).end(`${name} ${request.url}`);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onCleanup(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(() => resolve()));
  });
  return (server.address() as AddressInfo).port;
}

async function answers(kept: Kept, url: string): Promise<void> {
  await until(async () => kept.died.length > 0 || (await fetch(url)).ok, {
    within: READY_MS,
    what: `${url} to answer`,
  }).catch((error: Error) => {
    throw new Error(`${error.message}\n${kept.output()}`);
  });
  if (kept.died[0]) throw new Error(kept.died[0]);
}

async function databaseAnswers(connectionString: string): Promise<boolean> {
  const client = new pg.Client({ connectionString, connectionTimeoutMillis: 1000, query_timeout: 1000 });
  client.on('error', () => {});
  await client.connect();
  await client.query('select 1').finally(() => client.end());
  return true;
}
