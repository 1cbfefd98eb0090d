import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import {
  Client,
  type Server,
  type ServerReadableStream,
  type ServiceDefinition,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import { denial } from '../core/ads/identity.js';
import {
  type ShipRequest,
  ShipRequestSchema,
  type ShipResponse,
  ShipResponseSchema,
} from '../gen/paifang/v1/log_pb.js';
import { KEEPALIVE, MAX_MESSAGE_BYTES } from './ads-service.js';
import { type ChannelSecurity, RenewedClient } from './channel-security.js';
import { type TokenSource, tokenMetadata } from './node-token.js';
import { type ProofRules, presentedBy } from './proof.js';
import { refusal } from './refusal.js';

/** Stores one batch; resolves when its lines are safe. A batch may come again. */
export type Collect = (batch: ShipRequest) => Promise<MessageInitShape<typeof ShipResponseSchema>>;

/** How long a sender waits for a batch to be stored, in ms, before it tries again. */
const SHIP_TIMEOUT_MS = 30_000;

export const LOG_COLLECTOR = {
  ship: {
    path: '/paifang.v1.LogCollector/Ship',
    // One message, which to a server is a stream of one: so it can tell who calls before it takes up to the largest message from him.
    requestStream: true,
    responseStream: false,
    requestSerialize: (message: ShipRequest) => Buffer.from(toBinary(ShipRequestSchema, message)),
    requestDeserialize: (bytes: Buffer) => fromBinary(ShipRequestSchema, bytes),
    responseSerialize: (message: ShipResponse) => Buffer.from(toBinary(ShipResponseSchema, message)),
    responseDeserialize: (bytes: Buffer) => fromBinary(ShipResponseSchema, bytes),
  },
} as const satisfies ServiceDefinition;

/**
 * Adds paifang.v1.LogCollector to a server. Only callers that prove who they are are heard, and only for the node and fleet the
 * proof is for; nothing is read from others. A failing `collect` answers UNAVAILABLE, and the sender keeps its lines.
 */
export function addLogService(server: Server, { collect, ...rules }: { readonly collect: Collect } & ProofRules): void {
  server.addService(LOG_COLLECTOR, {
    ship: (call: ServerReadableStream<ShipRequest, ShipResponse>, callback: sendUnaryData<ShipResponse>) => {
      const refuse = (code: status, details: string) => callback(refusal(code, details));
      const presented = presentedBy(call, rules);
      if ('refusal' in presented) return callback(presented.refusal);
      if (!presented.authorised)
        return refuse(
          status.UNAUTHENTICATED,
          'Shipping access logs needs a client certificate that names the fleet, or the node token as "authorization: Bearer <token>" metadata.',
        );
      const nothing = () => refuse(status.INVALID_ARGUMENT, 'The call carries no batch.');
      call.once('end', nothing);
      call.once('data', (batch: ShipRequest) => {
        call.off('end', nothing);
        const { node, cluster: fleet } = batch;
        const denied = denial(presented.proofs, { fleet, node });
        if (denied !== undefined) return refuse(status.PERMISSION_DENIED, denied);
        collect(batch).then(
          (response) => callback(null, create(ShipResponseSchema, response)),
          (error: Error) => refuse(status.UNAVAILABLE, error.message),
        );
      });
    },
  });
}

export interface LogClient {
  /** Resolves when the batch is stored; rejects when that is not known, then it is to be sent again. */
  ship(batch: MessageInitShape<typeof ShipRequestSchema>): Promise<ShipResponse>;
  close(): void;
}

/**
 * A client of the LogCollector at `address` (`host:port`). Connects at the first batch, and again after a loss. Without
 * `security` it speaks plain text.
 */
export function createLogClient(address: string, token: TokenSource, security?: ChannelSecurity): LogClient {
  const clients = new RenewedClient(
    security,
    (credentials, options) =>
      new Client(address, credentials, {
        ...KEEPALIVE,
        ...options,
        'grpc.max_send_message_length': MAX_MESSAGE_BYTES,
        'grpc.initial_reconnect_backoff_ms': 100,
        'grpc.max_reconnect_backoff_ms': 5_000,
      }),
  );
  const { path, requestSerialize, responseDeserialize } = LOG_COLLECTOR.ship;
  return {
    ship: (batch) =>
      new Promise((resolve, reject) => {
        const request = create(ShipRequestSchema, batch);
        const deadline = Date.now() + SHIP_TIMEOUT_MS;
        const metadata = tokenMetadata(token);
        clients
          .get()
          .makeUnaryRequest(
            path,
            requestSerialize,
            responseDeserialize,
            request,
            metadata,
            { deadline },
            (error, response) => {
              if (response) resolve(response);
              else reject(error ?? new Error('The collector gave no answer.'));
            },
          );
      }),
    close: () => clients.close(),
  };
}
