import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { cp, mkdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { type Postgres, startPostgres } from '../../src/up/postgres.js';
import { onCleanup } from './cleanup.js';
import { freePort } from './ports.js';
import { tmpDir } from './tmp.js';

/** initdb takes a second or more; its result is the same each time, so it is made once and copied. */
const TEMPLATE = fileURLToPath(new URL('../../build/test-postgres', import.meta.url));
/** Survives the death of its processes, as tests ask for, but not the machine's, which they never see. */
const SETTINGS = { fsync: 'off', full_page_writes: 'off', shared_buffers: '32MB' };

export interface TestPostgres {
  /** Directory of the server; `startPostgres({ dir })` on it after `stop()` brings the same data back. */
  readonly dir: string;
  /** URL of a new, empty database on this server. */
  database(): Promise<string>;
  /** Stops the server as an outage would: sessions are cut. */
  stop(): Promise<void>;
  /** Starts it again, on the same port. */
  start(): Promise<void>;
  /** Freezes all its processes: sessions stay open, new ones are taken by the system, and nothing is answered. */
  freeze(): void;
  /** Lets them go on. Done at the end of the file, too. */
  thaw(): void;
}

/**
 * A PostgreSQL of this test file's own, stopped and removed when the file ends. If the process is killed before that, a
 * watcher that waits for the end of our pipe does it.
 *
 * @param settings default: fast, and not safe against a crash of the machine; `{}`: as in production.
 */
export async function testPostgres(settings: Readonly<Record<string, string>> = SETTINGS): Promise<TestPostgres> {
  const dir = tmpDir();
  await template(dir);
  // Reserved among test processes: two servers that start at once would choose the same free port.
  const port = await freePort();
  let server: Postgres = await startPostgres({ dir, port, settings });
  const watcher = spawn('/bin/sh', ['-c', WATCH, server.dir], { stdio: ['pipe', 'ignore', 'ignore'], detached: true });
  watcher.unref();
  let frozen: number[] = [];
  const signal = (pid: number, name: NodeJS.Signals) => {
    try {
      process.kill(pid, name);
    } catch {
      // A session that ended meanwhile.
    }
  };
  const thaw = () => {
    for (const pid of frozen.splice(0)) signal(pid, 'SIGCONT');
  };
  onCleanup(async () => {
    thaw();
    await server.stop();
    watcher.stdin.end();
  });
  let count = 0;
  return {
    dir,
    async database() {
      const name = `test_${++count}`;
      const client = new pg.Client({ connectionString: server.url });
      await client.connect();
      try {
        await client.query(`create database ${name}`);
      } finally {
        await client.end();
      }
      const url = new URL(server.url);
      url.pathname = `/${name}`;
      return url.href;
    },
    stop: () => server.stop(),
    async start() {
      server = await startPostgres({ dir, port, settings });
    },
    freeze() {
      // The parent first: it makes no more children then.
      signal(postgresPids(server.dir)[0] as number, 'SIGSTOP');
      frozen = postgresPids(server.dir);
      for (const pid of frozen) signal(pid, 'SIGSTOP');
    },
    thaw,
  };
}

/** Stops the server of directory $0 and removes it once standard input ends, which it does when we do. */
const WATCH = `cat >/dev/null
[ -e "$0" ] || exit
read -r pid < "$0/data/postmaster.pid" && kill -INT "$pid" && while kill -0 "$pid"; do sleep 0.1; done
rm -rf "$0"`;

/** Copies a stopped, initialised server to `dir`, making the original first if this checkout has none yet. */
async function template(dir: string): Promise<void> {
  if (!(await stat(TEMPLATE).catch(() => undefined))) {
    const server = await startPostgres({ dir: tmpDir(), settings: SETTINGS });
    await server.stop();
    await mkdir(join(TEMPLATE, '..'), { recursive: true });
    const copy = `${TEMPLATE}.${process.pid}`;
    await cp(server.dir, copy, { recursive: true, verbatimSymlinks: true });
    // Two test processes may do this at once: the first to rename wins, the other's is thrown away.
    await rename(copy, TEMPLATE).catch(() => rm(copy, { recursive: true, force: true }));
  }
  await cp(TEMPLATE, dir, { recursive: true, verbatimSymlinks: true });
}

/** The server that has `dir` open, and all its children; nothing while there is none. */
export function postgresPids(dir: string): number[] {
  let server: number;
  try {
    server = Number(readFileSync(join(dir, 'data/postmaster.pid'), 'utf8').split('\n')[0]);
  } catch {
    return [];
  }
  const children = readdirSync('/proc').filter((entry) => {
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, 'utf8');
      return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) === server;
    } catch {
      // Not a process, or gone since.
      return false;
    }
  });
  return [server, ...children.map(Number)];
}
