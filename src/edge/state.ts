import type { LastGood, LastGoodStats } from './lastgood/last-good.js';
import type { LogAgentStats } from './log/log-agent.js';
import type { Subscription, SubscriptionState } from './subscription.js';

/** How an edge is. */
export interface EdgeStats {
  readonly node: string;
  readonly cluster: string;
  /** Serving checks. */
  readonly ready: boolean;
  /** Everything was delivered at least once. */
  readonly synced: boolean;
  readonly ads: SubscriptionState;
  readonly config: ConfigState;
  /** What is kept for times without a controller; undefined when nothing is. */
  readonly lastGood: LastGoodStats | undefined;
  /** Decisions by result code since start. */
  readonly checks: Readonly<Record<string, number>>;
  readonly resources: Readonly<Record<string, number>>;
  readonly log: LogAgentStats | undefined;
}

/** Where what the edge decides from came from. */
export interface ConfigState {
  /** Of what is held now: delivered by a controller since the start, read from disk, or not there yet. */
  readonly source: 'controller' | 'disk' | 'none';
  /** Seconds since it was known to be what a controller has in force; 0 while in step, undefined when never. */
  readonly ageSeconds: number | undefined;
}

/** @see ConfigState */
export function configState(subscription: Subscription | undefined, lastGood: LastGood | undefined): ConfigState {
  const source = subscription?.synced() ? 'controller' : lastGood?.fromDisk ? 'disk' : 'none';
  const until = lastGood?.goodUntilMs() ?? subscription?.inStepUntilMs();
  return { source, ageSeconds: until === undefined ? undefined : Math.max(0, Math.round((Date.now() - until) / 1000)) };
}
