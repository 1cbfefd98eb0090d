import { type ClientHttp2Session, type ClientHttp2Stream, connect } from 'node:http2';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  DeltaDiscoveryRequestSchema,
  DeltaDiscoveryResponseSchema,
  DiscoveryRequestSchema,
  DiscoveryResponseSchema,
} from '../../src/gen/envoy/service/discovery/v3/discovery_pb.js';
import { ADS } from '../../src/wire/ads-service.js';
import { onCleanup } from '../support/cleanup.js';
import type { Variant } from './xds-client.js';

/** An ADS stream on HTTP/2 itself, to see and send what a gRPC library keeps to itself: pings and GOAWAY. */
export class RawStream {
  /** Content of the responses, as text. */
  readonly texts: string[] = [];
  /** Pings of the server; HTTP/2 answers them by itself. */
  pings = 0;
  goneAway = false;
  closed = false;
  readonly #session: ClientHttp2Session;
  readonly #stream: ClientHttp2Stream;
  #received = Buffer.alloc(0);

  constructor(
    port: number,
    private readonly variant: Variant,
    private readonly node: { id: string; cluster: string },
  ) {
    this.#session = connect(`http://127.0.0.1:${port}`);
    this.#session.on('ping', () => this.pings++);
    this.#session.on('goaway', () => {
      this.goneAway = true;
    });
    this.#session.on('error', () => {}); // told by `closed`
    this.#stream = this.#session.request({
      ':method': 'POST',
      ':path': ADS[variant].path,
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    this.#stream.on('data', (bytes: Buffer) => this.#receive(bytes));
    for (const event of ['close', 'error']) {
      this.#stream.on(event, () => {
        this.closed = true;
      });
    }
    onCleanup(() => this.#session.destroy());
  }

  /** Asks for everything of a type. */
  ask(typeUrl: string): void {
    const request = { node: this.node, typeUrl };
    const message =
      this.variant === 'delta'
        ? toBinary(DeltaDiscoveryRequestSchema, create(DeltaDiscoveryRequestSchema, request))
        : toBinary(DiscoveryRequestSchema, create(DiscoveryRequestSchema, request));
    const head = Buffer.alloc(5); // gRPC over HTTP/2: not compressed, then the length
    head.writeUInt32BE(message.length, 1);
    this.#stream.write(Buffer.concat([head, message]));
  }

  /** Sends a ping; rejects when it is not acknowledged. */
  ping(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#session.ping((error) => (error ? reject(error) : resolve()));
    });
  }

  #receive(bytes: Buffer): void {
    this.#received = Buffer.concat([this.#received, bytes]);
    while (this.#received.length >= 5) {
      const end = 5 + this.#received.readUInt32BE(1);
      if (this.#received.length < end) return;
      this.#tell(this.#received.subarray(5, end));
      this.#received = this.#received.subarray(end);
    }
  }

  #tell(message: Uint8Array): void {
    const resources =
      this.variant === 'delta'
        ? fromBinary(DeltaDiscoveryResponseSchema, message).resources.map(({ resource }) => resource?.value)
        : fromBinary(DiscoveryResponseSchema, message).resources.map(({ value }) => value);
    for (const value of resources) this.texts.push(Buffer.from(value ?? []).toString());
  }
}
