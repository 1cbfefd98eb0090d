import { expect, it, vi } from 'vitest';
import { admission } from '../../src/controller/admission.js';

/** Releases that are known once `load` is called; a look takes until the database answers. */
function releases() {
  const waiting: (() => void)[] = [];
  const state = { outage: undefined as string | undefined, looks: 0 };
  return {
    ...state,
    refresh() {
      this.looks++;
      return new Promise<void>((resolve) => waiting.push(resolve));
    },
    answer() {
      for (const resolve of waiting.splice(0)) resolve();
    },
  };
}

it('waits for the look, and one look serves all who came before it', async () => {
  const known = releases();
  const admit = admission(known);
  const admitted: string[] = [];
  const all = ['a', 'b', 'c'].map((name) => admit(true).then(() => admitted.push(name)));
  await vi.waitUntil(() => known.looks === 1);
  expect(admitted).toEqual([]);
  known.answer();
  await Promise.all(all);
  expect([admitted, known.looks]).toEqual([['a', 'b', 'c'], 1]);
});

it('without a database: a node that has nothing is served at once, one that has something when it is back', async () => {
  const known = releases();
  const admit = admission(known);
  known.outage = 'the database is away';
  const empty = admit(false);
  let isIn = false;
  const holding = admit(true).then(() => {
    isIn = true;
  });
  await vi.waitUntil(() => known.looks === 1);
  known.answer();
  await empty;
  await vi.waitUntil(() => known.looks === 2);
  expect(isIn).toBe(false);
  known.outage = undefined;
  known.answer();
  await holding;
});
