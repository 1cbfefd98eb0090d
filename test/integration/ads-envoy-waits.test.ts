import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { expect, it } from 'vitest';
import { type Resource, resource, TYPE } from '../../src/core/ads/resource.js';
import { any } from '../../src/core/xds/any.js';
import { ADS_SOURCE } from '../../src/core/xds/config-source.js';
import { ClusterSchema } from '../../src/gen/envoy/config/cluster/v3/cluster_pb.js';
import { TransportSocketSchema } from '../../src/gen/envoy/config/core/v3/base_pb.js';
import { SubjectAltNameMatcher_SanType as SanType } from '../../src/gen/envoy/extensions/transport_sockets/tls/v3/common_pb.js';
import { SecretSchema } from '../../src/gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import { UpstreamTlsContextSchema } from '../../src/gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import { AdsWorld } from '../support/ads-world.js';
import { startBackend } from '../support/backend.js';
import { type SelfSigned, selfSigned } from '../support/certificate.js';
import { onCleanup } from '../support/cleanup.js';
import { forward, groupIr, mock, routeIr } from '../support/ir.js';
import { until } from '../support/until.js';

// What an Envoy waits for: a secret that comes late, and its own limit of requests a second.

const NAME = 'backend.test';
const group = (world: AdsWorld, id: string, host: string, cluster: string, text = 'one') =>
  world.group(
    groupIr([host], [routeIr('/mock', mock(JSON.stringify(text))), routeIr('/call', forward(cluster))], { id }),
  );

/** An HTTPS server that shows this certificate, until `show` gives it another. */
async function tlsBackend(first: SelfSigned): Promise<{ port: number; show(next: SelfSigned): void }> {
  const server = createServer({ cert: first.certPem, key: first.keyPem }, (_, response) => {
    // Each request shakes hands anew, and no request meets a connection that is being closed.
    response.writeHead(200, { connection: 'close' }).end('over TLS');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onCleanup(() => {
    server.closeAllConnections();
    return new Promise<void>((resolve) => server.close(() => resolve()));
  });
  const show = ({ certPem, keyPem }: SelfSigned) => server.setSecureContext({ cert: certPem, key: keyPem });
  return { port: (server.address() as AddressInfo).port, show };
}

/** The cluster of `world.cluster`, over TLS that trusts what the secret `trust` says. */
function overTls([cluster, endpoints]: readonly Resource[], trust: string): Resource[] {
  if (!cluster || !endpoints) throw new Error('a cluster and its endpoints are needed');
  const message = fromBinary(ClusterSchema, cluster.bytes);
  const context = create(UpstreamTlsContextSchema, {
    sni: NAME,
    commonTlsContext: {
      validationContextType: {
        case: 'validationContextSdsSecretConfig',
        value: { name: trust, sdsConfig: ADS_SOURCE },
      },
    },
  });
  message.transportSocket = create(TransportSocketSchema, {
    name: 'tls',
    configType: { case: 'typedConfig', value: any(UpstreamTlsContextSchema, context) },
  });
  return [
    resource(TYPE.cluster, cluster.name, toBinary(ClusterSchema, message), [{ type: TYPE.secret, name: trust }]),
    endpoints,
  ];
}

/** A secret that trusts these certificates. */
function trusting(name: string, ...certificates: SelfSigned[]): Resource {
  const inlineString = certificates.map(({ certPem }) => certPem).join('');
  const value = {
    trustedCa: { specifier: { case: 'inlineString' as const, value: inlineString } },
    matchTypedSubjectAltNames: [
      { sanType: SanType.DNS, matcher: { matchPattern: { case: 'exact' as const, value: NAME } } },
    ],
  };
  const message = create(SecretSchema, { name, type: { case: 'validationContext', value } });
  return resource(TYPE.secret, name, toBinary(SecretSchema, message));
}

it('X86 a cluster whose secret comes late gets no requests before, then speaks TLS, and goes on while the secret is rotated', async () => {
  const [old, next] = [selfSigned(NAME), selfSigned(NAME)];
  const [plain, tls] = [await startBackend('plain'), await tlsBackend(old)];
  const world = await AdsWorld.start();
  await world.startServer();
  world.publish([
    ...world.listener(),
    ...world.cluster('plain', plain.port),
    ...group(world, 'moves', 'moves.test', 'plain'),
  ]);
  await until(async () => (await world.ask('moves.test', '/call')).startsWith('200 '), {
    within: 20_000,
    what: 'service',
  });
  await world.settled();

  const load = world.load(() => [['moves.test', '/call']]);
  world.publish([
    ...overTls(world.cluster('secured', tls.port), 'trust'),
    ...group(world, 'moves', 'moves.test', 'secured'),
  ]);
  await until(() => world.stream()?.held.some(({ on }) => on.name === 'secured' || on.name === 'trust'), {
    what: 'the routes to wait',
  });
  // Envoy has the cluster and asks for its secret; there is none, and that is not told as an answer.
  await until(
    async () => (await world.envoy.admin('/config_dump?resource=dynamic_warming_clusters')).includes('secured'),
    {
      what: 'the cluster to warm',
    },
  );
  await until(() => world.server.resourceStatus('test/edge', TYPE.endpoint, 'secured')[0]?.status.acked, {
    what: 'the endpoints to be there',
  });
  const seen = plain.seen.length;
  await until(() => plain.seen.length > seen + 50, { what: 'requests to go where they went' });
  expect(await world.envoy.admin('/config_dump?resource=dynamic_warming_clusters')).toContain('secured');

  world.publish([trusting('trust', old)]);
  await until(async () => (await world.ask('moves.test', '/call')) === '200 over TLS', { what: 'requests over TLS' });
  await world.settled();

  for (const [secret, shown] of [
    [trusting('trust', old, next), next],
    [trusting('trust', next), next],
  ] as const) {
    world.publish([secret]);
    await world.settled();
    tls.show(shown);
    const before = await world.stat('cluster.secured.upstream_rq_total');
    await until(async () => (await world.stat('cluster.secured.upstream_rq_total')) > before + 50, {
      what: 'requests',
    });
  }
  // A cluster in force does not change to need a secret that nobody has: what serves, serves on.
  world.publish(overTls(world.cluster('secured', tls.port, 1_500), 'nobody-has-it'));
  await until(() => world.stream()?.held.some(({ on }) => on.name === 'nobody-has-it'), {
    what: 'the cluster to wait',
  });
  expect(await world.ask('moves.test', '/call')).toBe('200 over TLS');
  // The secret goes after all that needed it, although both go in one change.
  const gone = AdsWorld.named([...world.cluster('secured', 0), trusting('trust')]);
  world.publish(group(world, 'moves', 'moves.test', 'plain'), gone);
  await world.settled();
  await until(() => plain.seen.length > seen + 100, { what: 'requests to come back' });
  const { failures } = await load.stop();
  expect(failures).toEqual([]);
  expect(world.nacks()).toEqual([]);
  const removals = world.events.flatMap((e) =>
    e.kind === 'sent' ? e.names.filter((name, i) => e.versions[i] === '' && ['secured', 'trust'].includes(name)) : [],
  );
  expect(removals.at(-1)).toBe('trust');
}, 60_000);

it('X94 with its limit of 100 requests and then 10 a second Envoy gets 300 endpoint sets and edits meanwhile, all acknowledged in the end', async () => {
  const backend = await startBackend('backend');
  const world = await AdsWorld.start({ rateLimit: { max_tokens: 100, fill_rate: 10 } });
  await world.startServer();
  const ids = Array.from({ length: 300 }, (_, i) => `many-${i}`);
  world.publish([
    ...world.listener(),
    ...world.cluster('base', backend.port),
    ...group(world, 'steady', 'steady.test', 'base'),
  ]);
  await until(async () => (await world.ask('steady.test', '/call')).startsWith('200 '), {
    within: 20_000,
    what: 'service',
  });
  await world.settled();
  const load = world.load(() => [['steady.test', '/call']], 50);
  world.publish(ids.flatMap((id) => world.cluster(id, backend.port)));
  // All arrive, whatever of the answers still waits in Envoy.
  const missing = async () => {
    const clusters = await world.envoy.admin('/clusters');
    return ids.filter((id) => !clusters.includes(`${id}::127.0.0.1:${backend.port}::health_flags`));
  };
  await until(async () => (await missing()).length === 0, { within: 20_000, what: 'all endpoints to be in use' });
  expect(world.stream()?.unanswered).toBeGreaterThan(50);
  // An edit that needs nothing of them is in force although Envoy has hundreds of answers to get rid of.
  world.publish(group(world, 'steady', 'steady.test', 'base', 'edited'));
  await until(async () => (await world.ask('steady.test', '/mock')) === '200 "edited"', {
    within: 2_000,
    what: 'an edit',
  });
  expect(world.stream()?.unanswered).toBeGreaterThan(50);
  await world.settled(40_000);
  expect(await world.stat('control_plane.rate_limit_enforced')).toBeGreaterThan(0);
  expect((await load.stop()).failures).toEqual([]);
  expect(world.nacks()).toEqual([]);
}, 90_000);
