import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { Server, ServerCredentials, type ServerUnaryCall, type sendUnaryData } from '@grpc/grpc-js';
import {
  type CheckRequest,
  CheckRequestSchema,
  type CheckResponse,
  CheckResponseSchema,
} from '../../src/gen/envoy/service/auth/v3/external_auth_pb.js';
import { onCleanup } from './cleanup.js';

/** What an authorization service answers Envoy. */
export type CheckAnswer = MessageInitShape<typeof CheckResponseSchema>;

/**
 * An ext_authz service on the Unix socket `path` that answers as told: it is there to see how Envoy, programmed by the
 * compiler, asks and what Envoy makes of every kind of answer. Stopped when the test (or the file) ends.
 */
export async function startAuthzPeer(
  path: string,
  answer: (request: CheckRequest) => CheckAnswer,
): Promise<{ readonly requests: readonly CheckRequest[] }> {
  const requests: CheckRequest[] = [];
  const server = new Server();
  const check = {
    path: '/envoy.service.auth.v3.Authorization/Check',
    requestStream: false,
    responseStream: false,
    requestDeserialize: (bytes: Buffer) => fromBinary(CheckRequestSchema, bytes),
    requestSerialize: (request: CheckRequest) => Buffer.from(toBinary(CheckRequestSchema, request)),
    responseDeserialize: (bytes: Buffer) => fromBinary(CheckResponseSchema, bytes),
    responseSerialize: (response: CheckResponse) => Buffer.from(toBinary(CheckResponseSchema, response)),
  };
  server.addService(
    { check },
    {
      check: (call: ServerUnaryCall<CheckRequest, CheckResponse>, done: sendUnaryData<CheckResponse>) => {
        requests.push(call.request);
        done(null, create(CheckResponseSchema, answer(call.request)));
      },
    },
  );
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${path}`, ServerCredentials.createInsecure(), (error) =>
      error ? reject(error) : resolve(),
    );
  });
  onCleanup(() => server.forceShutdown());
  return { requests };
}
