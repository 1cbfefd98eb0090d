import 'reflect-metadata';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command, Option } from 'commander';
import { addClientCommands } from './cli/commands.js';
import { addNodeToken } from './cli/node-token.js';
import { describeSettings } from './config/describe.js';
import { ConfigError, loadConfig } from './config/load.js';
import type { Config } from './config/schema.js';
import type { Log } from './logger.js';

/**
 * The `paifang` command. Verbs that run a process are here; verbs that talk to one are in cli/. Rooms are loaded when a verb
 * needs them, so that `paifang --help` does not wait for a database driver.
 */
const program = new Command('paifang')
  .description('An open API gateway: definitions are compiled to xDS for real Envoy proxies.')
  .option('--config <file>', 'YAML file of settings (PAIFANG_CONFIG); see docs/reference/config.md')
  .showHelpAfterError('(--help tells more)')
  .configureHelp({ sortSubcommands: false });

program
  .command('up')
  .description('run everything on this machine: PostgreSQL, controller, edge, Envoy and a demo')
  .option('--data-dir <directory>', 'where everything is kept (PAIFANG_DATA_DIR)')
  .option('--port <port>', 'port of the gateway (PAIFANG_GATEWAY_PORT)')
  .addOption(new Option('--no-demo', 'no demo objects, no demo backend (PAIFANG_DEMO=false)'))
  .addHelpText(
    'after',
    '\nA second start keeps the data. Remove the data directory to begin anew.\n\nExample:\n  paifang up --port 8888 --data-dir /var/lib/paifang',
  )
  .action(async (options: { dataDir?: string; port?: string; demo: boolean }) => {
    const config = settings({
      dataDir: options.dataDir,
      'up.gatewayPort': options.port === undefined ? undefined : integer(options.port),
      'up.demo': options.demo ? undefined : false,
    });
    await runUp(config);
  });

program
  .command('controller')
  .description('run a controller: admin API, compiler, xDS, log collection')
  .addHelpText('after', '\nNeeds PAIFANG_DATABASE_URL. Any number of controllers may share one PostgreSQL.')
  .action(async () => runController(settings()));

program
  .command('edge')
  .description('run an edge beside an Envoy: request checks over a Unix socket, log shipping, node endpoints')
  .addHelpText(
    'after',
    '\nIts directory (PAIFANG_EDGE_DIR) is the working directory of that Envoy; see `paifang bootstrap --help`.',
  )
  .action(async () => runEdge(settings()));

program
  .command('migrate')
  .description("bring the database's tables up to this version, and say what was done")
  .action(async () => runMigrate(settings()));

program
  .command('token')
  .description('make an admin token straight in the database, for when the last one is lost')
  .argument('[name]', 'who or what will use it; stands in the audit', 'admin')
  .addHelpText(
    'after',
    '\nNeeds PAIFANG_DATABASE_URL. The token is printed this once; controllers accept it within PAIFANG_DATABASE_POLL.',
  )
  .action(async (name: string) => runToken(settings(), name));

addNodeToken(program, () => nodeTokenKey(settings()));

program
  .command('chdb', { hidden: true })
  .description('the embedded log store; started by the controller')
  .requiredOption('--dir <directory>', 'its data')
  .requiredOption('--port <port>', 'loopback port')
  .action(async (options: { dir: string; port: string }) => {
    const { runChdbChild } = await import('./logs/chdb-child.js');
    await runChdbChild({
      dir: options.dir,
      host: '127.0.0.1',
      port: Number(options.port),
      input: process.stdin,
      output: process.stdout,
    });
    process.exit(0);
  });

addClientCommands(program);
await program.parseAsync(process.argv).catch(fail);

function settings(overrides: Record<string, unknown> = {}): Config {
  const file = program.opts<{ config?: string }>().config ?? process.env.PAIFANG_CONFIG;
  return loadConfig(process.env, file, overrides);
}

function integer(value: string): number | string {
  return /^\d+$/.test(value) ? Number(value) : value;
}

async function runUp(config: Config): Promise<void> {
  const [{ up, UpError }, { bootstrap }] = await Promise.all([import('./up/up.js'), import('./core/xds/bootstrap.js')]);
  const say = (line: string) => console.log(line);
  refuseGuardedXds(config);
  say('Starting Paifang');
  let asked = false;
  const early = () => {
    if (asked) process.exit(130);
    asked = true;
    say('Stopping as soon as the step under way is done (Ctrl-C again: at once)');
  };
  process.on('SIGINT', early).on('SIGTERM', early);
  try {
    const running = await up({
      dataDir: config.dataDir,
      admin: config.admin,
      ads: config.ads,
      databaseUrl: config.database.url,
      databasePort: config.up.databasePort,
      gateway: { host: config.up.gatewayHost, port: config.up.gatewayPort },
      envoy: config.up.envoy,
      envoyAdminPort: config.up.envoyAdminPort,
      concurrency: config.up.concurrency,
      edgePorts: { config: config.edge.configPort, tool: config.edge.toolPort },
      demo: config.up.demo,
      demoPort: config.up.demoPort,
      bootstrap,
      say,
    });
    process.off('SIGINT', early).off('SIGTERM', early);
    if (asked) process.emit('SIGINT');
    untilAskedToEnd(async () => {
      say('\nStopping …');
      await running.stop();
      say('Stopped. The data is kept.');
    });
  } catch (error) {
    if (!(error instanceof UpError)) throw error;
    console.error(`\nPaifang could not start.\n${error.message}`);
    process.exit(1);
  }
}

async function runController(config: Config): Promise<void> {
  const [{ startController }, { createLogger }] = await Promise.all([
    import('./controller/controller.js'),
    import('./logger.js'),
  ]);
  const url = databaseUrl(config);
  const log = createLogger(config.log, 'controller');
  const dataDir = resolve(config.dataDir);
  const { openAdsSecurity } = await import('./controller/ads-security.js');
  const security = orFaults('ads', await openAdsSecurity(config.ads, log));
  const logStore = config.logStore.url
    ? external(config.logStore, config.logStore.url)
    : await embedded(join(dataDir, 'requests'), log);
  const controller = await startController({
    dataDir,
    databaseUrl: url,
    pollMs: config.database.poll,
    masterKey: config.keys.master,
    nodeToken: config.ads.nodeToken,
    admin: config.admin,
    ads: config.ads,
    security,
    logStore: { ...logStore.access, retentionDays: config.logStore.retentionDays },
    canary: await canaryOf(config, log),
    dns: {
      servers: config.dns.servers.split(',').filter(Boolean),
      timeoutMs: config.dns.timeout,
      pace: { leastMs: config.dns.leastRefresh, mostMs: config.dns.mostRefresh, otherMs: config.dns.srvRefresh },
    },
    log,
  });
  if (controller.adminToken && !process.send) console.log(`Admin token, shown this once: ${controller.adminToken}`);
  untilAskedToEnd(
    async () => {
      await controller.close();
      await logStore.close();
    },
    { adminUrl: controller.adminUrl, adsPort: controller.adsPort, adminToken: controller.adminToken },
  );
}

/** The Envoy that judges what is published, if one is wanted and known. */
async function canaryOf(config: Config, log: Log): Promise<string | undefined> {
  const { canary } = config.controller;
  if (canary === 'off') {
    log.info('nothing is judged by Envoy before it is published: PAIFANG_CANARY is off');
    return undefined;
  }
  if (canary !== 'on') {
    if (existsSync(canary)) return canary;
    throw new ConfigError([{ where: 'PAIFANG_CANARY', message: `names ${canary}, which does not exist` }]);
  }
  const { envoyBinary } = await import('./up/envoy.js');
  try {
    return envoyBinary(config.up.envoy);
  } catch (error) {
    log.warn('nothing is judged by Envoy before it is published', { reason: (error as Error).message });
    return undefined;
  }
}

interface RunningLogStore {
  readonly access: { url: string; user: string; password?: string; exclusive: boolean };
  close(): Promise<void>;
}

function external({ user, password }: Config['logStore'], url: string): RunningLogStore {
  return {
    access: { url, user, ...(password !== undefined && { password }), exclusive: false },
    close: async () => {},
  };
}

/** The embedded log store: this program again, as a process of its own. */
async function embedded(dir: string, log: Log): Promise<RunningLogStore> {
  const { startEmbeddedLogStore } = await import('./logs/supervisor.js');
  const store = await startEmbeddedLogStore({
    dir,
    spawn: (where) =>
      spawn(
        process.execPath,
        [fileURLToPath(import.meta.url), 'chdb', '--dir', where.dir, '--port', String(where.port)],
        { stdio: 'pipe' },
      ),
    onTrouble: (message) => log.warn(message),
  });
  return {
    access: { url: store.url, user: store.user, password: store.password, exclusive: true },
    close: () => store.close(),
  };
}

async function runEdge(config: Config): Promise<void> {
  const [{ startEdge }, { createLogger }] = await Promise.all([import('./edge/edge.js'), import('./logger.js')]);
  const log = createLogger(config.log, 'edge');
  const directory = resolve(config.edge.directory ?? join(config.dataDir, 'node'));
  const { openControllerAccess } = await import('./edge/controller-access.js');
  const edge = await startEdge({
    ...config.edge,
    ...orFaults('edge', await openControllerAccess(config.edge, log)),
    directory,
    dataDir: resolve(config.dataDir),
    nodeToken: config.ads.nodeToken,
    log,
  });
  let closed = false;
  const close = async () => {
    closed = true;
    await edge.close();
  };
  untilAskedToEnd(close);
  await edge.ready;
  if (!closed) process.send?.({ ready: true });
}

async function runMigrate(config: Config): Promise<void> {
  const [{ migrateStore }, { createLogger }] = await Promise.all([import('./store/store.js'), import('./logger.js')]);
  const done = await migrateStore(databaseUrl(config), createLogger(config.log, 'migrate'));
  console.log(done.length === 0 ? 'The tables are up to date.' : `Done: ${done.join(', ')}.`);
}

async function runToken(config: Config, name: string): Promise<void> {
  const [{ makeAdminToken }, { createLogger }] = await Promise.all([import('./store/store.js'), import('./logger.js')]);
  console.log(await makeAdminToken(databaseUrl(config), name, createLogger(config.log, 'token')));
}

interface SettingFault {
  readonly setting: string;
  readonly message: string;
}

/** What was opened. @throws ConfigError with the faults there are instead, each under the name of its setting. */
function orFaults<T extends object>(
  section: string,
  opened: T | { readonly faults: readonly SettingFault[] },
): Exclude<T, { readonly faults: unknown }> {
  if (!('faults' in opened)) return opened as Exclude<T, { readonly faults: unknown }>;
  const names = new Map(describeSettings().map(({ key, env }) => [key, env]));
  const faults = opened.faults as readonly SettingFault[];
  throw new ConfigError(
    faults.map(({ setting, message }) => {
      const key = `${section}.${setting}`;
      return { where: names.get(key) ?? key, message };
    }),
  );
}

/** `up` runs everything on loopback, where its Envoy and edge speak plain text. @throws ConfigError. */
function refuseGuardedXds({ ads, edge }: Config): void {
  const message = 'is for controllers and edges that are started by themselves, not for `paifang up`';
  const set = [
    ads.certificate !== undefined && 'certificate',
    ads.plainPort !== undefined && 'plainPort',
    ads.identity !== 'optional' && 'identity',
  ].filter((setting) => setting !== false);
  if (set.length > 0) orFaults('ads', { faults: set.map((setting) => ({ setting, message })) });
  if (edge.controllerCa !== undefined) orFaults('edge', { faults: [{ setting: 'controllerCa', message }] });
}

/** The key that controllers judge tokens of nodes with. @throws ConfigError when the master key is not here. */
async function nodeTokenKey(config: Config): Promise<Buffer> {
  const { loadMasterKey, NODE_TOKEN_USE } = await import('./store/master-key.js');
  const file = join(resolve(config.dataDir), 'master.key');
  // A key that is made here would be one that no controller has.
  if (config.keys.master === undefined && !existsSync(file))
    throw new ConfigError([
      { where: 'PAIFANG_MASTER_KEY', message: `is needed, or the file ${file}: those of the controllers` },
    ]);
  const masterKey = await loadMasterKey({ text: config.keys.master, file });
  return masterKey.derive(NODE_TOKEN_USE);
}

function databaseUrl(config: Config): string {
  if (config.database.url) return config.database.url;
  throw new ConfigError([
    { where: 'PAIFANG_DATABASE_URL', message: 'is needed: postgres://user:password@host:port/name' },
  ]);
}

/** A second signal so much later, in ms, ends a process at once. */
const AGAIN_MS = 1_000;

/** Says that this process is ready, and ends it in order on SIGINT, SIGTERM or when the process that started it is gone. */
function untilAskedToEnd(close: () => Promise<void>, announcement?: Record<string, unknown>): void {
  let askedAt: number | undefined;
  const end = () => {
    // One Ctrl-C may arrive twice, from the terminal and from npm; who asks again later does not want to wait.
    if (askedAt !== undefined && performance.now() - askedAt > AGAIN_MS) process.exit(130);
    if (askedAt !== undefined) return;
    askedAt = performance.now();
    void close().then(
      () => process.exit(0),
      (error: unknown) => {
        console.error(error);
        process.exit(1);
      },
    );
  };
  process.on('SIGINT', end).on('SIGTERM', end);
  if (process.send) {
    process.on('disconnect', end);
    if (announcement) process.send({ ready: true, ...announcement });
  }
}

function fail(error: unknown): never {
  if (error instanceof ConfigError) console.error(error.message);
  else console.error(error instanceof Error ? `${error.message}\n\n${error.stack ?? ''}` : error);
  process.exit(error instanceof ConfigError ? 2 : 5);
}
