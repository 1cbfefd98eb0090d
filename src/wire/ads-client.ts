import { create, fromBinary, type JsonObject, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { Client, type ClientDuplexStream, status } from '@grpc/grpc-js';
import {
  DeltaDiscoveryRequestSchema,
  DeltaDiscoveryResponseSchema,
} from '../gen/envoy/service/discovery/v3/discovery_pb.js';
import { ADS, KEEPALIVE, MAX_MESSAGE_BYTES } from './ads-service.js';
import { type ChannelSecurity, RenewedClient } from './channel-security.js';
import { type TokenSource, tokenMetadata } from './node-token.js';

export interface AdsSubscription {
  readonly type: string;
  /** All resources of the type; otherwise only names given to `request`. */
  readonly wildcard: boolean;
  /** What is there already, e.g. read from disk: name to version. */
  readonly held?: ReadonlyMap<string, string>;
}

export interface AdsUpdate {
  readonly type: string;
  readonly upserts: readonly { readonly name: string; readonly version: string; readonly bytes: Uint8Array }[];
  readonly removals: readonly string[];
}

export type AdsClientState =
  | { readonly kind: 'connected' }
  /** For every wildcard subscription the server has said on this stream that this is all: what there is, is here. */
  | { readonly kind: 'synced' }
  | { readonly kind: 'disconnected'; readonly reason: string; readonly retryInMs: number };

/** Where a node stands; `''`: not said. */
export interface Locality {
  readonly region: string;
  readonly zone: string;
  readonly subZone: string;
}

export interface AdsClientOptions {
  /** `host:port` of a controller. */
  readonly address: string;
  readonly node: {
    readonly id: string;
    readonly cluster: string;
    readonly metadata?: JsonObject;
    readonly locality?: Locality;
  };
  /** Looked for at each stream; needed for types that hold secrets, unless a certificate names the fleet. */
  readonly token?: TokenSource;
  /** Default: plain text. */
  readonly security?: ChannelSecurity | undefined;
  readonly subscriptions: readonly AdsSubscription[];
  /** Takes an update. If it throws, the update is refused with the message of the error, and what was there stays. */
  onUpdate(update: AdsUpdate): void;
  onState?(state: AdsClientState): void;
}

const FIRST_RETRY_MS = 250;
const LAST_RETRY_MS = 10_000;

/**
 * A delta ADS client that keeps itself connected: after a loss it tries again, first soon, then at growing random intervals
 * up to 10 s, and tells the server what it holds so that only differences come.
 */
export class AdsClient {
  readonly #clients: RenewedClient<Client>;
  readonly #held = new Map<string, Map<string, string>>();
  readonly #asked = new Map<string, Set<string>>();
  /** Wildcard subscriptions whose first delivery on this stream is not complete. */
  readonly #incomplete = new Set<string>();
  #stream: ClientDuplexStream<Buffer, Buffer> | undefined;
  #retry: NodeJS.Timeout | undefined;
  #retryMs = FIRST_RETRY_MS;
  #awayUntil = 0;
  #closed = false;

  private constructor(private readonly options: AdsClientOptions) {
    this.#clients = new RenewedClient(
      options.security,
      (credentials, channel) =>
        new Client(options.address, credentials, {
          ...KEEPALIVE,
          ...channel,
          'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
          'grpc.initial_reconnect_backoff_ms': 100,
          'grpc.max_reconnect_backoff_ms': 5_000,
          'grpc.use_local_subchannel_pool': 1,
        }),
    );
    for (const { type, held } of options.subscriptions) this.#held.set(type, new Map(held));
  }

  /** Begins to connect; returns at once. */
  static start(options: AdsClientOptions): AdsClient {
    const client = new AdsClient(options);
    client.#connect();
    return client;
  }

  /**
   * Asks for names of a subscribed type, now or as soon as there is a connection. The answer comes by `onUpdate`: the
   * resource, or its name among the removals.
   */
  request(type: string, names: readonly string[]): void {
    const asked = this.#asked.get(type) ?? new Set<string>();
    this.#asked.set(type, asked);
    for (const name of names) asked.add(name);
    if (this.#stream) this.#send({ typeUrl: type, resourceNamesSubscribe: [...names] });
  }

  /** Ends the stream and stays away for `ms`, as if no controller answered. */
  cut(ms: number): void {
    this.#awayUntil = performance.now() + ms;
    this.#retryMs = FIRST_RETRY_MS;
    if (this.#stream) {
      this.#stream.cancel();
      return;
    }
    clearTimeout(this.#retry);
    this.#again('cut off on purpose');
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#retry);
    this.#stream?.cancel();
    this.#clients.close();
  }

  #connect(): void {
    const { path, requestSerialize, responseDeserialize } = ADS.delta;
    const metadata = tokenMetadata(this.options.token);
    const stream = this.#clients.get().makeBidiStreamRequest(path, requestSerialize, responseDeserialize, metadata);
    this.#stream = stream;
    this.#incomplete.clear();
    let connected = false;
    let ended = false;
    const end = (reason: string) => {
      if (ended) return;
      ended = true;
      this.#again(reason);
    };
    stream.on('metadata', () => {
      connected = true;
      this.options.onState?.({ kind: 'connected' });
    });
    stream.on('data', (bytes: Buffer) => {
      if (ended || this.#closed) return;
      if (connected) this.#retryMs = FIRST_RETRY_MS;
      try {
        this.#receive(bytes);
      } catch (error) {
        stream.cancel();
        end(`the controller sent what is not a discovery response: ${(error as Error).message}`);
      }
    });
    stream.on('error', (error: Error & { code?: status; details?: string }) => {
      end(`${status[error.code ?? status.UNKNOWN]}: ${error.details ?? error.message}`);
    });
    stream.on('end', () => end('the controller ended the stream'));
    for (const subscription of this.options.subscriptions) this.#subscribe(subscription);
  }

  #subscribe({ type, wildcard }: AdsSubscription): void {
    const names = [...(this.#asked.get(type) ?? [])];
    if (wildcard) this.#incomplete.add(type);
    else if (names.length === 0) return;
    const { id, cluster, metadata, locality } = this.options.node;
    this.#send({
      node: { id, cluster, ...(metadata && { metadata }), ...(locality && { locality }) },
      typeUrl: type,
      resourceNamesSubscribe: wildcard ? ['*', ...names] : names,
      initialResourceVersions: Object.fromEntries(this.#held.get(type) ?? []),
    });
  }

  #receive(bytes: Buffer): void {
    const response = fromBinary(DeltaDiscoveryResponseSchema, bytes);
    const { typeUrl: type, nonce, removedResources: removals } = response;
    const upserts = response.resources.map(({ name, version, resource }) => {
      return { name, version, bytes: resource?.value ?? new Uint8Array() };
    });
    try {
      if (upserts.length + removals.length > 0) this.options.onUpdate({ type, upserts, removals });
    } catch (error) {
      const errorDetail = { code: status.INVALID_ARGUMENT, message: (error as Error).message };
      this.#send({ typeUrl: type, responseNonce: nonce, errorDetail });
      return;
    }
    const held = this.#held.get(type) ?? new Map<string, string>();
    this.#held.set(type, held);
    for (const { name, version } of upserts) held.set(name, version);
    for (const name of removals) {
      held.delete(name);
      this.#asked.get(type)?.delete(name);
    }
    this.#send({ typeUrl: type, responseNonce: nonce });
    // A response without content ends the first delivery of a wildcard subscription.
    const isEnd = upserts.length + removals.length === 0 && this.#incomplete.delete(type);
    if (isEnd && this.#incomplete.size === 0) this.options.onState?.({ kind: 'synced' });
  }

  #send(message: MessageInitShape<typeof DeltaDiscoveryRequestSchema>): void {
    const bytes = toBinary(DeltaDiscoveryRequestSchema, create(DeltaDiscoveryRequestSchema, message));
    this.#stream?.write(Buffer.from(bytes));
  }

  #again(reason: string): void {
    this.#stream = undefined;
    if (this.#closed) return;
    // Random between half and all of the interval, so that the nodes of a fleet do not all come back at once.
    const soonest = this.#awayUntil - performance.now();
    const retryInMs = Math.round(Math.max(this.#retryMs * (0.5 + Math.random() / 2), soonest));
    this.#retryMs = Math.min(this.#retryMs * 2, LAST_RETRY_MS);
    this.options.onState?.({ kind: 'disconnected', reason, retryInMs });
    this.#retry = setTimeout(() => this.#connect(), retryInMs);
  }
}
