import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  Client,
  type ClientDuplexStream,
  credentials as grpcCredentials,
  Metadata,
  type StatusObject,
} from '@grpc/grpc-js';
import { resource, TYPE } from '../../src/core/ads/resource.js';
import {
  DeltaDiscoveryRequestSchema,
  DeltaDiscoveryResponseSchema,
} from '../../src/gen/envoy/service/discovery/v3/discovery_pb.js';
import { AdsServer, type AdsServerOptions, type RefusedPeer } from '../../src/wire/ads-server.js';
import { ADS } from '../../src/wire/ads-service.js';
import { CertificateFiles, type CertificatePaths } from '../../src/wire/certificate-files.js';
import { ChannelSecurity } from '../../src/wire/channel-security.js';
import { Authority, type Issued } from './authority.js';
import { onCleanup } from './cleanup.js';
import { tmpDir } from './tmp.js';
import { until } from './until.js';

// An ADS server that asks who is there, and clients that say it in every way.

export const FLEET = 'acme/prod';
export const OTHER = 'acme/other';
export const KEY = Buffer.alloc(32, 3);
export const SOON = Date.now() + 3_600_000;
export const SERVER_NAMES = ['DNS:controller.test', 'IP:127.0.0.1'];

export const authority = new Authority();
export const stranger = new Authority('another authority');
let folder: string | undefined;

/** A folder of the test file; call it first in a beforeAll. */
export function guardedDir(): string {
  folder ??= tmpDir();
  return folder;
}

/** Files of a certificate; `name` tells them apart. */
export function files(name: string, issued: Issued, ca = authority.certificate): Required<CertificatePaths> {
  const paths = {
    certificate: join(guardedDir(), `${name}.pem`),
    key: join(guardedDir(), `${name}.key`),
    ca: join(guardedDir(), `${name}-ca.pem`),
  };
  writeFileSync(paths.certificate, issued.certificate);
  writeFileSync(paths.key, issued.key);
  writeFileSync(paths.ca, ca);
  return paths;
}

/** Puts another certificate into files that are in use, key first, as people do. */
export function replace(paths: Required<CertificatePaths>, issued: Issued): void {
  for (const part of ['key', 'certificate'] as const) {
    writeFileSync(`${paths[part]}.new`, issued[part]);
    renameSync(`${paths[part]}.new`, paths[part]);
  }
}

export async function open(paths: CertificatePaths): Promise<CertificateFiles> {
  const opened = await CertificateFiles.open(paths, { everyMs: 20 });
  onCleanup(() => opened.close());
  return opened;
}

interface Served {
  readonly server: AdsServer;
  readonly refused: RefusedPeer[];
  readonly paths: Required<CertificatePaths>;
}

export async function serve(
  options: Partial<AdsServerOptions> = {},
  tls: { demand?: boolean; plainPort?: number } | false = {},
) {
  const refused: RefusedPeer[] = [];
  const paths = files(`server-${Math.random()}`, authority.issue({ name: 'controller', alternatives: SERVER_NAMES }));
  const server = await AdsServer.start({
    host: '127.0.0.1',
    port: 0,
    nodeToken: 'shared',
    tokenKey: KEY,
    onRefused: (peer) => refused.push(peer),
    ...(tls && { tls: { certificates: await open(paths), demand: true, ...tls } }),
    ...options,
  });
  onCleanup(() => server.close());
  const upserts = [resource(TYPE.policy, 'p', Buffer.from('p')), resource(TYPE.app, 'a', Buffer.from('a'))];
  for (const fleet of [FLEET, OTHER]) server.publish(fleet, { upserts, removals: [] });
  return { server, refused, paths } satisfies Served;
}

export async function security(issued?: Issued, ca = authority.certificate): Promise<ChannelSecurity> {
  const paths = files(`client-${Math.random()}`, issued ?? authority.issue({ name: 'nobody' }), ca);
  return new ChannelSecurity(await open(issued ? paths : { ca: paths.ca }), 'controller.test');
}

interface Asked {
  readonly call: ClientDuplexStream<Buffer, Buffer>;
  /** Of the resources it was given. */
  readonly names: string[];
  ended: StatusObject | undefined;
}

interface Asking {
  readonly security?: ChannelSecurity;
  readonly token?: string;
  readonly fleet?: string;
  readonly node?: string;
  readonly beside?: string;
  readonly type?: string;
}

/** Opens a stream and says who it is; resolves with the first resources or the end. */
export async function ask(port: number, asking: Asking): Promise<Asked> {
  const client = new Client(`127.0.0.1:${port}`, asking.security?.credentials ?? grpcCredentials.createInsecure(), {
    ...asking.security?.options,
    'grpc.use_local_subchannel_pool': 1,
  });
  onCleanup(() => client.close());
  const metadata = new Metadata();
  if (asking.token !== undefined) metadata.set('authorization', `Bearer ${asking.token}`);
  const { path, requestSerialize, responseDeserialize } = ADS.delta;
  const call = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, metadata);
  const asked: Asked = { call, names: [], ended: undefined };
  call.on('data', (bytes: Buffer) => {
    asked.names.push(...fromBinary(DeltaDiscoveryResponseSchema, bytes).resources.map(({ name }) => name));
  });
  call.on('error', () => {});
  call.on('status', (ended) => {
    asked.ended = ended;
  });
  const { beside, fleet = FLEET, node = 'gw-1', type = TYPE.policy } = asking;
  const message = create(DeltaDiscoveryRequestSchema, {
    node: { id: node, cluster: fleet, ...(beside !== undefined && { metadata: { role: 'edge', node: beside } }) },
    typeUrl: type,
    resourceNamesSubscribe: ['*'],
  });
  call.write(Buffer.from(toBinary(DeltaDiscoveryRequestSchema, message)));
  await until(() => asked.names.length > 0 || asked.ended, { what: 'an answer' });
  return asked;
}
