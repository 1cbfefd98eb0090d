import { expect, it } from 'vitest';
import type { Child } from '../../src/up/child.js';
import { keepRunning } from '../../src/up/supervise.js';
import { until } from '../support/until.js';

/** A process as `startChild` gives it, ended at will. */
function child(): Child & { end(): void } {
  let end = () => {};
  const ended = new Promise<string>((resolve) => {
    end = () => resolve('it ended with code 1');
  });
  const ready = Promise.resolve({ ready: true } as const);
  return { name: 'it', pid: 1, ended, ready, announces: false, stop: async () => {}, end };
}

it('a process that cannot be started for a time, as on a full disk, is tried again and takes nothing down', async () => {
  const said: string[] = [];
  const first = child();
  const later = child();
  let starts = 0;
  const kept = keepRunning(
    'it',
    (line) => said.push(line),
    () => {
      starts++;
      if (starts === 1) return first;
      if (starts < 4) throw new Error('ENOSPC: no space left on device');
      return later;
    },
  );
  first.end();
  await until(() => kept.current() === later, { what: 'the process again' });
  expect(starts).toBe(4);
  expect(said).toEqual([
    'it ended with code 1; starting it again',
    'it cannot be started: ENOSPC: no space left on device; trying again',
    'it cannot be started: ENOSPC: no space left on device; trying again',
  ]);
  await kept.stop();
});
