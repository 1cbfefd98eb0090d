import { chmodSync } from 'node:fs';
import { mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { beforeAll, expect, it } from 'vitest';
import { startPostgres } from '../../src/up/postgres.js';
import { onCleanup } from '../support/cleanup.js';
import { type TestPostgres, testPostgres } from '../support/postgres.js';
import { tmpDir } from '../support/tmp.js';
import { until } from '../support/until.js';

let postgres: TestPostgres;
let url: string;
beforeAll(async () => {
  postgres = await testPostgres();
  url = await postgres.database();
  await run(url, 'create table kept(id int); insert into kept values (7)');
});

async function run(connection: string, sql: string) {
  const client = new pg.Client({ connectionString: connection });
  await client.connect();
  try {
    return (await client.query(sql)).rows;
  } finally {
    await client.end();
  }
}

const postmaster = async () =>
  Number((await readFile(join(postgres.dir, 'data/postmaster.pid'), 'utf8')).split('\n')[0]);

it('makes a UTF-8 database that listens on loopback only and keeps its password to its owner', async () => {
  const [row] = await run(
    url,
    "select pg_encoding_to_char(encoding) as encoding, datlocale, current_setting('listen_addresses') as listen from pg_database where datname = current_database()",
  );
  expect(row).toEqual({ encoding: 'UTF8', datlocale: 'C.UTF-8', listen: '127.0.0.1' });
  expect((await stat(join(postgres.dir, 'password'))).mode & 0o777).toBe(0o600);
  await expect(run(url.replace(/:[^:@]+@/, ':wrong@'), 'select 1')).rejects.toThrow(/password authentication failed/);
});

it('adopts a server that an ended process left running, and stops it', async () => {
  const before = await postmaster();
  const second = await startPostgres({ dir: postgres.dir });
  expect(await postmaster()).toBe(before);
  expect(new URL(second.url).port).toBe(new URL(url).port);
  expect(await run(url, 'select id from kept')).toEqual([{ id: 7 }]);
});

it('starts a server again that was killed, on the same port, with all data', async () => {
  const before = await postmaster();
  process.kill(before, 'SIGKILL');
  const rows = await until(async () => (await postmaster()) !== before && run(url, 'select id from kept'), {
    what: 'the server is back',
  });
  expect(rows).toEqual([{ id: 7 }]);
});

it('starts on the leavings of an interrupted set-up and of a process id that now belongs to another', async () => {
  await postgres.stop();
  await mkdir(join(postgres.dir, 'data.new'));
  await writeFile(
    join(postgres.dir, 'data/postmaster.pid'),
    `${process.pid}\n${postgres.dir}/data\n0\n1\n\n127.0.0.1\n`,
  );
  await postgres.start();
  expect(await run(url, 'select id from kept')).toEqual([{ id: 7 }]);
});

// Only root needs another account for PostgreSQL; everybody else's server runs where it is told to.
it.runIf(process.getuid?.() === 0)(
  'as root, keeps data that its account could not reach in the system, and finds it again',
  async () => {
    const closed = tmpDir();
    chmodSync(closed, 0o700);
    const told: string[] = [];
    const options = {
      dir: join(closed, 'deep/postgres'),
      settings: { fsync: 'off' },
      log: (line: string) => told.push(line),
    };
    const first = await startPostgres(options);
    onCleanup(() => rm(first.dir, { recursive: true, force: true }));
    onCleanup(() => first.stop());
    expect(first.dir).not.toContain(closed);
    expect(told[0]).toContain(`PostgreSQL's data is in ${first.dir}`);
    await run(first.url, 'create table kept(id int)');
    await first.stop();
    const second = await startPostgres(options);
    onCleanup(() => second.stop());
    expect(second.url).toBe(first.url);
    expect(await run(second.url, 'select id from kept')).toEqual([]);
  },
);
