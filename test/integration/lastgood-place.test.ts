import { fromBinary } from '@bufbuild/protobuf';
import { expect, it } from 'vitest';
import { TYPE } from '../../src/core/ads/resource.js';
import { compile } from '../../src/core/compile.js';
import { startEdge } from '../../src/edge/edge.js';
import type { EdgeOptions } from '../../src/edge/options.js';
import { ClusterLoadAssignmentSchema } from '../../src/gen/envoy/config/endpoint/v3/endpoint_pb.js';
import { AdsClient } from '../../src/wire/ads-client.js';
import { AdsServer } from '../../src/wire/ads-server.js';
import { keptLog } from '../support/admin.js';
import { onCleanup } from '../support/cleanup.js';
import { tmpDir } from '../support/tmp.js';
import { until } from '../support/until.js';

const FLEET = 'default/main';
const TOKEN = 'node-token-of-this-test';
const room = (host: string, name: string) => ({ host, port: 80, region: 'east', room: name });
const DEFINITIONS = {
  fleets: [{ name: 'main', listeners: [{ name: 'http', port: 80 }] }],
  clusters: [{ name: 'orders', healthCheck: { path: '/' }, endpoints: [room('10.0.0.1', 'a'), room('10.0.0.2', 'b')] }],
  groups: [{ name: 'shop', hosts: ['shop.test'] }],
  apis: [
    { name: 'any', group: 'shop', match: { path: '/*' }, upstream: { kind: 'cluster' as const, cluster: 'orders' } },
  ],
};

it('the last good configuration prefers what its node does, also when the node was moved', {
  timeout: 40_000,
}, async () => {
  const ads = await AdsServer.start({ host: '127.0.0.1', port: 0, nodeToken: TOKEN });
  ads.publish(FLEET, { upserts: [...compile(DEFINITIONS).compiler.resources(FLEET)], removals: [] });
  onCleanup(() => ads.close());
  const directory = tmpDir();
  const options: EdgeOptions = {
    ...{ node: 'node-1', cluster: FLEET, controller: `127.0.0.1:${ads.port}`, directory, dataDir: directory },
    ...{ nodeToken: TOKEN, envoyAdmin: 'http://127.0.0.1:1', configPort: 0, toolPort: 0, policyWait: 500 },
    ...{ rotateBytes: 1 << 20, keepFiles: 2, warmUpChecks: 0, lastGood: true, log: keptLog() },
  };
  const ask = async (place: Partial<EdgeOptions>) => {
    const edge = await startEdge({ ...options, ...place });
    await until(() => edge.stats().synced, { what: 'the configuration' });
    const found = new Map<string, number>();
    // The edge lets nobody in while the controller answers it.
    await fetch(`http://127.0.0.1:${edge.ports.tool}/tool/drill/controller-outage?seconds=600`, { method: 'POST' });
    await until(() => edge.stats().ads.kind === 'disconnected', { what: 'the outage' });
    const client = AdsClient.start({
      address: `unix:${directory}/failover.sock`,
      node: { id: 'node-1', cluster: FLEET },
      subscriptions: [{ type: TYPE.endpoint, wildcard: true }],
      onUpdate({ upserts }) {
        for (const { bytes } of upserts)
          for (const { locality, priority } of fromBinary(ClusterLoadAssignmentSchema, bytes).endpoints)
            found.set(locality?.subZone ?? '', priority);
      },
    });
    await until(() => found.size === 2, { what: 'the endpoints' });
    client.close();
    await edge.close();
    return Object.fromEntries(found);
  };
  expect(await ask({ region: 'east', room: 'b' })).toEqual({ a: 1, b: 0 });
  expect(await ask({ region: 'east', room: 'a' })).toEqual({ a: 0, b: 1 });
  expect(await ask({})).toEqual({ a: 0, b: 0 });
});
