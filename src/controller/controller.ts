import 'reflect-metadata';
import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Canary } from '../canary/canary.js';
import { reasonOf } from '../core/explain/refusal.js';
import { Dns, type DnsOptions } from '../discovery/dns.js';
import type { Log } from '../logger.js';
import { loadMasterKey, NODE_TOKEN_USE } from '../store/master-key.js';
import type { Notifications } from '../store/notifications.js';
import { secretFile } from '../store/secret-file.js';
import { openStore, type Store } from '../store/store.js';
import type { AdsEvent } from '../wire/ads-events.js';
import { AdsServer } from '../wire/ads-server.js';
import { AdminTokens } from './admin-guard.js';
import { admission } from './admission.js';
import type { AdsSecurity } from './ads-security.js';
import { createApplication } from './application.js';
import { EndpointSweep } from './endpoint-sweep.js';
import { Live } from './live.js';
import { Metrics } from './metrics.js';
import { Names, type NamesParts } from './names.js';
import { logFields, traced } from './quarantine.js';
import { Inventory } from './receipts/inventory.js';
import { Journal } from './receipts/journal.js';
import { Receipts } from './receipts/receipts.js';
import { Tracker } from './receipts/tracker.js';
import { RefusedPeers } from './refused-peers.js';
import { RequestLog, type RequestLogOptions } from './request-log.js';
import { Serving } from './serving.js';
import { VERSION } from './version.js';

/** How long requests under way may take at the end, in ms; one that waits for receipts may want longer. */
const FINISH_MS = 5_000;
/** How long what asks the database may take to stop, in ms: one that takes connections and says nothing keeps nobody. */
const STOP_MS = 1_500;
const DNS = { servers: [], timeoutMs: 2000, pace: { leastMs: 1000, mostMs: 60_000, otherMs: 5000 } };

export interface ControllerOptions {
  /** Where keys and tokens that are not given are kept: `master.key`, `node.token`, both of mode 0600. */
  readonly dataDir: string;
  readonly databaseUrl: string;
  /** Milliseconds between looks for releases that no notification told of. Default 5000. */
  readonly pollMs?: number | undefined;
  /** 32 bytes, base64 or hex. Left out: the file, made at first start. */
  readonly masterKey?: string | undefined;
  /** Token of edges. Left out: the file, made at first start. */
  readonly nodeToken?: string | undefined;
  /** An admin token to accept beside the stored ones. */
  readonly adminToken?: string | undefined;
  readonly admin: { readonly host: string; readonly port: number };
  readonly ads: { readonly host: string; readonly port: number };
  /** How that port is guarded ({@link openAdsSecurity}). Left out: it speaks plain text, and hears everybody. */
  readonly security?: AdsSecurity | undefined;
  /** Left out: requests are neither stored nor asked for. */
  readonly logStore?: RequestLogOptions | undefined;
  /** Path of the Envoy that judges what is published before it is. Left out: nothing is judged. */
  readonly canary?: string | undefined;
  /** How names of clusters are asked for. Default: the system's servers, at the pace of the settings' defaults. */
  readonly dns?: (DnsOptions & Pick<NamesParts, 'pace' | 'forgetMs'>) | undefined;
  readonly log: Log;
}

export interface Controller {
  /** http://host:port of the admin API. */
  readonly adminUrl: string;
  readonly adsPort: number;
  /** Port beside it that speaks plain text, if there is one. */
  readonly adsPlainPort?: number;
  /** The first admin token, only in the start that made it: it is stored as a hash. */
  readonly adminToken?: string;
  /** What edges must present. */
  readonly nodeToken: string;
  /** Stops taking requests and streams, finishes what is under way, lets go of the database. Idempotent. */
  close(): Promise<void>;
}

/**
 * Starts the controller: tables up to date, every workspace loaded and compiled, then ADS and log collection, then the
 * admin API. When it resolves, all of them answer.
 *
 * @throws StoreUnavailable when the database cannot be reached; Error that names port or key when one of them is wrong.
 */
export async function startController(options: ControllerOptions): Promise<Controller> {
  const undo: (() => Promise<unknown>)[] = [];
  const close = async () => {
    for (const step of undo.splice(0).reverse())
      await step().catch((error: Error) => options.log.warn(`while stopping: ${error.message}`));
  };
  try {
    return { ...(await start(options, undo)), close: once(close) };
  } catch (error) {
    await close();
    throw error;
  }
}

async function start(options: ControllerOptions, undo: (() => Promise<unknown>)[]): Promise<Omit<Controller, 'close'>> {
  const { log } = options;
  const masterKey = await loadMasterKey({ text: options.masterKey, file: join(options.dataDir, 'master.key') });
  const nodeToken = options.nodeToken ?? (await tokenIn(join(options.dataDir, 'node.token')));
  const store = await openStore({ url: options.databaseUrl, masterKey, log });
  undo.push(() => within(STOP_MS, store.close()));
  const adminToken = await firstToken(store, options.adminToken);
  const tokens = new AdminTokens(store);
  await tokens.load();

  const metrics = new Metrics();
  const canary = options.canary === undefined ? undefined : Canary.start({ binary: options.canary, log });
  if (canary) undo.push(() => canary.close());
  const live = new Live(store, log, metrics, canary);
  await live.load();
  const replica = `${hostname()}-${randomBytes(4).toString('hex')}`;
  const tracker = new Tracker(replica);
  undo.push(async () => tracker.close());
  const journal = new Journal(tracker, store, log);
  undo.push(() => within(STOP_MS, journal.close()));
  const receipts = new Receipts(tracker, journal, store);
  const inventory = new Inventory(tracker, journal);
  const requests = new RequestLog(options.logStore, log);
  await requests.start();
  undo.push(() => requests.close());

  const serving = new Serving(VERSION);
  const logRefusal = ({ node, fleet, type, names, versions, release, error }: AdsEvent & { kind: 'nack' }) => {
    const refused = serving.ads?.refusedBy(fleet, node, type, names[0] ?? '');
    if (refused && names.length === 1 && refused.resource.version === versions[0])
      log.error('a node refuses a resource; what it had stays in force there', {
        ...logFields(traced(refused, fleet, live)),
        release,
      });
    // Of a batch it is not known which one is meant: each is told again by itself.
    else
      log.warn('a node refused a response', {
        node,
        fleet,
        type,
        names: names.slice(0, 100),
        release,
        error: reasonOf(error),
      });
  };
  const { host, port } = options.ads;
  const { tls, ...rules } = options.security ?? {};
  const proof = { ...rules, nodeToken, tokenKey: masterKey.derive(NODE_TOKEN_USE) };
  const refused = new RefusedPeers(log);
  serving.refused = refused;
  if (tls) {
    undo.push(async () => tls.certificates.close());
    metrics.watchCertificate(() => tls.certificates.current.expiresAtMs);
  }
  const ads = await AdsServer.start({
    host,
    port,
    ...proof,
    ...(tls && { tls }),
    services: (server) => requests.serve(server, proof),
    onRefused: (peer) => {
      metrics.refused(peer.at);
      refused.add(peer);
    },
    admit: admission(live),
    onPublish: (fleet, change, release) => tracker.onPublish(fleet, change, release),
    onEvent: (event) => {
      metrics.ads(event);
      tracker.onEvent(event);
      if (event.kind === 'nack') logRefusal(event);
    },
  });
  undo.push(() => ads.close());
  serving.ads = ads;
  serving.canary = canary;
  metrics.watchQuarantine(() => ads.fleetKeys().map((fleet) => [fleet, ads.heldBack(fleet).length] as const));
  tracker.follow(ads);
  live.tracker = tracker;
  live.serve(ads);
  undo.push(follow(live, store, tokens, receipts, options.pollMs ?? 5000));
  const sweep = EndpointSweep.start(live, log);
  undo.push(() => within(STOP_MS, sweep.close()));
  const { pace, forgetMs, ...dns }: NonNullable<ControllerOptions['dns']> = options.dns ?? DNS;
  const names = Names.start({ live, dns: new Dns(dns), pace, forgetMs, replica, log });
  undo.push(() => within(STOP_MS, names.close()));
  live.names = names;
  serving.names = names;

  const app = await createApplication({ live, tokens, requests, receipts, inventory, serving, metrics, log });
  // First of all: no new connections, requests under way are answered. Streams and database stay until then.
  undo.push(() => within(FINISH_MS, app.close()));
  try {
    await app.listen(options.admin.port, options.admin.host);
  } catch (error) {
    throw new Error(
      `the admin API cannot listen on ${options.admin.host}:${options.admin.port}: ${(error as Error).message}. Free the port, or set PAIFANG_ADMIN_PORT.`,
      { cause: error },
    );
  }
  const adminUrl = (await app.getUrl()).replace('[::1]', 'localhost');
  log.info('controller ready', { admin: adminUrl, ads: ads.port, workspaces: live.states().length });
  const plain = ads.plainPort === undefined ? {} : { adsPlainPort: ads.plainPort };
  return { adminUrl, adsPort: ads.port, ...plain, nodeToken, ...(adminToken === undefined ? {} : { adminToken }) };
}

/** Hears of other replicas' commits and looks from time to time; returns how to stop. */
function follow(
  live: Live,
  store: Store,
  tokens: AdminTokens,
  receipts: Receipts,
  pollMs: number,
): () => Promise<void> {
  const notifications: Notifications = store.listen((notice) => {
    if (notice.kind === 'receipts') receipts.heard(notice.replica);
    else void live.heard(notice);
  });
  let busy = false;
  const timer = setInterval(async () => {
    if (busy) return;
    busy = true;
    await live.refresh();
    if (live.outage === undefined) await tokens.load().catch(() => {});
    busy = false;
  }, pollMs);
  timer.unref();
  return async () => {
    clearInterval(timer);
    await within(STOP_MS, notifications.close());
  };
}

/** The first admin token if this start made it; a given token is stored and never told. */
async function firstToken(store: Store, given: string | undefined): Promise<string | undefined> {
  if (given === undefined) return store.firstAdminToken();
  await store.addAdminToken('admin', given);
  return undefined;
}

/** The token in a file of mode 0600, made when it is missing. */
async function tokenIn(file: string): Promise<string> {
  const found = await secretFile(file, () => randomBytes(32).toString('base64url'));
  if (found.length >= 16) return found;
  throw new Error(`${file} holds no token. Remove it to have a new one made, and give that to the edges.`);
}

/** Resolves when `work` does, or after so many ms. */
function within(ms: number, work: Promise<unknown>): Promise<unknown> {
  return Promise.race([work, delay(ms, undefined, { ref: false })]);
}

function once(work: () => Promise<void>): () => Promise<void> {
  let done: Promise<void> | undefined;
  return () => {
    done ??= work();
    return done;
  };
}
