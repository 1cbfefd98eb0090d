import { Server, ServerCredentials, type ServiceDefinition } from '@grpc/grpc-js';
import { onCleanup } from './cleanup.js';

const raw = (bytes: Buffer): Buffer => bytes;

/** One method, `/test.Who/Am`, whose messages are bytes: it answers the name of the server. */
export const WHO = {
  am: {
    path: '/test.Who/Am',
    requestStream: false,
    responseStream: false,
    requestSerialize: raw,
    requestDeserialize: raw,
    responseSerialize: raw,
    responseDeserialize: raw,
  },
} as const satisfies ServiceDefinition;

/** A real gRPC server. */
export interface GrpcService {
  readonly name: string;
  readonly port: number;
  /** Calls answered so far. */
  readonly calls: () => number;
  /** Ends at once, connections and all, as when its process dies. */
  kill(): void;
}

/** Starts a server on loopback that answers `name`, on a free port unless one is given; ended with the test. */
export async function grpcService(name: string, port = 0): Promise<GrpcService> {
  const server = new Server();
  let calls = 0;
  server.addService(WHO, {
    am: (_: unknown, answer: (error: null, bytes: Buffer) => void) => {
      calls++;
      answer(null, Buffer.from(name));
    },
  });
  const bound = await new Promise<number>((resolve, reject) => {
    const credentials = ServerCredentials.createInsecure();
    server.bindAsync(`127.0.0.1:${port}`, credentials, (error, own) => (error ? reject(error) : resolve(own)));
  });
  const kill = () => server.forceShutdown();
  onCleanup(kill);
  return { name, port: bound, calls: () => calls, kill };
}
