import { edgeIdOf } from '../core/ads/identity.js';
import { TYPE } from '../core/ads/resource.js';
import { AdsClient, type AdsClientState } from '../wire/ads-client.js';
import type { EdgeOptions } from './edge.js';
import type { LastGood } from './lastgood/last-good.js';
import { EDGE_TYPES, type EdgeTables } from './tables.js';

export type SubscriptionState = AdsClientState | { readonly kind: 'connecting' };

export interface Subscription {
  state(): SubscriptionState;
  /** Whether everything was delivered at least once. */
  synced(): boolean;
  /** Resolves with the first delivery of everything, or when the grace of the options has passed. */
  readonly delivered: Promise<void>;
  /** Whether the controller answers now: it is asked, and given a second. False as long as it has not delivered everything. */
  answers(): Promise<boolean>;
  /** Leaves the controller for `ms`, as if it were gone. */
  cut(ms: number): void;
  /** Asks for names that are not held. */
  request(type: string, names: readonly string[]): void;
  close(): void;
}

const STILL_WAITING_MS = 10_000;
const ANSWER_MS = 1_000;
/** A policy nobody has; being told so shows that the controller is there. */
const NOBODYS = 'paifang/who-answers';

/**
 * Keeps `tables`, and `lastGood` if there is one, equal to what the controller holds for the fleet. While it is away they
 * stay as they are.
 */
export function subscribe(
  options: EdgeOptions,
  node: string,
  token: () => string | undefined,
  tables: EdgeTables,
  lastGood: LastGood | undefined,
): Subscription {
  const { log, controller, cluster } = options;
  let state: SubscriptionState = { kind: 'connecting' };
  let synced = false;
  let go = () => {};
  const delivered = new Promise<void>((resolve) => {
    go = resolve;
  });
  /** Calls that wait for a sign of life, and whether one was missed. */
  const asking = new Set<() => void>();
  let silent = false;
  const heard = () => {
    for (const answered of asking) answered();
    if (silent && state.kind === 'synced') lastGood?.inStep();
    silent = false;
  };
  const take = (next: AdsClientState) => {
    if (next.kind !== 'disconnected') log.info(`controller: ${next.kind}`, { controller });
    else if (state.kind !== 'disconnected') {
      log.warn('the controller is away; going on with what is held', { controller, reason: next.reason });
    }
    state = next;
    if (next.kind === 'disconnected') lastGood?.away();
    if (next.kind !== 'synced') return;
    synced = true;
    silent = false;
    lastGood?.inStep();
    go();
  };
  const client = AdsClient.start({
    address: controller,
    node: { id: edgeIdOf(node), cluster, metadata: { role: 'edge', node }, locality: localityOf(options) },
    token,
    security: options.security,
    subscriptions: [...EDGE_TYPES, ...(lastGood?.types ?? [])].map((type) => {
      return { type, wildcard: true, held: lastGood?.versions(type) ?? new Map() };
    }),
    onUpdate(update) {
      tables.apply(update);
      lastGood?.changed(update);
      heard();
    },
    onState: take,
  });
  const waiting = setInterval(() => {
    log.warn('not serving yet: the controller has not delivered everything', { controller, state: state.kind });
  }, STILL_WAITING_MS);
  if (lastGood?.fromDisk) go();
  const grace = options.syncGraceMs === undefined ? undefined : setTimeout(go, options.syncGraceMs);
  const stopWaiting = () => {
    clearInterval(waiting);
    clearTimeout(grace);
  };
  return {
    state: () => state,
    synced: () => synced,
    delivered: delivered.then(stopWaiting),
    answers() {
      if (state.kind !== 'synced') return Promise.resolve(false);
      return new Promise((resolve) => {
        const settle = (answers: boolean) => {
          asking.delete(answered);
          clearTimeout(timer);
          resolve(answers);
        };
        const answered = () => settle(true);
        const timer = setTimeout(() => {
          silent = true;
          lastGood?.away();
          settle(false);
        }, ANSWER_MS);
        asking.add(answered);
        client.request(TYPE.policy, [NOBODYS]);
      });
    },
    cut: (ms) => client.cut(ms),
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

/** Of the Envoy beside it: what is kept for that one is then what the controller would give it. */
function localityOf({ region = '', zone = '', room = '' }: EdgeOptions) {
  return { region, zone, subZone: room };
}
