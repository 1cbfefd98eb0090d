// Many delta xDS clients in one process, each with a connection of its own. They take everything, keep nothing but counts and
// acknowledge at once: what they cost must not be what is measured.
import { create, toBinary } from '@bufbuild/protobuf';
import { Client, credentials } from '@grpc/grpc-js';
import { TYPE } from '../../../src/core/ads/resource.js';
import { DeltaDiscoveryRequestSchema } from '../../../src/gen/envoy/service/discovery/v3/discovery_pb.js';
import { ADS } from '../../../src/wire/ads-service.js';

export interface Fan {
  readonly address: string;
  readonly fleet: string;
  readonly clients: number;
  /** Route tables that each client must have to be ready. */
  readonly tables: number;
}
export type FanReport =
  | { readonly kind: 'ready'; readonly bytes: number }
  | { readonly kind: 'lost'; readonly reason: string };

const TYPES = [TYPE.cluster, TYPE.endpoint, TYPE.listener, TYPE.route, TYPE.scope];
/** Streams that take their first state at the same time. */
const AT_A_TIME = 25;

function request(init: Parameters<typeof create<typeof DeltaDiscoveryRequestSchema>>[1]): Buffer {
  return Buffer.from(toBinary(DeltaDiscoveryRequestSchema, create(DeltaDiscoveryRequestSchema, init)));
}

/** What a client must know of a DeltaDiscoveryResponse: its type, its nonce and how many resources it holds. */
function skim(bytes: Buffer): { type: string; nonce: string; resources: number } {
  const found = { type: '', nonce: '', resources: 0 };
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++] as number;
      value |= (byte & 127) << shift;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const field = varint() >>> 3;
    const length = varint();
    if (field === 2) found.resources++;
    else if (field === 4) found.type = bytes.toString('utf8', at, at + length);
    else if (field === 5) found.nonce = bytes.toString('utf8', at, at + length);
    at += length;
  }
  return found;
}

let bytes = 0;

/** Resolves when the client has so many route tables. */
function open({ address, fleet, tables }: Fan, n: number): Promise<void> {
  return new Promise((resolve) => {
    const client = new Client(address, credentials.createInsecure(), {
      'grpc.use_local_subchannel_pool': 1,
      'grpc.max_receive_message_length': -1,
    });
    const { path, requestSerialize, responseDeserialize } = ADS.delta;
    const stream = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
    let have = 0;
    stream.on('error', (error) => tell({ kind: 'lost', reason: error.message }));
    stream.on('data', (message: Buffer) => {
      bytes += message.length;
      const { type, nonce, resources } = skim(message);
      stream.write(request({ typeUrl: type, responseNonce: nonce }));
      if (type === TYPE.route && have < tables) {
        have += resources;
        if (have >= tables) resolve();
      }
    });
    for (const [i, typeUrl] of TYPES.entries()) {
      const node = i === 0 ? { node: { id: `client-${n}`, cluster: fleet } } : {};
      stream.write(request({ ...node, typeUrl, resourceNamesSubscribe: ['*'] }));
    }
  });
}

function tell(report: FanReport): void {
  process.send?.(report);
}

process.on('disconnect', () => process.exit());
process.on('message', async (fan: Fan) => {
  for (let n = 0; n < fan.clients; n += AT_A_TIME) {
    const some = Array.from({ length: Math.min(AT_A_TIME, fan.clients - n) }, (_, i) => open(fan, n + i));
    await Promise.all(some);
  }
  tell({ kind: 'ready', bytes });
});
