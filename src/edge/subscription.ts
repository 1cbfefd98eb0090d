import { AdsClient, type AdsClientState } from '../wire/ads-client.js';
import type { EdgeOptions } from './edge.js';
import { EDGE_TYPES, type EdgeTables } from './tables.js';

export type SubscriptionState = AdsClientState | { readonly kind: 'connecting' };

export interface Subscription {
  state(): SubscriptionState;
  /** Whether everything was delivered at least once. */
  synced(): boolean;
  /** Resolves with the first delivery of everything, or when the grace of the options has passed. */
  readonly delivered: Promise<void>;
  /** Asks for names that are not held. */
  request(type: string, names: readonly string[]): void;
  close(): void;
}

const STILL_WAITING_MS = 10_000;

/** Keeps `tables` equal to what the controller holds for the fleet. While it is away they stay as they are. */
export function subscribe(options: EdgeOptions, node: string, token: string, tables: EdgeTables): Subscription {
  const { log, controller, cluster } = options;
  let state: SubscriptionState = { kind: 'connecting' };
  let synced = false;
  let go = () => {};
  const delivered = new Promise<void>((resolve) => {
    go = resolve;
  });
  const take = (next: AdsClientState) => {
    if (next.kind !== 'disconnected') log.info(`controller: ${next.kind}`, { controller });
    else if (state.kind !== 'disconnected') {
      log.warn('the controller is away; going on with what is held', { controller, reason: next.reason });
    }
    state = next;
    if (next.kind !== 'synced') return;
    synced = true;
    go();
  };
  const client = AdsClient.start({
    address: controller,
    node: { id: `${node}-edge`, cluster, metadata: { role: 'edge', node } },
    token,
    subscriptions: EDGE_TYPES.map((type) => ({ type, wildcard: true })),
    onUpdate: (update) => tables.apply(update),
    onState: take,
  });
  const waiting = setInterval(() => {
    log.warn('not serving yet: the controller has not delivered everything', { controller, state: state.kind });
  }, STILL_WAITING_MS);
  const grace = options.syncGraceMs === undefined ? undefined : setTimeout(go, options.syncGraceMs);
  const stopWaiting = () => {
    clearInterval(waiting);
    clearTimeout(grace);
  };
  return {
    state: () => state,
    synced: () => synced,
    delivered: delivered.then(stopWaiting),
    request: (type, names) => client.request(type, names),
    close() {
      stopWaiting();
      client.close();
    },
  };
}

/** Whether there is a stream to a controller. */
export function isConnected(state: SubscriptionState | undefined): boolean {
  return state?.kind === 'connected' || state?.kind === 'synced';
}
