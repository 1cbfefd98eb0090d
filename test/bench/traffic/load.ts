import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { onCleanup } from '../../support/cleanup.js';
import type { LoadResult, Order, Report, Target } from './load-process.js';

export type { LoadResult, Target } from './load-process.js';

/** A process that sends requests, and answers those that reach a backend. */
export interface Load {
  /** Of the backend, which answers everything with 200. */
  readonly backendPort: number;
  /**
   * Sends `rate` requests a second to the gateway, spread evenly, whatever becomes of the earlier ones (open loop), over 32
   * connections. A request fails when it is not answered with 200. `targets` must not be empty.
   */
  start(port: number, rate: number, targets: readonly Target[]): void;
  /** Resolves when targets are added, removed ones are no longer asked for, and none of those requests is under way. */
  change(add: readonly Target[], remove: readonly Target[]): Promise<void>;
  stop(): Promise<LoadResult>;
}

/** Starts the process; ended with the scope. */
export async function startLoad(): Promise<Load> {
  const child = fork(join(import.meta.dirname, 'load-process.js'), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  onCleanup(async () => {
    child.disconnect();
    if (child.exitCode === null) await once(child, 'exit');
  });
  const send = (order: Order) => child.send(order);
  const report = async <K extends Report['kind']>(kind: K): Promise<Extract<Report, { kind: K }>> => {
    const [got] = (await once(child, 'message')) as [Report];
    if (got.kind !== kind) throw new Error(`the load told ${got.kind}, not ${kind}`);
    return got as Extract<Report, { kind: K }>;
  };
  const { backendPort } = await report('ready');
  return {
    backendPort,
    start: (port, rate, targets) => send({ kind: 'start', port, rate, targets }),
    change: async (add, remove) => {
      send({ kind: 'change', add, remove });
      await report('changed');
    },
    stop: async () => {
      send({ kind: 'stop' });
      return (await report('stopped')).result;
    },
  };
}
