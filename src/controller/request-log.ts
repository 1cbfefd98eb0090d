import type { Server } from '@grpc/grpc-js';
import { readLine, toRecord } from '../core/explain/log-line.js';
import type { Log } from '../logger.js';
import { LogCollector } from '../logs/collector.js';
import { type LogStore, type LogStoreOptions, openLogStore } from '../logs/store.js';
import { addLogService } from '../wire/log-service.js';
import type { ProofRules } from '../wire/proof.js';
import { Problem } from './problem.js';

export type RequestLogOptions = Omit<LogStoreOptions, 'meaning'>;

const FIRST_PAUSE_MS = 200;
const LONGEST_PAUSE_MS = 10_000;

/** The log store as far as it can be reached: the controller starts and runs without it, edges keep their lines meanwhile. */
export class RequestLog {
  private opened: { store: LogStore; collector: LogCollector } | undefined;
  private closed = false;
  private timer: NodeJS.Timeout | undefined;
  /** Why it cannot be reached; undefined when it can, and when there is none. */
  fault: string | undefined;

  constructor(
    private readonly options: RequestLogOptions | undefined,
    private readonly log: Log,
  ) {}

  /** Connects, and goes on trying when that fails; resolves after the first attempt. */
  async start(pause = FIRST_PAUSE_MS): Promise<void> {
    if (this.options === undefined || this.closed) return;
    try {
      const store = await openLogStore({ ...this.options, meaning: { readLine, toRecord } });
      if (this.closed) return await store.close();
      this.opened = { store, collector: new LogCollector(store) };
      this.fault = undefined;
    } catch (error) {
      const fault = error instanceof Error ? error.message : String(error);
      if (this.fault === undefined)
        this.log.warn('the log store cannot be reached; edges keep their lines until it can', { reason: fault });
      this.fault = fault;
      this.timer = setTimeout(() => void this.start(Math.min(pause * 2, LONGEST_PAUSE_MS)), pause);
      this.timer.unref();
    }
  }

  /** Takes lines from edges on the ADS port. */
  serve(server: Server, proof: ProofRules): void {
    addLogService(server, {
      ...proof,
      collect: async (shipment) => {
        if (!this.opened) throw new Error(this.fault ?? 'This controller has no log store.');
        return this.opened.collector.collect(shipment);
      },
    });
  }

  get status(): 'UP' | 'DOWN' | 'UNKNOWN' {
    if (this.options === undefined) return 'UNKNOWN';
    return this.opened ? 'UP' : 'DOWN';
  }

  /** @throws Problem when there is none or it cannot be reached. */
  store(): LogStore {
    if (this.opened) return this.opened.store;
    const why =
      this.options === undefined
        ? 'This controller was started without a log store.'
        : `The log store cannot be reached: ${this.fault ?? 'it is starting'}.`;
    throw new Problem('log-store-away', why, [], { 'retry-after': '2' });
  }

  async close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.timer);
    await this.opened?.store.close();
  }
}
