import { mkdirSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { startAuthz } from './authz/authz.js';
import { tokenSource } from './controller-access.js';
import { Drill } from './drill.js';
import { keepingSecret } from './lastgood/keeping-secret.js';
import { FAILOVER_SOCKET, LastGood } from './lastgood/last-good.js';
import type { LogAgent } from './log/log-agent.js';
import { startLogAgent } from './log-shipping.js';
import { EdgeMetrics } from './metrics.js';
import { startNodeEndpoints } from './node-endpoints.js';
import { nodePaths } from './node-paths.js';
import type { EdgeOptions } from './options.js';
import { configState, type EdgeStats } from './state.js';
import { isConnected, type Subscription, subscribe } from './subscription.js';
import { EDGE_TYPES, EdgeTables } from './tables.js';

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
    silentMs: () => subscription?.silentMs() ?? 0,
    synced: () => subscription?.synced() ?? false,
    connections: () => authz?.connections() ?? 0,
    config: () => configState(subscription, lastGood),
    lastGood: () => lastGood?.stats(),
  });
  const cut = (ms: number) => subscription?.cut(ms);
  const answers = (withinMs?: number) => subscription?.answers(withinMs) ?? Promise.resolve(false);
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
  const drill = new Drill({ node, cluster, failover, envoyAdmin: options.envoyAdmin, log, stats, answers, cut });
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
      const owner = { fleet: cluster, node, token: keepingSecret(token(), options.dataDir) };
      const kept = await LastGood.start({ ...owner, directory, log, tables, controllerAnswers: () => answers() });
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
