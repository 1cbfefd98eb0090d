import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { Client, type ClientDuplexStream, credentials, Metadata, type StatusObject } from '@grpc/grpc-js';
import {
  DeltaDiscoveryRequestSchema,
  DeltaDiscoveryResponseSchema,
  DiscoveryRequestSchema,
  DiscoveryResponseSchema,
} from '../../src/gen/envoy/service/discovery/v3/discovery_pb.js';
import { ADS } from '../../src/wire/ads-service.js';
import { onCleanup } from '../support/cleanup.js';

export type Variant = 'delta' | 'sotw';

/** A response of either variant. */
export interface Response {
  readonly type: string;
  readonly nonce: string;
  /** State of the world only. */
  readonly version: string;
  /** In order; delta: with version. State of the world: names are read out of the messages by the rows that need them. */
  readonly resources: readonly {
    readonly name: string;
    readonly version: string;
    readonly type: string;
    readonly text: string;
  }[];
  readonly removed: readonly string[];
}

/** One request of either variant; what a variant lacks is left out of it. */
export interface Request {
  readonly type?: string;
  /** State of the world: all names wanted. Delta: names to subscribe. */
  readonly names?: readonly string[];
  readonly unsubscribe?: readonly string[];
  readonly initial?: Readonly<Record<string, string>>;
  readonly nonce?: string;
  readonly version?: string;
  readonly error?: string;
  /** null = no node; default: in the first request. */
  readonly node?: { id: string; cluster: string } | null;
}

/** How long an answer may take, in ms. */
const PATIENCE_MS = 5_000;

/** A plain gRPC client of the ADS server, without any logic of its own. */
export class XdsClient {
  readonly responses: Response[] = [];
  /** How the stream ended; undefined while it lives. */
  ended: StatusObject | undefined;
  readonly #client: Client;
  readonly call: ClientDuplexStream<Buffer, Buffer>;
  #waiting: (() => void)[] = [];
  #first = true;

  constructor(
    port: number,
    readonly variant: Variant,
    readonly node: { id: string; cluster: string },
    options: { token?: string; paused?: boolean } = {},
  ) {
    this.#client = new Client(`127.0.0.1:${port}`, credentials.createInsecure(), {
      'grpc.use_local_subchannel_pool': 1,
    });
    const { path, requestSerialize, responseDeserialize } = ADS[variant];
    const metadata = new Metadata();
    if (options.token !== undefined) metadata.set('authorization', `Bearer ${options.token}`);
    this.call = this.#client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, metadata);
    if (!options.paused) this.read();
    this.call.on('error', () => {}); // told by status
    this.call.on('status', (status) => {
      this.ended = status;
      this.#wake();
    });
    onCleanup(() => this.close());
  }

  /** Begins to read; only needed of a client that was made paused. */
  read(): void {
    this.call.on('data', (bytes: Buffer) => {
      this.responses.push(this.variant === 'delta' ? readDelta(bytes) : readSotw(bytes));
      this.#wake();
    });
  }

  send(request: Request): void {
    const node = request.node === null ? undefined : (request.node ?? (this.#first ? this.node : undefined));
    this.#first = false;
    const common = {
      ...(node && { node }),
      typeUrl: request.type ?? '',
      responseNonce: request.nonce ?? '',
      ...(request.error !== undefined && { errorDetail: { code: 3, message: request.error } }),
    };
    this.raw(
      this.variant === 'delta'
        ? toBinary(
            DeltaDiscoveryRequestSchema,
            create(DeltaDiscoveryRequestSchema, {
              ...common,
              resourceNamesSubscribe: [...(request.names ?? [])],
              resourceNamesUnsubscribe: [...(request.unsubscribe ?? [])],
              initialResourceVersions: { ...request.initial },
            }),
          )
        : toBinary(
            DiscoveryRequestSchema,
            create(DiscoveryRequestSchema, {
              ...common,
              versionInfo: request.version ?? '',
              resourceNames: [...(request.names ?? [])],
            }),
          ),
    );
  }

  raw(bytes: Uint8Array): void {
    this.call.write(Buffer.from(bytes));
  }

  /** Acknowledges. State of the world: `names` as they are wanted. */
  ack(response: Response, names: readonly string[] = []): void {
    const { type, nonce, version } = response;
    this.send({ type, nonce, version, ...(this.variant === 'sotw' && { names }) });
  }

  /** Refuses. */
  nack(response: Response, error: string, names: readonly string[] = []): void {
    const { type, nonce } = response;
    this.send({ type, nonce, error, ...(this.variant === 'sotw' && { names }) });
  }

  /** The oldest response not yet taken; rejects when none comes in time. */
  async next(type?: string): Promise<Response> {
    await this.until(() => this.responses.length > 0, `a response of ${type ?? 'any type'}`);
    const response = this.responses.shift() as Response;
    if (type !== undefined && response.type !== type)
      throw new Error(`expected ${type}, got ${JSON.stringify(response)}`);
    return response;
  }

  /** Resolves when `condition` holds, looking whenever something arrives. */
  async until(condition: () => boolean, what: string): Promise<void> {
    const deadline = Date.now() + PATIENCE_MS;
    while (!condition()) {
      const left = deadline - Date.now();
      if (left <= 0) throw new Error(`${what} did not come; stream: ${JSON.stringify(this.ended) ?? 'open'}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#waiting.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  /** How the stream ended. */
  async end(): Promise<StatusObject> {
    await this.until(() => this.ended !== undefined, 'the end of the stream');
    return this.ended as StatusObject;
  }

  close(): void {
    this.call.cancel();
    this.#client.close();
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }
}

function readDelta(bytes: Buffer): Response {
  const message = fromBinary(DeltaDiscoveryResponseSchema, bytes);
  const resources = message.resources.map(({ name, version, resource }) => {
    return { name, version, type: resource?.typeUrl ?? '', text: Buffer.from(resource?.value ?? []).toString() };
  });
  return { type: message.typeUrl, nonce: message.nonce, version: '', resources, removed: message.removedResources };
}

function readSotw(bytes: Buffer): Response {
  const message = fromBinary(DiscoveryResponseSchema, bytes);
  const resources = message.resources.map(({ typeUrl, value }) => {
    const text = Buffer.from(value).toString();
    return { name: text.split(' ')[0] ?? '', version: '', type: typeUrl, text };
  });
  return { type: message.typeUrl, nonce: message.nonce, version: message.versionInfo, resources, removed: [] };
}
