import { setTimeout as delay } from 'node:timers/promises';
import { TYPE } from '../core/ads/resource.js';
import { HTTP_STAT_PREFIX } from '../core/xds/names.js';
import type { Log } from '../logger.js';
import { AdsClient } from '../wire/ads-client.js';
import { askEnvoy } from './envoy-admin.js';
import type { ConfigState, EdgeStats } from './state.js';

/** What an outage of the controller, made on purpose, did to a node. */
export interface DrillReport {
  readonly phase: 'away' | 'returning' | 'done';
  readonly startedAt: string;
  readonly seconds: number;
  /** Of the edge, when the outage ended: where its configuration came from, and its age in seconds. */
  readonly config: ConfigState;
  /** What an Envoy that had started during the outage would have been given by this edge. */
  readonly coldStart: ColdStart;
  /** Decisions of the edge by result code, during the outage. */
  readonly checks: Readonly<Record<string, number>>;
  /** Requests that Envoy ended during the outage and those of them with 5xx; undefined when its admin does not answer. */
  readonly envoy: { readonly requests: number; readonly failed: number } | undefined;
  /** Milliseconds from the end of the outage until the edge was in step with a controller; undefined: not within a minute. */
  readonly handBackMs: number | undefined;
}

export type ColdStart =
  | { readonly kind: 'off' | 'waiting' | 'refused'; readonly reason: string }
  | { readonly kind: 'served'; readonly afterMs: number; readonly resources: Readonly<Record<string, number>> };

export interface DrillOptions {
  readonly node: string;
  readonly cluster: string;
  /** Path of the socket on which an Envoy is served; undefined when nothing is kept. */
  readonly failover: string | undefined;
  readonly envoyAdmin: string;
  readonly log: Log;
  stats(): EdgeStats;
  /** Whether the controller answers within `withinMs`. */
  answers(withinMs: number): Promise<boolean>;
  cut(ms: number): void;
}

const ASKED = [TYPE.cluster, TYPE.listener, TYPE.scope, TYPE.route] as const;
/** What the controller may take to answer before a drill begins. */
const ANSWER_MS = 3_000;
const COLD_START_MS = 10_000;
const RETURN_MS = 60_000;
const LOOK_MS = 20;
const NOTHING_TO_TRY = 'the edge goes on with what it has, and there is nothing to try.';

/**
 * Takes the controller away from one edge for a time, and tells how the node did. The edge leaves the controller and does not
 * come back before the time is over; it then serves as if no controller answered, also an Envoy that starts. A stream that a
 * running Envoy has to the controller is not touched: Envoy has no way to be told so.
 */
export class Drill {
  report: DrillReport | undefined;
  #closed = false;

  constructor(private readonly options: DrillOptions) {}

  /** Begins an outage; a text says why not. */
  async start(seconds: number): Promise<string | undefined> {
    const answers = await this.options.answers(ANSWER_MS);
    if (this.report && this.report.phase !== 'done') return 'A drill is under way; see GET /tool/drill.';
    const { ads, config } = this.options.stats();
    if (ads.kind === 'silent') return `The controller is connected but silent since ${ads.since}; ${NOTHING_TO_TRY}`;
    if (!answers || ads.kind !== 'synced') return `The controller is away already; ${NOTHING_TO_TRY}`;
    const startedAt = new Date().toISOString();
    const coldStart: ColdStart = { kind: 'waiting', reason: 'not tried yet' };
    this.report = {
      ...{ phase: 'away', startedAt, seconds, config, coldStart },
      ...{ checks: {}, envoy: undefined, handBackMs: undefined },
    };
    this.options.log.warn('drill: the controller is away from now on', { seconds });
    void this.#run(this.report).catch((error: unknown) => {
      this.options.log.error('drill', { error: String(error) });
      if (this.report) this.report = { ...this.report, phase: 'done' };
    });
    return undefined;
  }

  close(): void {
    this.#closed = true;
  }

  async #run(begun: DrillReport): Promise<void> {
    const { stats, cut, log } = this.options;
    const end = performance.now() + begun.seconds * 1000;
    const before = { checks: stats().checks, envoy: await this.#requests() };
    cut(end - performance.now());
    await this.#until(() => stats().ads.kind === 'disconnected', end);
    this.report = { ...begun, coldStart: await this.#coldStart(Math.min(COLD_START_MS, end - performance.now())) };
    await delay(Math.max(0, end - performance.now()), undefined, { ref: false });
    const after = await this.#requests();
    const config = stats().config;
    const checks = difference(stats().checks, before.checks);
    const envoy = before.envoy &&
      after && { requests: after.all - before.envoy.all, failed: after.bad - before.envoy.bad };
    this.report = { ...this.report, phase: 'returning', config, checks, envoy };
    const back = await this.#until(() => stats().ads.kind === 'synced', end + RETURN_MS);
    const handBackMs = back ? Math.round(performance.now() - end) : undefined;
    this.report = { ...this.report, phase: 'done', handBackMs };
    log.warn('drill: over', { handBackMs, checks });
  }

  /** Asks the edge's own xDS server as an Envoy would that starts now. */
  #coldStart(withinMs: number): Promise<ColdStart> {
    const { failover, node, cluster } = this.options;
    if (failover === undefined) {
      return Promise.resolve({
        kind: 'off',
        reason: 'nothing is kept for cold starts: PAIFANG_EDGE_LAST_GOOD is false',
      });
    }
    return new Promise((resolve) => {
      const began = performance.now();
      const counts: Record<string, number> = {};
      let reason = 'no answer';
      const settle = (result: ColdStart) => {
        clearTimeout(timer);
        client.close();
        resolve(result);
      };
      const timer = setTimeout(() => settle({ kind: 'refused', reason }), Math.max(0, withinMs));
      const client = AdsClient.start({
        address: `unix:${failover}`,
        node: { id: `${node}-drill`, cluster },
        subscriptions: ASKED.map((type) => ({ type, wildcard: true })),
        onUpdate({ type, upserts }) {
          const name = type.slice(type.lastIndexOf('.') + 1);
          counts[name] = (counts[name] ?? 0) + upserts.length;
        },
        onState(state) {
          if (state.kind === 'disconnected') ({ reason } = state);
          if (state.kind !== 'synced') return;
          settle({ kind: 'served', afterMs: Math.round(performance.now() - began), resources: counts });
        },
      });
    });
  }

  async #requests(): Promise<{ all: number; bad: number } | undefined> {
    const stat = (name: string) => `http.${HTTP_STAT_PREFIX}.downstream_rq_${name}`;
    const filter = encodeURIComponent(`downstream_rq_(completed|5xx)$`);
    try {
      const text = await askEnvoy(this.options.envoyAdmin, `/stats?format=json&filter=${filter}`);
      const { stats } = JSON.parse(text) as { stats: { name: string; value: number }[] };
      const value = (name: string) => stats.find((one) => one.name === stat(name))?.value ?? 0;
      return { all: value('completed'), bad: value('5xx') };
    } catch {
      // An Envoy that does not answer has no figures; the report says so by their absence.
      return undefined;
    }
  }

  async #until(condition: () => boolean, end: number): Promise<boolean> {
    while (!condition()) {
      if (this.#closed || performance.now() >= end) return false;
      await delay(LOOK_MS, undefined, { ref: false });
    }
    return true;
  }
}

function difference(
  after: Readonly<Record<string, number>>,
  before: Readonly<Record<string, number>>,
): Record<string, number> {
  const changed = Object.entries(after).map(([code, count]) => [code, count - (before[code] ?? 0)] as const);
  return Object.fromEntries(changed.filter(([, count]) => count > 0));
}
