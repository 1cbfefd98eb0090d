import type { handleBidiStreamingCall, ServiceDefinition, UntypedServiceImplementation } from '@grpc/grpc-js';

const SERVICE = '/envoy.service.discovery.v3.AggregatedDiscoveryService';

/** A bidirectional method whose messages stay bytes: decoded where a fault can be answered, encoded by hand. */
function method(name: string) {
  const asIs = (bytes: Buffer) => bytes;
  return {
    path: `${SERVICE}/${name}`,
    requestStream: true,
    responseStream: true,
    requestSerialize: asIs,
    requestDeserialize: asIs,
    responseSerialize: asIs,
    responseDeserialize: asIs,
  } as const;
}

/** AggregatedDiscoveryService over raw bytes, for server and client. */
export const ADS = {
  delta: method('DeltaAggregatedResources'),
  sotw: method('StreamAggregatedResources'),
} as const satisfies ServiceDefinition;

export interface AdsHandlers extends UntypedServiceImplementation {
  delta: handleBidiStreamingCall<Buffer, Buffer>;
  sotw: handleBidiStreamingCall<Buffer, Buffer>;
}

/** Largest message taken: a node with 60 000 names in `initial_resource_versions` sends some 5 MB, past gRPC's default of 4. */
export const MAX_MESSAGE_BYTES = 64 << 20;

/** Pings that find a peer that is gone without a word, in both directions. */
export const KEEPALIVE = {
  'grpc.keepalive_time_ms': 30_000,
  'grpc.keepalive_timeout_ms': 10_000,
  'grpc.keepalive_permit_without_calls': 1,
} as const;
