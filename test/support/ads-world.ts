import { Agent, request } from 'node:http';
import type { Resource, ResourceName } from '../../src/core/ads/resource.js';
import type { GroupIr } from '../../src/core/ir/group.js';
import { bootstrap } from '../../src/core/xds/bootstrap.js';
import { clusterResources, fleetResources, groupResources } from '../../src/core/xds/resources.js';
import type { AdsEvent, StreamInfo } from '../../src/wire/ads-events.js';
import { AdsServer } from '../../src/wire/ads-server.js';
import { onCleanup } from './cleanup.js';
import { type RunningEnvoy, startEnvoy } from './envoy.js';
import { clusterIr, fleetIr } from './ir.js';
import { freePort } from './ports.js';
import { tmpDir } from './tmp.js';
import { until } from './until.js';

const NODE_TOKEN = 'token-of-the-nodes';

export interface WorldOptions {
  /** Worker threads of Envoy; default 2. */
  readonly concurrency?: number;
  /** How many requests Envoy sends its controller: so many at once, then so many a second. Default: any number. */
  readonly rateLimit?: { readonly max_tokens: number; readonly fill_rate: number };
}

/** A real Envoy over ADS: definitions go in as resolved ones, requests go through. */
export class AdsWorld {
  readonly events: AdsEvent[] = [];
  /** What is published, to be published again by a server that starts anew. */
  readonly #state = new Map<string, Resource>();
  #server: AdsServer | undefined;
  readonly fleet;

  private constructor(
    readonly adsPort: number,
    readonly port: number,
    readonly envoy: RunningEnvoy,
  ) {
    this.fleet = fleetIr({ key: 'test/edge', listeners: [{ name: 'http', address: '127.0.0.1', port }] });
  }

  /** Envoy is started; there is no ADS server yet. */
  static async start(options: WorldOptions = {}): Promise<AdsWorld> {
    const [adsPort, port] = [await freePort(), await freePort()];
    const made = bootstrap({
      nodeId: 'envoy-1',
      nodeCluster: 'test/edge',
      adsAddress: '127.0.0.1',
      adsPort,
      edgeSocket: 'authz.sock',
      adminAddress: '127.0.0.1',
      adminPort: 0,
    }) as { dynamic_resources: { ads_config: Record<string, unknown> & { grpc_services: Record<string, unknown>[] } } };
    const ads = made.dynamic_resources.ads_config;
    if (options.rateLimit) ads.rate_limit_settings = options.rateLimit;
    for (const service of ads.grpc_services)
      service.initial_metadata = [{ key: 'authorization', value: `Bearer ${NODE_TOKEN}` }];
    const envoy = await startEnvoy({ bootstrapYaml: made, cwd: tmpDir(), concurrency: options.concurrency ?? 2 });
    const world = new AdsWorld(adsPort, port, envoy);
    onCleanup(() => world.#server?.close());
    return world;
  }

  get server(): AdsServer {
    if (!this.#server) throw new Error('the ADS server is not started');
    return this.#server;
  }

  /** Starts the ADS server with all that was published. */
  async startServer(): Promise<void> {
    this.#server = await AdsServer.start({
      host: '127.0.0.1',
      port: this.adsPort,
      nodeToken: NODE_TOKEN,
      onEvent: (e) => this.events.push(e),
    });
    const server = this.#server;
    server.publish('test/edge', { upserts: [...this.#state.values()], removals: [] });
  }

  publish(upserts: readonly Resource[], removals: readonly ResourceName[] = []): void {
    for (const r of upserts) this.#state.set(`${r.type}/${r.name}`, r);
    for (const r of removals) this.#state.delete(`${r.type}/${r.name}`);
    this.#server?.publish('test/edge', { upserts, removals });
  }

  listener(): Resource[] {
    return fleetResources(this.fleet);
  }

  group(group: GroupIr): Resource[] {
    return groupResources(group, this.fleet);
  }

  cluster(id: string, port: number, connectTimeoutMs = 1000): Resource[] {
    return clusterResources(clusterIr(id, { connectTimeoutMs, endpoints: [{ host: '127.0.0.1', port, weight: 1 }] }));
  }

  /** Names of resources, to be removed. */
  static named(resources: readonly Resource[]): ResourceName[] {
    return resources.map(({ type, name }) => ({ type, name }));
  }

  stream(): StreamInfo | undefined {
    return this.#server?.streams().at(-1);
  }

  /** Envoy was sent all it should have, and has answered everything. */
  async settled(within = 5_000): Promise<void> {
    await until(
      () => {
        const stream = this.stream();
        return stream && stream.backlog === 0 && stream.unanswered === 0 ? true : undefined;
      },
      { within, what: `Envoy to be in step (${JSON.stringify(this.stream())})` },
    );
  }

  async stat(name: string): Promise<number> {
    const text = await this.envoy.admin(`/stats?filter=^${name.replaceAll('.', '\\.')}$`);
    return Number(/: (\d+)/.exec(text)?.[1] ?? 0);
  }

  nacks(): AdsEvent[] {
    return this.events.filter((e) => e.kind === 'nack');
  }

  /** One request; resolves with status and body, or the error's text. */
  ask(host: string, path: string, agent?: Agent): Promise<string> {
    return new Promise((resolve) => {
      const call = request({ host: '127.0.0.1', port: this.port, path, headers: { host }, agent }, (response) => {
        let body = '';
        response.setEncoding('utf8').on('data', (chunk: string) => {
          body += chunk;
        });
        response.on('end', () => resolve(`${response.statusCode} ${body}`));
        response.on('error', (error) => resolve(error.message));
      });
      call.on('error', (error) => resolve(error.message));
      call.end();
    });
  }

  /** A steady load of `rps` requests a second, each to one of `targets()`; `stop` tells how many there were and which failed. */
  load(targets: () => readonly (readonly [host: string, path: string])[], rps = 200): { stop(): Promise<Load> } {
    const agent = new Agent({ keepAlive: true, maxSockets: 64 });
    const pending = new Set<Promise<void>>();
    const failures: string[] = [];
    let sent = 0;
    const timer = setInterval(() => {
      const choice = targets();
      const target = choice[sent++ % choice.length];
      if (!target) return;
      const [host, path] = target;
      const call = this.ask(host, path, agent).then((answer) => {
        if (!answer.startsWith('200 ')) failures.push(`${host}${path}: ${answer.slice(0, 200)}`);
      });
      pending.add(call);
      call.finally(() => pending.delete(call));
    }, 1_000 / rps);
    const stop = async () => {
      clearInterval(timer);
      await Promise.all(pending);
      agent.destroy();
      return { sent, failures };
    };
    onCleanup(() => {
      clearInterval(timer);
      agent.destroy();
    });
    return { stop };
  }
}

export interface Load {
  readonly sent: number;
  readonly failures: readonly string[];
}
