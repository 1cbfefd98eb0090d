import { expect, it } from 'vitest';
import { Journal } from '../../src/controller/receipts/journal.js';
import { Tracker } from '../../src/controller/receipts/tracker.js';
import { createLogger } from '../../src/logger.js';
import type { Store } from '../../src/store/store.js';
import { onCleanup } from '../support/cleanup.js';
import { until } from '../support/until.js';

it('hundreds that wait for other controllers at once read their nodes once, and after they asked', async () => {
  // A database that answers when it is told to.
  const asked: ((rows: never) => void)[] = [];
  let open = false;
  const read = () => new Promise<never>((resolve) => (open ? resolve([] as never) : asked.push(resolve)));
  const answer = (i: number) => asked[i]?.([] as never);
  const tracker = new Tracker('replica-1');
  const log = createLogger({ level: 'error', format: 'text' }, 'test');
  const journal = new Journal(tracker, { read } as Pick<Store, 'read'>, log);
  onCleanup(async () => {
    open = true;
    asked.forEach((_, i) => {
      answer(i);
    });
    await journal.close();
    tracker.close();
  });
  // The first is its own sign of life, which gets no answer here.
  await until(() => asked.length === 1, { what: 'its sign of life' });
  const before = journal.look();
  await until(() => asked.length === 2, { what: 'a look' });
  let answered = 0;
  const waits = Array.from({ length: 300 }, () => journal.look().then(() => answered++));
  answer(1);
  await before;
  await until(() => asked.length > 2, { what: 'a look for all that asked since' });
  expect(answered).toBe(0);
  answer(2);
  await Promise.all(waits);
  expect(asked).toHaveLength(3);
});
