import { create, toBinary } from '@bufbuild/protobuf';
import { BinaryWriter } from '@bufbuild/protobuf/wire';
import { status } from '@grpc/grpc-js';
import pg from 'pg';
import { describe, expect, it } from 'vitest';
import { resource, TYPE } from '../../src/core/ads/resource.js';
import { DeltaDiscoveryRequestSchema } from '../../src/gen/envoy/service/discovery/v3/discovery_pb.js';
import { AdsServer } from '../../src/wire/ads-server.js';
import { XdsClient } from '../conformance/xds-client.js';
import { SHOP, testController } from '../support/admin.js';
import { onCleanup } from '../support/cleanup.js';
import { fleetNode } from '../support/fleet-nodes.js';
import { testPostgres } from '../support/postgres.js';
import { until } from '../support/until.js';

const FLEET = 'w/f';
const evil = { id: 'evil', cluster: FLEET };

async function serving(options: Partial<Parameters<typeof AdsServer.start>[0]> = {}): Promise<AdsServer> {
  const server = await AdsServer.start({ host: '127.0.0.1', port: 0, ...options });
  onCleanup(() => server.close());
  server.publish(FLEET, { upserts: [resource(TYPE.cluster, 'c', Buffer.from('x'))], removals: [] });
  return server;
}

/** A first request that subscribes to `count` names of route tables, from number `from` on. */
function wanting(count: number, from = 0): Uint8Array {
  const request = create(DeltaDiscoveryRequestSchema, { node: evil, typeUrl: TYPE.route });
  const names = new BinaryWriter();
  for (let i = from; i < from + count; i++) names.tag(3, 2).string(i.toString(36));
  return Buffer.concat([toBinary(DeltaDiscoveryRequestSchema, request), names.finish()]);
}

/** The server answers another client as if nothing had been. */
async function wellAlive(server: AdsServer): Promise<void> {
  const other = new XdsClient(server.port, 'delta', { id: 'good', cluster: FLEET });
  other.send({ type: TYPE.cluster });
  expect((await other.next(TYPE.cluster)).resources.map(({ name }) => name)).toEqual(['c']);
}

describe('a hostile client', () => {
  it('that asks for millions of names in one request is refused before they are read', async () => {
    const server = await serving();
    const client = new XdsClient(server.port, 'delta', evil);
    client.raw(wanting(2_000_000));
    await client.until(() => client.ended !== undefined, 'the end of the stream');
    expect(client.ended).toMatchObject({ code: status.INVALID_ARGUMENT, details: expect.stringContaining('200000') });
    await wellAlive(server);
  });

  it('that asks for ever more names is stopped at a bound', async () => {
    const server = await serving();
    const client = new XdsClient(server.port, 'delta', evil, { paused: true });
    client.call.resume();
    for (let from = 0; from < 400_000; from += 50_000) client.raw(wanting(50_000, from));
    await until(() => client.ended, { within: 30_000, what: 'the end of the stream' });
    expect(client.ended).toMatchObject({ code: status.RESOURCE_EXHAUSTED });
    await wellAlive(server);
  });

  it('that closes its stream without a word is let go', async () => {
    for (const options of [{}, { admit: async () => undefined }]) {
      const server = await serving(options);
      const client = new XdsClient(server.port, 'delta', evil);
      client.call.end();
      await client.until(() => client.ended !== undefined, 'the end of the stream');
      expect(client.ended).toMatchObject({ code: status.OK });
    }
  });

  it('with a name that no database takes is refused; what others say of themselves is made so that it can be stored', async () => {
    const url = await (await testPostgres()).database();
    const admin = await testController(url);
    await admin.call('POST', '/api/v1/workspaces', { name: 'shop' });
    await admin.call('POST', '/api/v1/workspaces/shop/changesets', { definitions: SHOP });
    const open = (id: string) => new XdsClient(admin.adsPort, 'delta', { id, cluster: 'shop/edge' });
    for (const id of ['nul\0', 'x'.repeat(3000), 'bell\x07']) {
      const client = open(id);
      client.send({ type: TYPE.cluster });
      await client.until(() => client.ended !== undefined, 'the end of the stream');
      expect(client.ended).toMatchObject({
        code: status.INVALID_ARGUMENT,
        details: expect.stringContaining('node.id'),
      });
    }
    const client = open('odd');
    const node = {
      id: 'odd',
      cluster: 'shop/edge',
      userAgentName: 'agent\0',
      locality: { region: 'r\0', zone: 'z'.repeat(10_000) },
    };
    client.raw(
      toBinary(DeltaDiscoveryRequestSchema, create(DeltaDiscoveryRequestSchema, { node, typeUrl: TYPE.cluster })),
    );
    client.nack(await client.next(), `no\0 ${'long '.repeat(100_000)} the end`);
    await fleetNode(admin, 'good').synced();
    const database = new pg.Client({ connectionString: url });
    await database.connect();
    onCleanup(() => database.end());
    const nodes = async () => (await database.query('select node, about from node order by node')).rows;
    await until(async () => (await nodes()).some(({ node, about }) => node === 'odd' && about.refused.length > 0), {
      what: 'the refusal is stored',
    });
    const [good, odd] = await nodes();
    expect(good.node).toBe('good');
    expect(odd.about.locality).toMatchObject({ region: 'r\ufffd' });
    expect(JSON.stringify(odd.about).length).toBeLessThan(40_000);
    expect(odd.about.refused[0].error).toMatch(/^no\ufffd.*the end$/);
  });
});
