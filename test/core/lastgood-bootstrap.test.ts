import type { JsonObject } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { bootstrap } from '../../src/core/xds/bootstrap.js';
import { validate } from '../support/envoy.js';

const options = {
  nodeId: 'node-1',
  nodeCluster: 'default/main',
  adsAddress: '127.0.0.1',
  adsPort: 9876,
  edgeSocket: 'authz.sock',
  adminAddress: '127.0.0.1',
  adminPort: 0,
};

/** Clusters over which Envoy subscribes, first to last. */
function servers(made: JsonObject): string[] {
  const { ads_config } = made.dynamic_resources as { ads_config: { grpc_services: { envoy_grpc: JsonObject }[] } };
  return ads_config.grpc_services.map(({ envoy_grpc }) => String(envoy_grpc.cluster_name));
}

describe('the bootstrap', () => {
  it('names the edge as second server, after the controller, in a way Envoy accepts', async () => {
    const made = bootstrap({ ...options, failoverSocket: 'failover.sock' });
    expect(servers(made)).toEqual(['paifang_ads', 'paifang_ads_failover']);
    expect(await validate(made)).toMatchObject({ ok: true });
  });

  it('names the controller alone when there is no such edge', async () => {
    const made = bootstrap(options);
    expect(servers(made)).toEqual(['paifang_ads']);
    expect(JSON.stringify(made)).not.toContain('xds_failover_support');
    expect(await validate(made)).toMatchObject({ ok: true });
  });
});
