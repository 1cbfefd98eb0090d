import { rmSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { type Resource, type ResourceName, resource, TYPE, type TypeUrl } from '../../core/ads/resource.js';
import type { Log } from '../../logger.js';
import type { AdsUpdate } from '../../wire/ads-client.js';
import { AdsServer } from '../../wire/ads-server.js';
import { socketPlace } from '../authz/unix-socket.js';
import type { HeldResource, HeldResources } from './held-resources.js';

/** Types an Envoy is served. */
export const ENVOY_TYPES: readonly TypeUrl[] = [
  TYPE.cluster,
  TYPE.endpoint,
  TYPE.secret,
  TYPE.listener,
  TYPE.route,
  TYPE.scope,
];

export interface FailoverOptions {
  /** Path of the Unix socket. */
  readonly socket: string;
  /** node.cluster of the Envoy. */
  readonly fleet: string;
  readonly log: Log;
  /** Whether the controller answers this edge now; takes a bounded time. */
  controllerAnswers(): Promise<boolean>;
}

/** How long an Envoy may take to put a step of the way back in force, in ms; after that the controller sees to it. */
const STEP_MS = 10_000;
const LOOK_MS = 20;
const ROUNDS = 5;

/**
 * The second ADS server of an Envoy, on a socket beside it. An Envoy turns to it only if its controller did not answer when
 * it started (the first `grpc_services` of its bootstrap), and never leaves it by itself: so this one lets nobody in while the
 * controller answers, and sends everybody away once it answers again. Before that the Envoy is brought to what the
 * controller has by now, removals included: it will not tell the controller what it holds, and would keep for ever what
 * nobody names any more.
 */
export class Failover {
  readonly #pending = new Map<string, { upsert?: Resource; removal: ResourceName }>();
  #server: AdsServer | undefined;
  #remove = () => {};
  #begun = false;
  #handing: Promise<void> | undefined;
  #closed = false;

  private constructor(private readonly options: FailoverOptions) {}

  /** Listens. Refuses everybody until {@link begin}. @throws Error when the socket cannot be had. */
  static async start(options: FailoverOptions): Promise<Failover> {
    const failover = new Failover(options);
    const { log } = options;
    const place = await socketPlace(options.socket);
    failover.#server = await AdsServer.start({
      host: `unix:${place.temporary}`,
      port: 0,
      admit: () => failover.#admit(),
      onEvent(event) {
        if (event.kind === 'connected') {
          log.warn('serving Envoy the last good configuration, since the controller is away', { node: event.node });
          // The controller may have come back while this Envoy was let in.
          setImmediate(() => void failover.handBack());
        }
        if (event.kind === 'nack')
          log.error('Envoy refused a part of the last good configuration', {
            type: event.type,
            names: event.names,
            error: event.error,
          });
      },
    });
    place.publish();
    failover.#remove = () => {
      place.remove();
      rmSync(place.temporary, { force: true });
    };
    return failover;
  }

  /** Envoys that are served from here now. */
  get streams(): number {
    return this.#server?.streams().length ?? 0;
  }

  /** From now on everything in `held` can be served, and what {@link changed} is told. */
  begin(held: HeldResources): void {
    if (this.#begun) return;
    this.#begun = true;
    this.#pending.clear();
    const upserts = ENVOY_TYPES.flatMap((type) => [...held.of(type).values()].map((one) => toResource(type, one)));
    this.#server?.publish(this.options.fleet, { upserts, removals: [] });
  }

  /** Takes what the controller sent. While an Envoy is served it is told when it is handed back. */
  changed(update: AdsUpdate): void {
    const type = ENVOY_TYPES.find((known) => known === update.type);
    if (type === undefined || !this.#begun) return;
    for (const name of update.removals) this.#pending.set(`${type}\n${name}`, { removal: { type, name } });
    for (const one of update.upserts) {
      const upsert = toResource(type, { ...one, bytes: one.bytes.slice() });
      this.#pending.set(`${type}\n${one.name}`, { upsert, removal: { type, name: one.name } });
    }
    this.#flush();
  }

  /** The edge is in step with the controller: brings the Envoys that are served to the same state, and sends them there. */
  handBack(): Promise<void> {
    this.#handing ??= this.#handBack().finally(() => {
      this.#handing = undefined;
    });
    return this.#handing;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#server?.close();
    this.#remove();
  }

  /** Why an Envoy is not let in. */
  async #admit(): Promise<string | undefined> {
    if (!this.#begun) return 'This edge holds no last good configuration yet.';
    if (await this.options.controllerAnswers()) return 'The controller answers; ask it.';
    this.#flush();
    return undefined;
  }

  async #handBack(): Promise<void> {
    for (let round = 0; round < ROUNDS && this.#pending.size > 0 && this.streams > 0; round++) {
      const { upserts, removals } = this.#takePending();
      const clusters = upserts.filter(({ type }) => type === TYPE.cluster).map(({ name }) => Buffer.from(name));
      this.#server?.publish(this.options.fleet, {
        upserts: upserts.map((upsert) => withClusters(upsert, clusters)),
        removals: [],
      });
      await this.#settled();
      this.#server?.publish(this.options.fleet, { upserts: [], removals });
      await this.#settled();
    }
    if (!this.#closed && this.streams > 0 && (await this.options.controllerAnswers())) {
      this.options.log.info('the controller is back; Envoy returns to it', { streams: this.streams });
      this.#server?.endStreams('The controller is back; ask it.');
    }
    this.#flush();
  }

  /** With nobody to see it, the table is simply brought to the newest state. */
  #flush(): void {
    if (this.streams > 0 || this.#pending.size === 0) return;
    const { upserts, removals } = this.#takePending();
    this.#server?.publish(this.options.fleet, { upserts, removals });
  }

  /** Resolves when the Envoys have what was published, or after a bounded time. */
  async #settled(): Promise<void> {
    const end = performance.now() + STEP_MS;
    const waits = () => this.#server?.streams().some(({ backlog, unanswered }) => backlog + unanswered > 0) ?? false;
    while (!this.#closed && waits() && performance.now() < end) await delay(LOOK_MS);
  }

  #takePending(): { upserts: Resource[]; removals: ResourceName[] } {
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    return {
      upserts: pending.flatMap(({ upsert }) => upsert ?? []),
      removals: pending.flatMap(({ upsert, removal }) => (upsert ? [] : removal)),
    };
  }
}

/** A resource for the table; of a scope it is known which route table it needs, by which a scope can move without a gap. */
function toResource(type: TypeUrl, { name, version, bytes }: HeldResource): Resource {
  // Of one version they look different from different places; here they are told apart by what they say.
  if (type === TYPE.endpoint) return resource(type, name, bytes);
  const route = type === TYPE.scope ? routeOfScope(bytes) : undefined;
  return { type, name, version, bytes, ...(route !== undefined && { needs: [{ type: TYPE.route, name: route }] }) };
}

/**
 * A changed route table with those changed clusters whose names occur in it as what it needs: it then waits until they are
 * warm. That a name may occur by chance costs a wait, never an error; clusters that did not change are warm already.
 */
function withClusters(table: Resource, clusters: readonly Buffer[]): Resource {
  if (table.type !== TYPE.route) return table;
  const bytes = Buffer.from(table.bytes.buffer, table.bytes.byteOffset, table.bytes.byteLength);
  const needs = clusters.filter((name) => bytes.includes(name)).map((name) => name.toString());
  return { ...table, needs: needs.sort().map((name) => ({ type: TYPE.cluster, name })) };
}

/** ScopedRouteConfiguration.route_configuration_name (field 2). */
function routeOfScope(bytes: Uint8Array): string | undefined {
  for (let at = 0; at < bytes.length; ) {
    const tag = bytes[at] as number;
    let length = 0;
    let shift = 0;
    let byte: number;
    do {
      byte = bytes[++at] ?? 0;
      length |= (byte & 127) << shift;
      shift += 7;
    } while (byte > 127 && shift < 32);
    at++;
    if (tag === 0x12) return Buffer.from(bytes.subarray(at, at + length)).toString();
    // Fields of another wire type have their value where a length would stand.
    if ((tag & 7) === 2) at += length;
    else if ((tag & 7) !== 0) return undefined;
  }
  return undefined;
}
