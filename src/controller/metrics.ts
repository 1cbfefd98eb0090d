import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { AdsEvent } from '../wire/ads-events.js';

/** Figures of this controller, in a registry of its own: two controllers in one process do not meet. */
export class Metrics {
  readonly registry = new Registry();
  private readonly requests = this.histogram(
    'paifang_admin_request_seconds',
    'Admin requests by operation and status.',
    ['operation', 'status'],
    [0.005, 0.02, 0.1, 0.5, 2, 10],
  );
  private readonly publications = this.histogram(
    'paifang_publish_seconds',
    'From the start of a publishing write to its hand-over to all streams.',
    ['workspace'],
    [0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2],
  );
  private readonly compilations = this.histogram(
    'paifang_compile_seconds',
    'Compiling one change and queueing it for all streams.',
    ['workspace'],
    [0.001, 0.005, 0.02, 0.1, 0.5, 2],
  );
  private readonly release = new Gauge({
    name: 'paifang_release',
    help: 'Newest release in force here.',
    labelNames: ['workspace'],
    registers: [this.registry],
  });
  private readonly judgements = this.histogram(
    'paifang_judge_seconds',
    'Asking the canary Envoy about a publication, by what came of it.',
    ['verdict'],
    [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2],
  );
  private readonly adsEvents = new Counter({
    name: 'paifang_ads_events_total',
    help: 'What happened on xDS streams.',
    labelNames: ['fleet', 'kind'],
    registers: [this.registry],
  });
  private readonly streams = new Gauge({
    name: 'paifang_ads_streams',
    help: 'Open xDS streams that named their node.',
    labelNames: ['fleet'],
    registers: [this.registry],
  });

  private readonly refusals = new Counter({
    name: 'paifang_ads_refused_total',
    help: 'Connections and streams that were not let in: handshake, unauthenticated or denied.',
    labelNames: ['at'],
    registers: [this.registry],
  });

  constructor() {
    collectDefaultMetrics({ register: this.registry });
  }

  request(operation: string, status: number, seconds: number): void {
    this.requests.observe({ operation, status: String(status) }, seconds);
  }

  published(workspace: string, seconds: number): void {
    this.publications.observe({ workspace }, seconds);
  }

  compiled(workspace: string, release: number, seconds: number): void {
    this.compilations.observe({ workspace }, seconds);
    this.release.set({ workspace }, release);
  }

  /** From now on tells, per fleet, how much `held` says is held back from nodes. */
  watchQuarantine(held: () => Iterable<readonly [fleet: string, count: number]>): void {
    new Gauge({
      name: 'paifang_quarantined',
      help: 'Resources that a node refused and that are held back from it.',
      labelNames: ['fleet'],
      registers: [this.registry],
      collect() {
        this.reset();
        for (const [fleet, count] of held()) this.set({ fleet }, count);
      },
    });
  }

  refused(at: string): void {
    this.refusals.inc({ at });
  }

  /** From now on tells when the certificate of the xDS port ends. */
  watchCertificate(expiresAtMs: () => number | undefined): void {
    new Gauge({
      name: 'paifang_ads_certificate_expires_seconds',
      help: 'When the certificate of the xDS port ends, in seconds since 1970.',
      registers: [this.registry],
      collect() {
        this.set((expiresAtMs() ?? 0) / 1000);
      },
    });
  }

  judged(verdict: string, seconds: number): void {
    this.judgements.observe({ verdict }, seconds);
  }

  ads(event: AdsEvent): void {
    this.adsEvents.inc({ fleet: event.fleet, kind: event.kind });
    if (event.kind === 'connected') this.streams.inc({ fleet: event.fleet });
    if (event.kind === 'disconnected') this.streams.dec({ fleet: event.fleet });
  }

  private histogram<L extends string>(name: string, help: string, labelNames: L[], buckets: number[]): Histogram<L> {
    return new Histogram({ name, help, labelNames, buckets, registers: [this.registry] });
  }
}
