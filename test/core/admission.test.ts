import { expect, it, vi } from 'vitest';
import { admission } from '../../src/controller/admission.js';

/** Releases that are known once `load` is called; a look takes until the database answers. */
function releases() {
  const waiting: (() => void)[] = [];
  const state = { outage: undefined as string | undefined, looks: 0, late: '' };
  return {
    ...state,
    behind(workspace: string) {
      return workspace === this.late;
    },
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
  const all = ['a', 'b', 'c'].map((name) => admit({ holds: true, fleet: 'shop/edge' }).then(() => admitted.push(name)));
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
  const empty = admit({ holds: false, fleet: 'shop/edge' });
  let isIn = false;
  const holding = admit({ holds: true, fleet: 'shop/edge' }).then(() => {
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

it('content that cannot be served here: a node that may have it is sent elsewhere, one that has nothing is let in', async () => {
  const known = releases();
  const admit = admission(known);
  const [holding, empty, other] = [
    admit({ holds: true, fleet: 'shop/edge' }),
    admit({ holds: false, fleet: 'shop/edge' }),
    admit({ holds: true, fleet: 'bank/edge' }),
  ];
  await vi.waitUntil(() => known.looks === 1);
  // Found by the look itself.
  known.late = 'shop';
  known.answer();
  expect(await holding).toMatch(/behind.*another controller/);
  expect(await empty).toBeUndefined();
  expect(await other).toBeUndefined();
  known.late = '';
  const again = admit({ holds: true, fleet: 'shop/edge' });
  await vi.waitUntil(() => known.looks === 2);
  known.answer();
  expect(await again).toBeUndefined();
});
