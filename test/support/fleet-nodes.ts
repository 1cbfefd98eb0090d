import { TYPE } from '../../src/core/ads/resource.js';
import { AdsClient, type AdsUpdate } from '../../src/wire/ads-client.js';
import { XdsClient } from '../conformance/xds-client.js';
import { onCleanup } from './cleanup.js';
import { until } from './until.js';

/** Types that an Envoy takes. */
export const ENVOY_TYPES = [TYPE.cluster, TYPE.endpoint, TYPE.listener, TYPE.route, TYPE.scope];

/** A node of a fleet that takes everything, except what `refuse` throws at. */
export function fleetNode(
  controller: { adsPort: number; nodeToken: string },
  id: string,
  options: {
    refuse?: (update: AdsUpdate) => void;
    types?: readonly string[];
    metadata?: Record<string, string>;
    fleet?: string;
  } = {},
) {
  const states: string[] = [];
  const client = AdsClient.start({
    address: `127.0.0.1:${controller.adsPort}`,
    node: { id, cluster: options.fleet ?? 'shop/edge', ...(options.metadata && { metadata: options.metadata }) },
    token: controller.nodeToken,
    subscriptions: (options.types ?? ENVOY_TYPES).map((type) => ({ type, wildcard: true })),
    onUpdate: (update) => options.refuse?.(update),
    onState: (state) => states.push(state.kind),
  });
  onCleanup(() => client.close());
  return {
    /** What became of its connection, in order. */
    states,
    close: () => client.close(),
    synced: () => until(() => states.includes('synced'), { what: `${id} in step` }),
  };
}

/**
 * A node that acknowledges everything until it is in step, which `inStep` tells, and then only reads. Resolves when it has
 * begun to be silent; ended with the test.
 */
export async function muteNode(
  controller: { adsPort: number; nodeToken: string },
  id: string,
  inStep: () => Promise<boolean>,
): Promise<XdsClient> {
  const node = { id, cluster: 'shop/edge' };
  const client = new XdsClient(controller.adsPort, 'delta', node, { token: controller.nodeToken });
  let silent = false;
  const answer = async () => {
    while (!silent) {
      const response = await client.next().catch(() => undefined);
      if (silent || !response) return;
      client.ack(response);
    }
  };
  for (const type of ENVOY_TYPES) client.send({ type, names: ['*'] });
  void answer();
  await until(inStep, { what: `${id} in step` });
  silent = true;
  return client;
}
