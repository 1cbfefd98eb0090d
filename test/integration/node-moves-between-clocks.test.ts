import { expect, it } from 'vitest';
import { MasterKey } from '../../src/store/master-key.js';
import { beat, type NodeAbout, nodesOf, putNodes } from '../../src/store/receipts.js';
import { openStore } from '../../src/store/store.js';
import { keptLog } from '../support/admin.js';
import { onCleanup } from '../support/cleanup.js';
import { testPostgres } from '../support/postgres.js';

const ALIVE_MS = 15_000;
const HOUR = 3_600_000;

it('a node that moves to a controller whose clock is behind is known to be there', async () => {
  const url = await (await testPostgres()).database();
  const store = await openStore({ url, masterKey: new MasterKey(Buffer.alloc(32, 7)), log: keptLog() });
  onCleanup(() => store.close());
  await store.createWorkspace('w', null, { name: 'tester', requestId: 'r' });
  const says = (replica: string, node: string, connected: boolean, connectedAt: Date) =>
    store.read((manager) =>
      putNodes(
        manager,
        [{ workspace: 'w', fleet: 'w/f', node, replica, connected, connectedAt, about: {} as NodeAbout }],
        ALIVE_MS,
      ),
    );
  const lives = (id: string) => store.read((manager) => beat(manager, { id, startedAt: new Date() }, ALIVE_MS));
  const where = async () =>
    (await store.read((manager) => nodesOf(manager, ALIVE_MS))).map((n) => `${n.node} ${n.replica} ${n.connected}`);
  await lives('ahead');
  await lives('right');
  const [later, now] = [new Date(Date.now() + HOUR), new Date()];

  await says('ahead', 'moved', true, later);
  await says('ahead', 'stays', true, later);
  await says('killed', 'orphan', true, later);
  // Both say that they have it: the one that says it came later.
  expect(await says('right', 'stays', true, now)).toEqual(new Set());
  expect(await where()).toEqual(['moved ahead true', 'orphan killed false', 'stays ahead true']);

  await says('ahead', 'moved', false, later);
  expect(await says('right', 'moved', true, now)).toEqual(new Set(['w/f\nmoved']));
  await says('right', 'orphan', true, now);
  expect(await where()).toEqual(['moved right true', 'orphan right true', 'stays ahead true']);

  // Who has lost it, or never had it, does not take it away.
  await says('other', 'moved', false, new Date(now.getTime() - 1));
  expect(await where()).toEqual(['moved right true', 'orphan right true', 'stays ahead true']);
});
