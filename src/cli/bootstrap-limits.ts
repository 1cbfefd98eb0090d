import { type Command, Option } from 'commander';
import { usage } from './exit.js';

export interface LimitOptions {
  readonly maxHeap?: string;
  readonly maxConnections?: string;
}

/** Adds what an Envoy may take of its machine. Variables, so that the unit or container of a node can say it. */
export function withLimits(command: Command): Command {
  return command
    .addOption(
      new Option(
        '--max-heap <MiB>',
        'memory the Envoy may use; beyond most of it clients are cut off and refused with 9504 (default: 2048)',
      ).env('PAIFANG_ENVOY_MAX_HEAP_MIB'),
    )
    .addOption(
      new Option(
        '--max-connections <count>',
        'connections of clients that all listeners together accept (default: 50000)',
      ).env('PAIFANG_ENVOY_MAX_CONNECTIONS'),
    );
}

/** The limits given. @throws CliError for what is no such number. */
export function limitsOf({ maxHeap, maxConnections }: LimitOptions): {
  maxHeapBytes?: number;
  maxConnections?: number;
} {
  return {
    ...(maxHeap && { maxHeapBytes: count(maxHeap, '--max-heap', 64, 1 << 22) * 2 ** 20 }),
    ...(maxConnections && { maxConnections: count(maxConnections, '--max-connections', 1, 10_000_000) }),
  };
}

function count(text: string, option: string, least: number, most: number): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < least || value > most)
    throw usage(`${option}: "${text}" is not a number from ${least} to ${most}.`);
  return value;
}
