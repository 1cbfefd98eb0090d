import fc from 'fast-check';
import pg from 'pg';
import { beforeAll, describe, expect, it } from 'vitest';
import { Secret } from '../../src/core/secret.js';
import { loadMasterKey, MasterKey } from '../../src/store/master-key.js';
import { changesBetween, differing, versionsAt } from '../../src/store/releases.js';
import { openStore, type Store } from '../../src/store/store.js';
import { keptLog, SHOP, testController } from '../support/admin.js';
import { onCleanup } from '../support/cleanup.js';
import { testPostgres } from '../support/postgres.js';
import { tmpDir } from '../support/tmp.js';
import { until } from '../support/until.js';

const key = new MasterKey(Buffer.alloc(32, 7));
const actor = { name: 'tester', requestId: 'r' };
let postgres: Awaited<ReturnType<typeof testPostgres>>;
let url: string;

beforeAll(async () => {
  postgres = await testPostgres();
  url = await postgres.database();
});

async function opened(at = url): Promise<Store> {
  const store = await openStore({ url: at, masterKey: key, log: keptLog() });
  onCleanup(() => store.close());
  return store;
}

describe('releases', () => {
  /** A release: names that come into force with a number as content, and names that leave it. */
  const step = fc.record({
    up: fc.uniqueArray(fc.integer({ min: 0, max: 5 }), { maxLength: 3 }),
    down: fc.uniqueArray(fc.integer({ min: 0, max: 5 }), { maxLength: 2 }),
  });

  it('state at any release, what each changed and what differs between any two agree with a replay', async () => {
    const store = await opened();
    let run = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 6 }), async (steps) => {
        const workspace = `run-${++run}`;
        await store.createWorkspace(workspace, null, actor);
        const states: Map<string, number>[] = [new Map()];
        for (const [i, { up, down }] of steps.entries()) {
          const state = new Map(states[i]);
          const gone = down.filter((n) => !up.includes(n) && state.has(`o${n}`));
          for (const n of gone) state.delete(`o${n}`);
          for (const n of up) state.set(`o${n}`, i + 1);
          states.push(state);
          await store.write(workspace, actor, async (tx) => {
            const upserts = up.map((n) => ({
              kind: 'group' as const,
              name: `o${n}`,
              id: `i${n}`,
              revision: i + 1,
              spec: { at: i + 1 },
            }));
            await tx.release(
              upserts,
              gone.map((n) => ({ kind: 'group', name: `o${n}` })),
              { message: '', groupReleases: {} },
            );
          });
        }
        await store.read(async (manager) => {
          const replayed = new Map<string, number>();
          for (const change of await changesBetween(manager, workspace, 0, steps.length)) {
            for (const { name } of change.removals) expect(replayed.delete(name)).toBe(true);
            for (const { name, spec } of change.upserts) replayed.set(name, spec.at as number);
            expect([...replayed].sort()).toEqual([...(states[change.number] ?? [])].sort());
          }
          for (const [n, state] of states.entries()) {
            const at = await versionsAt(manager, workspace, n);
            expect(at.map(({ name, spec }) => [name, spec.at])).toEqual([...state].sort());
          }
          for (const [a, before] of states.entries()) {
            for (const [b, after] of states.entries()) {
              const entries = await differing(manager, workspace, a, b);
              const names = [...new Set([...before.keys(), ...after.keys()])].filter(
                (name) => before.get(name) !== after.get(name),
              );
              expect(entries.map(({ name, a, b }) => [name, a?.spec.at, b?.spec.at])).toEqual(
                names.sort().map((name) => [name, before.get(name), after.get(name)]),
              );
            }
          }
        });
      }),
      { numRuns: 12 },
    );
  });

  it('keeps nothing of a transaction that fails at its end', async () => {
    const store = await opened();
    await store.createWorkspace('atomic', null, actor);
    const failing = store.write('atomic', actor, async (tx) => {
      await tx.putHeads([
        {
          kind: 'group',
          name: 'g',
          id: 'g',
          spec: {},
          state: 'draft',
          references: [{ kind: 'fleet', name: 'f' }],
          action: 'created',
        },
      ]);
      await tx.release([{ kind: 'group', name: 'g', id: 'g', revision: 1, spec: {} }], [], {
        message: '',
        groupReleases: { g: 1 },
      });
      await tx.audit([{ action: 'released' }]);
      throw new Error('at the end');
    });
    await expect(failing).rejects.toThrow('at the end');
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    onCleanup(() => client.end());
    for (const table of [
      'object',
      'object_reference',
      'object_revision',
      'object_version',
      'release',
      'group_release',
    ]) {
      expect([table, (await client.query(`select * from ${table} where workspace = 'atomic'`)).rows]).toEqual([
        table,
        [],
      ]);
    }
    expect((await client.query("select action from audit where workspace = 'atomic'")).rows).toEqual([
      { action: 'workspace created' },
    ]);
    expect((await store.findWorkspace('atomic'))?.release).toBe(0);
  });
});

it('what nobody waited for fails the commit, and nothing of the transaction is kept', async () => {
  const store = await opened();
  await store.createWorkspace('unwatched', null, actor);
  const head = {
    kind: 'group',
    name: 'g',
    id: 'g',
    spec: {},
    state: 'draft',
    references: [],
    action: 'created',
  } as const;
  const failing = store.write('unwatched', actor, async (tx) => {
    await tx.putHeads([head]);
    await tx.release([], [], { message: '', groupReleases: { g: 1.5 } });
    await tx.audit([{ action: 'released' }]);
  });
  await expect(failing).rejects.toThrow('invalid input syntax for type integer');
  expect((await store.findWorkspace('unwatched'))?.release).toBe(0);
  const left = await store.write('unwatched', actor, (tx) => tx.heads([head]));
  expect(left?.result.size).toBe(0);
  const { items } = await store.auditOf({ workspace: 'unwatched' }, 10);
  expect(items.map(({ action }) => action)).toEqual(['workspace created']);
});

it('heads that come with the lock are those of after it', async () => {
  const store = await opened();
  await store.createWorkspace('queue', null, actor);
  const ref = { kind: 'group', name: 'g' } as const;
  const put = (n: number) =>
    ({ ...ref, id: 'g', spec: { n }, state: 'draft', references: [], action: 'changed' }) as const;
  const add = () =>
    store.write(
      'queue',
      actor,
      async (tx) => {
        const n = Number((await tx.heads([ref])).get('group/g')?.spec.n ?? 0);
        await tx.putHeads([put(n + 1)]);
      },
      undefined,
      [ref],
    );
  await Promise.all(Array.from({ length: 20 }, add));
  const found = await store.write('queue', actor, (tx) => tx.heads([ref]));
  expect(found?.result.get('group/g')).toMatchObject({ revision: 20, spec: { n: 20 } });
});

describe('the master key', () => {
  it('opens what it sealed, for the same owner only, and notices every changed byte', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.string(), fc.nat(), (text, owner, at) => {
        const sealed = key.seal(new Secret(text), owner);
        expect(key.open(sealed, owner).reveal()).toBe(text.toWellFormed());
        expect(() => key.open(sealed, `${owner}x`)).toThrow(/damaged|another owner/);
        const bent = Buffer.from(sealed.ciphertext);
        bent[at % bent.length] = (bent[at % bent.length] as number) ^ 1;
        expect(() => key.open({ ...sealed, ciphertext: bent }, owner)).toThrow(/damaged/);
      }),
    );
    const [a, b] = [key.seal(new Secret('same'), 'o'), key.seal(new Secret('same'), 'o')];
    expect(a.nonce.equals(b.nonce) || a.ciphertext.equals(b.ciphertext)).toBe(false);
    expect(() => new MasterKey(Buffer.alloc(32, 8)).open(a, 'o')).toThrow(/another master key/);
    expect(JSON.stringify({ key })).toBe('{"key":"[redacted]"}');
  });

  it('is read from hex, base64 and a file, which two processes may make at once', async () => {
    const bytes = Buffer.alloc(32, 9);
    const file = `${tmpDir()}/keys/master.key`;
    for (const text of [bytes.toString('hex'), bytes.toString('base64'), ` ${bytes.toString('base64url')}\n`]) {
      expect((await loadMasterKey({ text, file })).id).toBe(new MasterKey(bytes).id);
    }
    const made = await Promise.all([loadMasterKey({ file }), loadMasterKey({ file }), loadMasterKey({ file })]);
    expect(new Set(made.map(({ id }) => id)).size).toBe(1);
    expect((await loadMasterKey({ file })).id).toBe(made[0]?.id);
  });
});

it('finds by looking what no notification told of', async () => {
  const database = await postgres.database();
  const [a, b] = await Promise.all([testController(database), testController(database, { pollMs: 100 })]);
  const client = new pg.Client({ connectionString: database });
  await client.connect();
  onCleanup(() => client.end());
  await a.call('POST', '/api/v1/workspaces', { name: 'shop' });
  // What a commit on a replica without NOTIFY looks like: the release is there, nobody was told.
  await a.call('POST', '/api/v1/workspaces/shop/changesets', { definitions: SHOP, publish: false });
  await client.query(
    "insert into release (workspace, number, author, message, created_at, summary) values ('shop', 1, 'x', '', now(), '{}')",
  );
  await client.query(
    "insert into object_version (workspace, kind, name, id, revision, spec, from_release) select workspace, kind, name, id, revision, spec, 1 from object where kind = 'fleet'",
  );
  await client.query("update workspace set release = 1 where name = 'shop'");
  const fleets = () => b.call('GET', '/api/v1/status').then(({ body }) => body.workspaces[0]?.fleets);
  await until(async () => (await fleets())?.[0] === 'shop/edge', { what: 'b has found release 1' });

  // And when its listening connection is cut, it comes back.
  const cut = await client.query(
    "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'paifang listen' and datname = current_database()",
  );
  expect(cut.rowCount).toBe(2);
  expect((await a.call('POST', '/api/v1/workspaces/shop/releases', {})).body.release).toBe(2);
  await until(async () => (await b.call('GET', '/api/v1/status')).body.workspaces[0].release === 2, {
    what: 'b has release 2',
  });
});

it('several replicas that start together on an empty database make the tables once', async () => {
  const database = await postgres.database();
  const stores = await Promise.all([opened(database), opened(database), opened(database)]);
  const tokens = await Promise.all(stores.map((store) => store.firstAdminToken()));
  expect(tokens.filter((token) => token !== undefined).length).toBe(1);
  expect(await stores[0]?.workspaces()).toEqual([]);
});
