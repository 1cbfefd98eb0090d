import { edgeIdOf } from '../core/ads/identity.js';
import { TYPE } from '../core/ads/resource.js';
import { AdsClient, type AdsClientState, type AdsUpdate } from '../wire/ads-client.js';
import type { LastGood } from './lastgood/last-good.js';
import type { EdgeOptions } from './options.js';
import { SignsOfLife } from './signs-of-life.js';
import { EDGE_TYPES, type EdgeTables } from './tables.js';

export type SubscriptionState =
  | AdsClientState
  | { readonly kind: 'connecting' }
  /** Everything was delivered and the stream is open, but the controller no longer answers on it. `since`: last heard (RFC 3339). */
  | { readonly kind: 'silent'; readonly since: string };

export interface Subscription {
  state(): SubscriptionState;
  /** Whether everything was delivered at least once. */
  synced(): boolean;
  /** Resolves with the first delivery of everything, or when the grace of the options has passed. */
  readonly delivered: Promise<void>;
  /** Whether the controller answers now: it is asked, and given a second, or `withinMs`. False as long as it has not delivered everything. */
  answers(withinMs?: number): Promise<boolean>;
  /** Milliseconds since a controller whose stream is open, and which no longer answers on it, was heard; 0 while it is not so. */
  silentMs(): number;
  /** Up to when (Unix ms) what is held is known to have been in force; undefined while no controller is there. */
  inStepUntilMs(): number | undefined;
  /** Leaves the controller for `ms`, as if it were gone. */
  cut(ms: number): void;
  /** Asks for names that are not held. */
  request(type: string, names: readonly string[]): void;
  close(): void;
}

const STILL_WAITING_MS = 10_000;
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
  const signs = new SignsOfLife({
    ask: () => client.request(TYPE.policy, [NOBODYS]),
    onSilent(sinceMs) {
      log.warn('the controller is connected but does not answer; going on with what is held', {
        ...{ controller, silentSince: new Date(sinceMs).toISOString() },
      });
      lastGood?.away(sinceMs);
    },
    onHeard() {
      log.info('the controller answers again', { controller });
      lastGood?.inStep();
    },
  });
  const take = (next: AdsClientState) => {
    if (next.kind !== 'disconnected') log.info(`controller: ${next.kind}`, { controller });
    else if (state.kind !== 'disconnected') {
      log.warn('the controller is away; going on with what is held', { controller, reason: next.reason });
    }
    state = next;
    if (next.kind === 'disconnected') {
      signs.end();
      lastGood?.away();
    }
    if (next.kind !== 'synced') return;
    synced = true;
    signs.begin();
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
      if (!isSignOfLife(update)) {
        tables.apply(update);
        lastGood?.changed(update);
      }
      signs.heard();
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
    state: () => (signs.silentSinceMs === undefined ? state : silent(signs.silentSinceMs)),
    synced: () => synced,
    delivered: delivered.then(stopWaiting),
    answers: (withinMs) => signs.answers(withinMs),
    silentMs: () => (signs.silentSinceMs === undefined ? 0 : Date.now() - signs.silentSinceMs),
    inStepUntilMs: () => (state.kind === 'synced' ? (signs.silentSinceMs ?? Date.now()) : undefined),
    cut: (ms) => client.cut(ms),
    request: (type, names) => client.request(type, names),
    close() {
      stopWaiting();
      signs.end();
      client.close();
    },
  };
}

/** Whether there is a stream to a controller. */
export function isConnected(state: SubscriptionState | undefined): boolean {
  return state?.kind === 'connected' || state?.kind === 'synced' || state?.kind === 'silent';
}

function silent(sinceMs: number): SubscriptionState {
  return { kind: 'silent', since: new Date(sinceMs).toISOString() };
}

/** Whether an update says nothing but that the controller is there: nothing changed, and nothing is to be written down. */
function isSignOfLife({ type, upserts, removals }: AdsUpdate): boolean {
  return type === TYPE.policy && upserts.length === 0 && removals.length === 1 && removals[0] === NOBODYS;
}

/** Of the Envoy beside it: what is kept for that one is then what the controller would give it. */
function localityOf({ region = '', zone = '', room = '' }: EdgeOptions) {
  return { region, zone, subZone: room };
}
