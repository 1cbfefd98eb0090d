import { expect, it } from 'vitest';
import { SharedLook } from '../../src/controller/shared-look.js';

it('answers each by a run that began after it asked, and runs no more than that needs', async () => {
  const ends: (() => void)[] = [];
  const look = new SharedLook(() => new Promise((resolve) => ends.push(resolve)));
  const done: string[] = [];
  const ask = (name: string) => look.run().then(() => done.push(name));
  const first = ask('a');
  await Promise.resolve();
  await Promise.resolve();
  expect(ends).toHaveLength(1);
  const later = [ask('b'), ask('c')];
  ends[0]?.();
  await first;
  expect(done).toEqual(['a']);
  while (ends.length < 2) await Promise.resolve();
  const last = ask('d');
  ends[1]?.();
  await Promise.all(later);
  expect(done).toEqual(['a', 'b', 'c']);
  while (ends.length < 3) await Promise.resolve();
  ends[2]?.();
  await last;
  expect(ends).toHaveLength(3);
});
