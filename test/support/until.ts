import { setTimeout as delay } from 'node:timers/promises';

const POLL_FIRST_MS = 2;
const POLL_MOST_MS = 50;

/**
 * Waits until `condition` returns something truthy and resolves with that. A condition that throws is one not met yet.
 * Rejects after `within` milliseconds (10,000 unless told) with `what` was awaited and what the condition last said.
 */
export async function until<T>(
  condition: () => T | Promise<T>,
  { within = 10_000, what }: { within?: number; what: string },
): Promise<Exclude<T, undefined | null | false | 0 | ''>> {
  const end = performance.now() + within;
  let last: unknown;
  for (let pause = POLL_FIRST_MS; ; pause = Math.min(pause * 2, POLL_MOST_MS)) {
    try {
      const value = await condition();
      if (value) return value as Exclude<T, undefined | null | false | 0 | ''>;
      last = value;
    } catch (error) {
      last = error;
    }
    if (performance.now() >= end) break;
    await delay(pause);
  }
  const said = last instanceof Error ? last.message : JSON.stringify(last);
  throw new Error(`waited ${within} ms for: ${what} (last: ${said})`, { cause: last });
}
