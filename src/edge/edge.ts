import { mkdirSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { Log } from '../logger.js';
import type { ChannelSecurity } from '../wire/channel-security.js';
import { startAuthz } from './authz/authz.js';
import { tokenSource } from './controller-access.js';
import { Drill } from './drill.js';
import { keepingSecret } from './lastgood/keeping-secret.js';
import { FAILOVER_SOCKET, LastGood, type LastGoodStats } from './lastgood/last-good.js';
import type { LogAgent, LogAgentStats } from './log/log-agent.js';
import { startLogAgent } from './log-shipping.js';
import { EdgeMetrics } from './metrics.js';
import { startNodeEndpoints } from './node-endpoints.js';
import { nodePaths } from './node-paths.js';
import { isConnected, type Subscription, type SubscriptionState, subscribe } from './subscription.js';
import { EDGE_TYPES, EdgeTables } from './tables.js';

export interface EdgeOptions {
  /** node.id of the Envoy this edge serves. Default: the host's name. */
  readonly node?: string | undefined;
  /** node.cluster of that Envoy: `<workspace>/<fleet>`. */
  readonly cluster: string;
  /** Where that Envoy stands, as its bootstrap says. */
  readonly region?: string | undefined;
  readonly zone?: string | undefined;
  readonly room?: string | undefined;
  /** `host:port` of a controller. */
  readonly controller: string;
  /** Envoy's working directory: the socket, the access log and the digest log are here. Made when missing. */
  readonly directory: string;
  /** Where `node.token` is looked for when no token is given, and `last-good.key` is kept when there is no shared one. */
  readonly dataDir: string;
  readonly nodeToken?: string | undefined;
  /** File with the token of this node, read at each connection. */
  readonly tokenFile?: string | undefined;
  /** Path of the certificate of this node; with one no token is needed. It is used by way of `security`. */
  readonly certificate?: string | undefined;
  /** TLS to the controller ({@link openControllerAccess}). Default: plain text. */
  readonly security?: ChannelSecurity | undefined;
  /** URL of Envoy's admin. */
  readonly envoyAdmin: string;
  /** Loopback ports of the node endpoints; 0 = any. */
  readonly configPort: number;
  readonly toolPort: number;
  /** Milliseconds a request waits for a policy that is not held. */
  readonly policyWait: number;
  /** Size at which access log and digest log are rotated, and how many rotated files are kept. */
  readonly rotateBytes: number;
  readonly keepFiles: number;
  readonly log: Log;
  /** File names below `directory`. Defaults: `authz.sock`, `access.log`, `mosng-digest.log`. */
  readonly socket?: string;
  readonly accessLog?: string;
  readonly digestLog?: string;
  /** Synthetic checks before the socket is reachable. Default 3000. */
  readonly warmUpChecks?: number;
  /**
   * Keeps what the controller has in force below `directory`, serves checks from it when there is no controller at start, and
   * serves it to an Envoy that starts meanwhile, on `failover.sock`. Default: no.
   */
  readonly lastGood?: boolean;
  /** Milliseconds after which the edge serves although the controller has not delivered everything. Default: it waits. */
  readonly syncGraceMs?: number;
}

export interface EdgeStats {
  readonly node: string;
  readonly cluster: string;
  /** Serving checks. */
  readonly ready: boolean;
  /** Everything was delivered at least once. */
  readonly synced: boolean;
  readonly ads: SubscriptionState;
  readonly config: ConfigState;
  /** What is kept for times without a controller; undefined when nothing is. */
  readonly lastGood: LastGoodStats | undefined;
  /** Decisions by result code since start. */
  readonly checks: Readonly<Record<string, number>>;
  readonly resources: Readonly<Record<string, number>>;
  readonly log: LogAgentStats | undefined;
}

/** Where what the edge decides from came from. */
export interface ConfigState {
  /** Of what is held now: delivered by a controller since the start, read from disk, or not there yet. */
  readonly source: 'controller' | 'disk' | 'none';
  /** Seconds since it was known to be what a controller has in force; 0 while in step, undefined when never. */
  readonly ageSeconds: number | undefined;
}

export interface Edge {
  /** Resolves when checks are answered: everything was delivered (or the grace has passed) and the code is warm. */
  readonly ready: Promise<void>;
  readonly ports: { readonly config: number; readonly tool: number };
  readonly socket: string;
  stats(): EdgeStats;
  /** Ends running checks, writes the log checkpoint and frees socket and ports. */
  close(): Promise<void>;
}

const WARM_UP_CHECKS = 3000;

/**
 * Starts the edge of one node: subscribes to policies, Apps and service keys, answers ext_authz on a Unix socket, ships the
 * access log, and serves the node endpoints. Holds no database; goes on with what it has when the controller is away, and
 * with what it had before if it is started then.
 * @throws Error when there is neither node token nor certificate, or a socket, port or file cannot be had.
 */
export async function startEdge(options: EdgeOptions): Promise<Edge> {
  const { log, cluster } = options;
  const node = options.node ?? hostname();
  mkdirSync(options.directory, { recursive: true, mode: 0o700 });
  const token = tokenSource(options);
  const tables = new EdgeTables();
  const closers: (() => Promise<void> | void)[] = [];
  const close = async () => {
    closed = true;
    for (const closer of closers.splice(0).reverse()) await closer();
  };
  let agent: LogAgent | undefined;
  let subscription: Subscription | undefined;
  let lastGood: LastGood | undefined;
  let ready = false;
  let closed = false;

  const socket = join(options.directory, options.socket ?? 'authz.sock');
  const metrics = new EdgeMetrics({
    tables,
    log: () => agent?.stats(),
    connected: () => isConnected(subscription?.state()),
    synced: () => subscription?.synced() ?? false,
    connections: () => authz?.connections() ?? 0,
    config: () => configState(subscription, lastGood),
    lastGood: () => lastGood?.stats(),
  });
  const cut = (ms: number) => subscription?.cut(ms);
  let authz: Awaited<ReturnType<typeof startAuthz>> | undefined;
  const stats = (): EdgeStats => ({
    node,
    cluster,
    ready,
    synced: subscription?.synced() ?? false,
    ads: subscription?.state() ?? { kind: 'connecting' },
    config: configState(subscription, lastGood),
    lastGood: lastGood?.stats(),
    checks: metrics.counts(),
    resources: Object.fromEntries(
      EDGE_TYPES.map((type) => [type.slice(type.lastIndexOf('.') + 1), tables.versions(type).size]),
    ),
    log: agent?.stats(),
  });

  const failover = options.lastGood ? join(options.directory, FAILOVER_SOCKET) : undefined;
  const drill = new Drill({ node, cluster, failover, envoyAdmin: options.envoyAdmin, log, stats, cut });
  closers.push(() => drill.close());

  try {
    const endpoints = await startNodeEndpoints(
      [
        { port: options.configPort, setting: 'PAIFANG_EDGE_CONFIG_PORT' },
        { port: options.toolPort, setting: 'PAIFANG_EDGE_TOOL_PORT' },
      ],
      nodePaths({ tables, metrics, stats, log, envoyAdmin: options.envoyAdmin, drill }),
    );
    closers.push(() => endpoints.close());

    authz = await startAuthz({
      socket,
      tables,
      request: (type, names) => subscription?.request(type, names),
      policyWaitMs: options.policyWait,
      warmUpChecks: options.warmUpChecks ?? WARM_UP_CHECKS,
      onDecision: metrics.decided,
      onError: (error) => {
        metrics.failed();
        log.error('a check failed', { error: error instanceof Error ? (error.stack ?? error.message) : String(error) });
      },
    });
    const server = authz;
    closers.push(() => server.close());

    agent = await startLogAgent(options, node, token, closers);

    if (options.lastGood) {
      const { directory } = options;
      const controllerAnswers = () => subscription?.answers() ?? Promise.resolve(false);
      const owner = { fleet: cluster, node, token: keepingSecret(token(), options.dataDir) };
      const kept = await LastGood.start({ ...owner, directory, log, tables, controllerAnswers });
      lastGood = kept;
      closers.push(() => kept.close());
    }
    subscription = subscribe(options, node, token, tables, lastGood);
    const { delivered, close: unsubscribe } = subscription;
    closers.push(unsubscribe);
    const serving = delivered.then(() => {
      if (closed) return;
      server.publish();
      ready = true;
      log.info('serving', { socket, config: stats().config.source, ...stats().resources });
    });
    serving.catch((error: unknown) => log.error('cannot serve', { error: String(error) }));
    const [config, tool] = endpoints.ports as [number, number];
    return { ready: serving, ports: { config, tool }, socket, stats, close };
  } catch (error) {
    await close();
    throw error;
  }
}

function configState(subscription: Subscription | undefined, lastGood: LastGood | undefined): ConfigState {
  const source = subscription?.synced() ? 'controller' : lastGood?.fromDisk ? 'disk' : 'none';
  const inStep = subscription?.state().kind === 'synced';
  const until = lastGood?.goodUntilMs() ?? (inStep ? Date.now() : undefined);
  return { source, ageSeconds: until === undefined ? undefined : Math.max(0, Math.round((Date.now() - until) / 1000)) };
}
