import { bootstrap } from '../../src/core/xds/bootstrap.js';
import { KEEPALIVE } from '../../src/wire/ads-service.js';

/** How often each kind of node pings its controller, in ms: Envoys with and without a failover, and edges. */
export const NODE_PING_MS: readonly number[] = [
  envoyPing({ failoverSocket: 'xds.sock' }).intervalMs,
  envoyPing({}).intervalMs,
  KEEPALIVE['grpc.keepalive_time_ms'],
];

/** What the bootstrap says of pings on the connection to the controller, in ms. */
export function envoyPing(options: { failoverSocket?: string }): { intervalMs: number; timeoutMs: number } {
  const addresses = { adsAddress: '127.0.0.1', adsPort: 1, adminAddress: '127.0.0.1', adminPort: 0 };
  const text = JSON.stringify(
    bootstrap({ nodeId: 'n', nodeCluster: 'a/b', edgeSocket: 'a.sock', ...addresses, ...options }),
  );
  const [, interval, timeout] =
    /"connection_keepalive":\{"interval":"([\d.]+)s","timeout":"([\d.]+)s"\}/.exec(text) ?? [];
  return { intervalMs: Number(interval) * 1000, timeoutMs: Number(timeout) * 1000 };
}
