import { execFile } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { AdminClient } from './admin-client.js';
import { startBackend } from './backend.js';
import { type Child, endOrphans, lastWords, StartError, startChild, takeLock } from './child.js';
import { ensureDemo } from './demo.js';
import { drainEnvoy, envoyBinary, listens, startEnvoy } from './envoy.js';
import { OutputFiles } from './output-files.js';
import { freePort, portsInUse } from './ports.js';
import { startPostgres } from './postgres.js';
import { summary } from './summary.js';
import { keepRunning } from './supervise.js';

export interface UpOptions {
  readonly dataDir: string;
  readonly admin: { readonly host: string; readonly port: number };
  readonly ads: { readonly host: string; readonly port: number };
  readonly databaseUrl: string | undefined;
  readonly databasePort: number;
  readonly gateway: { readonly host: string; readonly port: number };
  readonly envoy: string | undefined;
  readonly envoyAdminPort: number;
  readonly concurrency: number;
  readonly edgePorts: { readonly config: number; readonly tool: number };
  readonly demo: boolean;
  readonly demoPort: number;
  /** Bootstrap of an Envoy for these values (core/xds/bootstrap, handed in because this room knows no domain). */
  readonly bootstrap: (options: {
    nodeId: string;
    nodeCluster: string;
    adsAddress: string;
    adsPort: number;
    edgeSocket: string;
    failoverSocket: string;
    adminAddress: string;
    adminPort: number;
  }) => object;
  /** Says what happens, one line at a time. */
  readonly say: (line: string) => void;
}

export interface Up {
  stop(): Promise<void>;
}

const CLUSTER = 'default/default';
const NODE = 'up-1';
const main = fileURLToPath(new URL('../main.js', import.meta.url));
/** V8 lets a busy controller's young generation grow to 128 MiB, which buys it next to nothing; deploy/ sets the same. */
const CONTROLLER_FLAGS = ['--max-semi-space-size=8'];
/** glibc keeps a heap for each of several threads, and gives little of them back. */
const CONTROLLER_ENV = { MALLOC_ARENA_MAX: '2' };

/** A start that cannot go on for a reason the person can mend. */
export class UpError extends Error {}

/**
 * Runs everything on one machine: PostgreSQL (unless a URL is given), controller, edge, Envoy and the demo. Resolves when a
 * request would be answered. Whatever was started is stopped again when a later step fails.
 *
 * @throws UpError naming every port in use, another running instance, or the step that failed and where its log is.
 */
export async function up(options: UpOptions): Promise<Up> {
  const dataDir = resolve(options.dataDir);
  const runDir = join(dataDir, 'run');
  const nodeDir = join(dataDir, 'node');
  const logDir = join(dataDir, 'log');
  for (const directory of [dataDir, runDir, nodeDir, logDir]) mkdirSync(directory, { recursive: true });
  const stops: (() => Promise<void>)[] = [];
  const outputs = new OutputFiles({ say: options.say });
  stops.push(() => outputs.close());
  const controllerLog = outputs.add(join(logDir, 'controller.log'));
  const edgeLog = outputs.add(join(logDir, 'edge.log'));
  const envoyLog = outputs.add(join(nodeDir, 'envoy.log'));
  const stop = async () => {
    for (const one of stops.splice(0).reverse()) await one();
  };
  try {
    const other = takeLock(join(dataDir, 'up.lock'));
    if (other)
      throw new UpError(
        `Paifang already runs with ${dataDir} (process ${other}). Stop it, or set PAIFANG_DATA_DIR to another directory.`,
      );
    const orphans = await endOrphans(runDir);
    if (orphans.length > 0) options.say(`  ended what an earlier run left behind: ${orphans.join(', ')}`);
    const taken = await portsInUse([
      { ...options.gateway, what: 'the gateway', option: 'PAIFANG_GATEWAY_PORT' },
      { ...options.admin, what: 'the admin API', option: 'PAIFANG_ADMIN_PORT' },
      { ...options.ads, what: 'xDS', option: 'PAIFANG_ADS_PORT' },
      { host: '127.0.0.1', port: options.envoyAdminPort, what: "Envoy's admin", option: 'PAIFANG_ENVOY_ADMIN_PORT' },
      {
        host: '127.0.0.1',
        port: options.edgePorts.config,
        what: "the edge's /mosng/config",
        option: 'PAIFANG_EDGE_CONFIG_PORT',
      },
      { host: '127.0.0.1', port: options.edgePorts.tool, what: "the edge's tools", option: 'PAIFANG_EDGE_TOOL_PORT' },
      ...(options.demo
        ? [{ host: '127.0.0.1', port: options.demoPort, what: 'the demo backend', option: 'PAIFANG_DEMO_PORT' }]
        : []),
    ]);
    if (taken.length > 0) throw new UpError(taken.join('\n'));

    let databaseUrl = options.databaseUrl;
    if (!databaseUrl) {
      options.say('  database …');
      const postgres = await startPostgres({
        dir: join(dataDir, 'postgres'),
        log: (line) => options.say(`  ${line}`),
        ...(options.databasePort > 0 ? { port: options.databasePort } : {}),
      });
      stops.push(() => postgres.stop());
      outputs.add(join(postgres.dir, 'postgres.log'));
      databaseUrl = postgres.url;
    }

    options.say('  controller …');
    const env = {
      ...process.env,
      PAIFANG_DATA_DIR: dataDir,
      PAIFANG_DATABASE_URL: databaseUrl,
      PAIFANG_ADMIN_HOST: options.admin.host,
      PAIFANG_ADMIN_PORT: String(options.admin.port),
      PAIFANG_ADS_HOST: options.ads.host,
      PAIFANG_ADS_PORT: String(options.ads.port),
    };
    const controller = keepRunning('controller', options.say, () =>
      startChild({
        name: 'controller',
        command: process.execPath,
        args: [...CONTROLLER_FLAGS, main, 'controller'],
        cwd: dataDir,
        env: { ...env, ...CONTROLLER_ENV },
        runDir,
        logFile: controllerLog,
        ours: true,
      }),
    );
    stops.push(() => controller.stop());
    const { adminUrl, adsPort, adminToken } = (await controller.ready) as unknown as {
      adminUrl: string;
      adsPort: number;
      adminToken?: string;
    };
    const token = await keepToken(dataDir, adminToken, env);
    const admin = new AdminClient(adminUrl, token);
    await admin.accepted();

    if (options.demo) {
      const backend = await startBackend(options.demoPort);
      stops.push(() => backend.close());
    }
    const gatewayPort = options.gateway.port || (await freePort());
    const demo = await ensureDemo(admin, {
      dataDir,
      backendPort: options.demoPort,
      host: options.gateway.host,
      port: gatewayPort,
      demo: options.demo,
    });

    options.say('  edge …');
    const envoyAdminPort = options.envoyAdminPort || (await freePort());
    const edge = keepRunning('edge', options.say, () =>
      startChild({
        name: 'edge',
        command: process.execPath,
        args: [main, 'edge'],
        cwd: dataDir,
        env: {
          ...env,
          PAIFANG_NODE: NODE,
          PAIFANG_NODE_CLUSTER: CLUSTER,
          PAIFANG_CONTROLLER: `${options.ads.host}:${adsPort}`,
          PAIFANG_EDGE_DIR: nodeDir,
          PAIFANG_ENVOY_ADMIN: `http://127.0.0.1:${envoyAdminPort}`,
          PAIFANG_EDGE_CONFIG_PORT: String(options.edgePorts.config),
          PAIFANG_EDGE_TOOL_PORT: String(options.edgePorts.tool),
        },
        runDir,
        logFile: edgeLog,
        ours: true,
      }),
    );
    stops.push(() => edge.stop());
    await edge.ready;

    options.say('  Envoy …');
    const envoy = keepRunning('Envoy', options.say, () =>
      startEnvoy({
        binary: envoyBinary(options.envoy),
        directory: nodeDir,
        runDir,
        logFile: envoyLog,
        bootstrap: options.bootstrap({
          nodeId: NODE,
          nodeCluster: CLUSTER,
          adsAddress: options.ads.host,
          adsPort,
          edgeSocket: 'authz.sock',
          failoverSocket: 'failover.sock',
          adminAddress: '127.0.0.1',
          adminPort: envoyAdminPort,
        }),
        adminPort: envoyAdminPort,
        concurrency: options.concurrency,
      }),
    );
    stops.push(async () => {
      await drainEnvoy(envoyAdminPort);
      await envoy.stop();
    });
    await listening(envoy.current, envoyAdminPort, gatewayPort, envoyLog);

    options.say(
      summary({
        gateway: `http://${options.gateway.host === '0.0.0.0' ? '127.0.0.1' : options.gateway.host}:${gatewayPort}`,
        adminUrl,
        ads: `${options.ads.host}:${adsPort}`,
        envoyAdmin: `http://127.0.0.1:${envoyAdminPort}`,
        edge: `http://127.0.0.1:${options.edgePorts.config}/mosng/config`,
        dataDir,
        newToken: adminToken,
        tokenFile: join(dataDir, 'admin.token'),
        demo,
      }),
    );
    return { stop };
  } catch (error) {
    await stop();
    throw error instanceof StartError ? new UpError(error.message) : error;
  }
}

/** Resolves when Envoy has the listener; fails when Envoy ends or does not have it in time. */
async function listening(envoy: () => Child, adminPort: number, port: number, logFile: string): Promise<void> {
  let ended: string | undefined;
  void envoy().ended.then((how) => {
    ended = how;
  });
  for (let waited = 0; !(await listens(adminPort, port)); waited += 50) {
    if (ended) throw new UpError(`${ended}. ${lastWords(logFile)}`);
    if (waited > 60_000) throw new UpError(`Envoy has no listener on port ${port} after a minute; see ${logFile}`);
    await new Promise((done) => setTimeout(done, 50));
  }
}

/**
 * The admin token: kept for the command line at first start and read again later. If the file is lost, or the first start was
 * cut off before it was written, another token is made.
 */
async function keepToken(dataDir: string, fresh: string | undefined, env: NodeJS.ProcessEnv): Promise<string> {
  const file = join(dataDir, 'admin.token');
  if (!fresh && existsSync(file)) return readFileSync(file, 'utf8').trim();
  const token = fresh ?? (await promisify(execFile)(process.execPath, [main, 'token', 'up'], { env })).stdout.trim();
  writeFileSync(file, `${token}\n`, { mode: 0o600 });
  chmodSync(file, 0o600);
  return token;
}
