import { Server, ServerCredentials, type ServerDuplexStream, status } from '@grpc/grpc-js';
import type { Quarantined } from '../core/ads/quarantine.js';
import type { Resource, TableDelta } from '../core/ads/resource.js';
import type { ResourceStatus } from '../core/ads/session.js';
import type { EffectiveChange } from '../core/ads/table.js';
import { type Greeting, greetingOf } from './ads-codec.js';
import type { AdsEvent, NodeStream, StreamInfo } from './ads-events.js';
import { Fleet } from './ads-fleet.js';
import { ADS, type AdsHandlers, KEEPALIVE, MAX_MESSAGE_BYTES } from './ads-service.js';
import { AdsStream } from './ads-stream.js';
import type { CertificateFiles } from './certificate-files.js';
import { type Presented, type ProofRules, presentedBy } from './proof.js';
import { refusal } from './refusal.js';
import { TlsListener } from './tls-listener.js';

/** Nodes that prove who they are may have types that hold secrets; without rules nobody may. */
export interface AdsServerOptions extends ProofRules {
  /** Address to listen on, or `unix:` and the path of a socket. */
  readonly host: string;
  /** 0 = any free port; means nothing for a socket. */
  readonly port: number;
  /** Default: plain text. */
  readonly tls?: TlsOptions;
  /** How often a connection is pinged, in ms; default as in {@link KEEPALIVE}. */
  readonly keepaliveMs?: number;
  onEvent?(event: AdsEvent): void;
  /** Told of each connection and stream that is refused for lack of proof, or for claiming more than it proves. */
  onRefused?(refused: RefusedPeer): void;
  /** Told of each change of a fleet before any stream is. Must return soon: all streams wait. */
  onPublish?(fleet: string, change: EffectiveChange, release: number | undefined): void;
  /**
   * Asked for each new stream once its first request is here, which waits; a text refuses it with UNAVAILABLE.
   * Nothing of the greeting is proved. Default: all are let in.
   */
  admit?(greeting: Greeting): Promise<string | undefined>;
  /** Adds further services to the same port. */
  readonly services?: (server: Server) => void;
}

export interface TlsOptions {
  /** Of this server; with a CA, clients are asked for certificates. */
  readonly certificates: CertificateFiles;
  /** Whether a client without one is refused. */
  readonly demand: boolean;
  /** A port on the same host that speaks plain text, for as long as nodes are moved. 0 = any free one. */
  readonly plainPort?: number | undefined;
}

/** Somebody who was not let in. */
export interface RefusedPeer {
  readonly peer: string;
  /** `handshake`: the connection was. */
  readonly at: 'handshake' | 'unauthenticated' | 'denied';
  /** Who it says that it is, if it got so far. Made up by the peer: of any length and content. */
  readonly node?: string;
  readonly fleet?: string;
  readonly message: string;
}

/** How often held changes are looked at, in ms; bounds by time are as fine as this. */
const TICK_MS = 250;
/** How long streams may take to end at a shut-down, in ms. */
const CLOSE_MS = 2_000;

/**
 * The ADS server, delta and state of the world (envoy.service.discovery.v3.AggregatedDiscoveryService). A node belongs to
 * the fleet that its node.cluster names. A fleet exists from its first `publish`, which must be its whole state; until then
 * its nodes are refused with NOT_FOUND and try again, so no node is ever told of an empty fleet that is only being loaded.
 */
export class AdsServer {
  readonly #fleets = new Map<string, Fleet>();
  readonly #streams = new Set<AdsStream>();
  readonly #timer: NodeJS.Timeout;
  #streamIds = 0;
  #closing: Promise<void> | undefined;

  private constructor(
    private readonly server: Server,
    readonly port: number,
    /** The port that speaks plain text beside one that speaks TLS. */
    readonly plainPort: number | undefined,
    private readonly listener: TlsListener | undefined,
    private readonly options: AdsServerOptions,
  ) {
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
    this.#timer.unref();
  }

  /** Resolves when it listens. Rejects when the port is taken, naming it. */
  static async start(options: AdsServerOptions): Promise<AdsServer> {
    const server = new Server({
      ...KEEPALIVE,
      ...(options.keepaliveMs !== undefined && { 'grpc.keepalive_time_ms': options.keepaliveMs }),
      'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
      'grpc.max_send_message_length': -1,
      'grpc.enable_channelz': 0,
    });
    let ads: AdsServer | undefined;
    const handlers: AdsHandlers = {
      delta: (call) => accept(call, 'delta'),
      sotw: (call) => accept(call, 'sotw'),
    };
    const accept = (call: ServerDuplexStream<Buffer, Buffer>, kind: 'delta' | 'sotw') => {
      if (ads) ads.#accept(call, kind);
      else call.emit('error', refusal(status.UNAVAILABLE, 'The server is starting.'));
    };
    server.addService(ADS, handlers);
    options.services?.(server);
    const { tls, host, port } = options;
    if (tls === undefined) {
      ads = new AdsServer(server, await listenPlain(server, host, port), undefined, undefined, options);
      return ads;
    }
    const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
    const listener = await TlsListener.start({
      host,
      port,
      ...tls,
      onConnection: (socket) => injector.injectConnection(socket),
      onRefused: (peer, message) => options.onRefused?.({ peer, at: 'handshake', message }),
    }).catch((error: Error) => {
      throw new Error(`ADS cannot listen on ${addressOf(host, port)}: ${error.message}`, { cause: error });
    });
    try {
      const plain = tls.plainPort === undefined ? undefined : await listenPlain(server, host, tls.plainPort);
      ads = new AdsServer(server, listener.port, plain, listener, options);
    } catch (error) {
      listener.close();
      throw error;
    }
    return ads;
  }

  /** Streams of a fleet, by the number their events bear. */
  nodeStreams(fleetKey: string): NodeStream[] {
    return [...(this.#fleets.get(fleetKey)?.streams ?? [])];
  }

  /** Everything the nodes of a fleet should have of a type. */
  desired(fleetKey: string, type: string): Iterable<Resource> {
    return this.#fleets.get(fleetKey)?.table.list(type) ?? [];
  }

  /**
   * Changes what the nodes of a fleet should have, and sends it. Costs the delta times the streams of the fleet. Returns
   * what really changed; resources whose version is in force are not sent.
   */
  publish(fleetKey: string, delta: TableDelta, meta?: { readonly release?: number }): EffectiveChange {
    let fleet = this.#fleets.get(fleetKey);
    if (!fleet) {
      fleet = new Fleet(fleetKey);
      this.#fleets.set(fleetKey, fleet);
    }
    return fleet.publish(delta, meta?.release, (change) => this.options.onPublish?.(fleetKey, change, meta?.release));
  }

  /** Forgets a fleet and ends its streams; its nodes keep what they have. */
  removeFleet(key: string): void {
    const fleet = this.#fleets.get(key);
    this.#fleets.delete(key);
    for (const stream of fleet?.streams ?? [])
      stream.fail(status.NOT_FOUND, `Fleet "${key}" was removed. The node keeps its last configuration.`);
  }

  /** Ends all streams with UNAVAILABLE; nodes keep what they have and try again, here or elsewhere. */
  endStreams(message: string): void {
    for (const stream of this.#streams) stream.fail(status.UNAVAILABLE, message);
  }

  fleetKeys(): string[] {
    return [...this.#fleets.keys()];
  }

  /** Streams that have named their node. */
  streams(): StreamInfo[] {
    return [...this.#streams].map((stream) => stream.info()).filter((info) => info !== undefined);
  }

  /** What a node refused last under a name, unless it has accepted something since. */
  refusedBy(fleetKey: string, node: string, type: string, name: string): Quarantined | undefined {
    return this.#fleets.get(fleetKey)?.quarantine.at(node).get(type, name);
  }

  /** What nodes of a fleet refused and is held back from them. */
  heldBack(fleetKey: string): Quarantined[] {
    return this.#fleets.get(fleetKey)?.heldBack() ?? [];
  }

  /** Where one resource stands at each node of a fleet. */
  resourceStatus(
    fleetKey: string,
    type: string,
    name: string,
  ): { node: string; stream: number; status: ResourceStatus }[] {
    const found: { node: string; stream: number; status: ResourceStatus }[] = [];
    for (const stream of this.#fleets.get(fleetKey)?.streams ?? []) {
      const info = stream.info();
      const status = stream.status(type, name);
      if (info && status) found.push({ node: info.node, stream: info.stream, status });
    }
    return found;
  }

  /** Ends all streams with UNAVAILABLE and stops listening; within about 2 s even if clients do not cooperate. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    clearInterval(this.#timer);
    this.listener?.close();
    this.endStreams('The server is shutting down.');
    let timer: NodeJS.Timeout | undefined;
    const bound = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, CLOSE_MS);
    });
    await Promise.race([new Promise<void>((resolve) => this.server.tryShutdown(() => resolve())), bound]);
    clearTimeout(timer);
    this.server.forceShutdown();
    this.listener?.destroy();
  }

  #accept(call: ServerDuplexStream<Buffer, Buffer>, kind: 'delta' | 'sotw'): void {
    const presented = presentedBy(call, this.options);
    if ('refusal' in presented) {
      call.emit('error', presented.refusal);
      this.#refused({ peer: call.getPeer(), at: 'unauthenticated', message: presented.refusal.details });
      return;
    }
    const { admit } = this.options;
    if (!admit) {
      this.#open(call, kind, presented);
      return;
    }
    const refuse = (details: string) => call.emit('error', refusal(status.UNAVAILABLE, details));
    // A client that goes without a word is let go.
    const unheard = () => call.end();
    call.once('end', unheard);
    call.once('data', (first: Buffer) => {
      call.off('end', unheard);
      call.pause();
      admit(greetingOf(first, kind)).then(
        (reason) => {
          if (call.cancelled) return;
          if (reason !== undefined) {
            refuse(reason);
            return;
          }
          call.unshift(first);
          this.#open(call, kind, presented);
          call.resume();
        },
        (error: unknown) => refuse(String(error)),
      );
    });
  }

  #open(call: ServerDuplexStream<Buffer, Buffer>, kind: 'delta' | 'sotw', presented: Presented): void {
    const stream = new AdsStream(call, kind, {
      id: ++this.#streamIds,
      presented,
      fleet: (key) => this.#fleets.get(key),
      onEvent: (event) => this.options.onEvent?.(event),
      onDenied: (claim, message) =>
        this.#refused({ peer: call.getPeer(), at: 'denied', fleet: claim.fleet, node: claim.node, message }),
      onClosed: (closed) => this.#streams.delete(closed),
    });
    this.#streams.add(stream);
  }

  #refused(refused: RefusedPeer): void {
    this.options.onRefused?.(refused);
    const { peer } = refused;
    // Anybody can be refused, as often as he likes: it must cost next to nothing.
    if (!this.listener) return;
    for (const stream of this.#streams) if (stream.admittedPeer === peer) return;
    this.listener.drop(peer);
  }

  #tick(): void {
    const now = performance.now();
    for (const stream of this.#streams) stream.tick(now);
  }
}

/** Binds plain text; resolves to the port. */
function listenPlain(server: Server, host: string, port: number): Promise<number> {
  const address = addressOf(host, port);
  return new Promise<number>((resolve, reject) => {
    server.bindAsync(address, ServerCredentials.createInsecure(), (error, bound) => {
      if (error) reject(new Error(`ADS cannot listen on ${address}: ${error.message}`, { cause: error }));
      else resolve(bound);
    });
  });
}

function addressOf(host: string, port: number): string {
  if (host.startsWith('unix:')) return host;
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
