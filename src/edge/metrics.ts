import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import { TYPE } from '../core/ads/resource.js';
import type { LastGoodStats } from './lastgood/last-good.js';
import type { LogAgentStats } from './log/log-agent.js';
import type { ConfigState } from './state.js';
import type { EdgeTables } from './tables.js';

/** Upper bounds in microseconds. */
const BUCKETS = [25, 50, 100, 250, 500, 1000, 2500, 10_000, 100_000, 1_000_000] as const;
const TABLES = { policy: TYPE.policy, app: TYPE.app, service_key: TYPE.serviceKey } as const;

/** What the metrics are read from at the moment they are asked for. */
export interface MetricSources {
  readonly tables: EdgeTables;
  log(): LogAgentStats | undefined;
  connected(): boolean;
  silentMs(): number;
  synced(): boolean;
  connections(): number;
  config(): ConfigState;
  lastGood(): LastGoodStats | undefined;
}

/**
 * Metrics of one edge in Prometheus' text format. Decisions are counted in plain fields and turned into metrics when somebody
 * asks, so that counting costs a request next to nothing.
 */
export class EdgeMetrics {
  readonly #registry = new Registry();
  readonly #codes = new Map<string, number>();
  readonly #buckets = new Array<number>(BUCKETS.length + 1).fill(0);
  #microseconds = 0;
  #errors = 0;

  constructor(sources: MetricSources) {
    const registers = [this.#registry];
    collectDefaultMetrics({ register: this.#registry });
    const codes = this.#codes;
    new Counter({
      name: 'paifang_edge_checks_total',
      help: 'Requests decided, by result code; 1000 = let pass.',
      labelNames: ['code'],
      registers,
      collect() {
        this.reset();
        for (const [code, count] of codes) this.inc({ code }, count);
      },
    });
    const gauge = (name: string, help: string, value: () => number) =>
      new Gauge({
        name,
        help,
        registers,
        collect() {
          this.set(value());
        },
      });
    new Gauge({
      name: 'paifang_edge_resources',
      help: 'Resources held, by type.',
      labelNames: ['type'],
      registers,
      collect() {
        for (const [type, url] of Object.entries(TABLES)) this.set({ type }, sources.tables.versions(url).size);
      },
    });
    gauge('paifang_edge_check_errors_total', 'Checks that failed inside the edge (answered 7777).', () => this.#errors);
    gauge('paifang_edge_ads_connected', '1 while subscribed to a controller.', () => Number(sources.connected()));
    gauge(
      'paifang_edge_controller_silent_seconds',
      'Seconds since a controller that is connected but does not answer was heard; 0 while it is not so.',
      () => sources.silentMs() / 1000,
    );
    gauge('paifang_edge_synced', '1 once all that the controller holds for this node was delivered.', () =>
      Number(sources.synced()),
    );
    gauge('paifang_edge_connections', 'Connections of Envoy.', () => sources.connections());
    gauge('paifang_edge_config_from_disk', '1 while nothing but the last good configuration from disk is held.', () =>
      Number(sources.config().source === 'disk'),
    );
    gauge(
      'paifang_edge_config_age_seconds',
      'Seconds since what is held was known to be what a controller has in force.',
      () => sources.config().ageSeconds ?? 0,
    );
    gauge(
      'paifang_edge_failover_streams',
      'Envoys served the last good configuration.',
      () => sources.lastGood()?.failoverStreams ?? 0,
    );
    gauge('paifang_edge_last_good_bytes', 'Size of the last good configuration on disk.', () => {
      return sources.lastGood()?.bytes ?? 0;
    });
    gauge('paifang_edge_last_good_failing', '1 while it cannot be written.', () =>
      Number((sources.lastGood()?.failure ?? null) !== null),
    );
    const log = (field: keyof Omit<LogAgentStats, 'shipFailure'>) => () => sources.log()?.[field] ?? 0;
    gauge('paifang_edge_log_behind_bytes', 'Bytes of access log not stored by a collector yet.', log('behindBytes'));
    gauge(
      'paifang_edge_log_lost_bytes',
      'Bytes of access log that were gone before they were stored.',
      log('lostBytes'),
    );
    gauge('paifang_edge_log_digest_lines', 'Digest lines written since start.', log('digestLines'));
    gauge('paifang_edge_log_unparsed_lines', 'Access-log lines that could not be parsed since start.', log('unparsed'));
    gauge('paifang_edge_log_collector_away', '1 while the collector does not answer.', () =>
      Number((sources.log()?.shipFailure ?? null) !== null),
    );
  }

  /** Counts one decision. */
  readonly decided = (code: string, microseconds: number): void => {
    this.#codes.set(code, (this.#codes.get(code) ?? 0) + 1);
    this.#microseconds += microseconds;
    let bucket = 0;
    while (bucket < BUCKETS.length && microseconds > (BUCKETS[bucket] as number)) bucket++;
    this.#buckets[bucket] = (this.#buckets[bucket] as number) + 1;
  };

  failed(): void {
    this.#errors++;
  }

  /** Decisions so far, by code. */
  counts(): Record<string, number> {
    return Object.fromEntries([...this.#codes].sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  /** All metrics; content type `text/plain; version=0.0.4`. */
  async text(): Promise<string> {
    return `${await this.#registry.metrics()}${this.#histogram()}`;
  }

  /** Written by hand: prom-client's histogram can only be fed observation by observation. */
  #histogram(): string {
    const name = 'paifang_edge_check_seconds';
    let sum = 0;
    const rows = this.#buckets.map((count, i) => {
      sum += count;
      const bound = BUCKETS[i];
      return `${name}_bucket{le="${bound === undefined ? '+Inf' : bound / 1e6}"} ${sum}\n`;
    });
    return `# HELP ${name} Time from a whole message to its answer.\n# TYPE ${name} histogram\n${rows.join('')}${name}_sum ${this.#microseconds / 1e6}\n${name}_count ${sum}\n`;
  }
}
