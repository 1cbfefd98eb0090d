import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chown, lchown, mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { type Account, accountFor, type Installation, installation, placeFor } from './postgres-install.js';

export interface PostgresOptions {
  /** Directory of this server's data, password and log; made when missing. */
  readonly dir: string;
  /** Port to listen on. 0 or left out: the one of last time, else a free one. */
  readonly port?: number;
  /** Progress and warnings, one line each. */
  log?(line: string): void;
  /** Further settings (`name: value`), e.g. `fsync: off` for tests. */
  readonly settings?: Readonly<Record<string, string>>;
}

export interface Postgres {
  /** Connection URL of the database `paifang`, with the password: a secret. */
  readonly url: string;
  /** Where the data really is: `dir`, unless its account could not enter that. */
  readonly dir: string;
  /** Stops the server and waits until its data is on disk. Idempotent. */
  stop(): Promise<void>;
}

const USER = 'paifang';
const DATABASE = 'paifang';
const START_LIMIT_MS = 60_000;

/**
 * Starts the PostgreSQL that npm brought, on loopback, with a random password kept in a file of mode 0600, and creates the
 * database `paifang`. A server that a killed process left running on the same data is adopted; a server that dies is started
 * again on the same port. As root it runs as an unprivileged account, for PostgreSQL refuses to run as root.
 *
 * @throws Error that says what to do when there are no binaries for this machine, or the server does not come up in 60 s.
 */
export async function startPostgres(options: PostgresOptions): Promise<Postgres> {
  const log = options.log ?? (() => {});
  const account = await accountFor(process.getuid?.());
  const place = await placeFor(resolve(options.dir), account);
  if (place !== resolve(options.dir))
    log(`PostgreSQL's data is in ${place}: account ${account?.name} cannot enter ${options.dir}`);
  // Parents stay open: the account has to pass through them.
  await mkdir(dirname(place), { recursive: true, mode: 0o755 });
  await mkdir(place, { recursive: true, mode: 0o700 });
  if (account) await chown(place, account.uid, account.gid);
  const software = await installation(place, account);
  const server = new Server(place, software, account, await passwordOf(place, account), options, log);
  await server.initialise();
  await server.start();
  await server.createDatabase();
  return { dir: place, url: server.url(DATABASE), stop: () => server.stop() };
}

/** One data directory and the process that has it open: our child, or one that an earlier process left. */
class Server {
  private port = 0;
  private pid: number | undefined;
  private child: ChildProcess | undefined;
  private stopping: Promise<void> | undefined;
  private readonly data: string;
  private readonly onExit = () => this.signal('SIGINT');

  constructor(
    private readonly place: string,
    private readonly software: Installation,
    private readonly account: Account | undefined,
    private readonly password: string,
    private readonly options: PostgresOptions,
    private readonly log: (line: string) => void,
  ) {
    this.data = join(place, 'data');
  }

  url(database: string): string {
    return `postgres://${USER}:${this.password}@127.0.0.1:${this.port}/${database}`;
  }

  /** Makes the data directory, under another name until it is complete: an interrupted initdb leaves nothing half made. */
  async initialise(): Promise<void> {
    if (await exists(join(this.data, 'PG_VERSION'))) return this.own();
    this.log('creating the database files');
    const fresh = join(this.place, 'data.new');
    await rm(fresh, { recursive: true, force: true });
    const args = [
      '-D',
      fresh,
      '-U',
      USER,
      `--pwfile=${join(this.place, 'password')}`,
      '--auth=scram-sha-256',
      '--encoding=UTF8',
    ];
    // The built-in provider has C.UTF-8 on every system; the C library's exists only on some.
    args.push('--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8', '--no-instructions');
    if (this.options.settings?.fsync === 'off') args.push('--no-sync');
    await this.run('initdb', args);
    await rename(fresh, this.data);
  }

  /** Gives the data to the account when another owns it, as after a restored backup or a start as another user. */
  private async own(): Promise<void> {
    if (this.account === undefined || (await stat(this.data)).uid === this.account.uid) return;
    for (const entry of await readdir(this.data, { recursive: true })) {
      await lchown(join(this.data, entry), this.account.uid, this.account.gid);
    }
    await chown(join(this.place, 'password'), this.account.uid, this.account.gid);
    await chown(this.data, this.account.uid, this.account.gid);
  }

  /** Adopts the server that is running on the data, or starts one; returns when it takes connections. */
  async start(): Promise<void> {
    if (await this.adopt()) return;
    this.port = await this.choosePort();
    const settings = {
      listen_addresses: '127.0.0.1',
      port: String(this.port),
      unix_socket_directories: '',
      ...this.options.settings,
    };
    const args = ['-D', this.data, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])];
    const log = await this.openLog();
    try {
      // Its own session: Ctrl-C at the terminal must reach the gateway first, which then stops its database in order.
      this.child = spawn(join(this.software.bin, 'postgres'), args, {
        cwd: this.place,
        detached: true,
        stdio: ['ignore', log.fd, log.fd],
        env: this.environment(),
        ...this.identity(),
      });
      this.child.once('error', (error) => this.log(`PostgreSQL could not be started: ${error.message}`));
    } finally {
      await log.close();
    }
    const child = this.child;
    this.pid = child.pid;
    child.unref();
    process.once('exit', this.onExit);
    await this.untilReady(() => child.pid !== undefined && child.exitCode === null && child.signalCode === null);
    child.once('exit', () => void this.revive());
  }

  async createDatabase(): Promise<void> {
    const client = new pg.Client({ connectionString: this.url('postgres') });
    await client.connect();
    try {
      const found = await client.query('select 1 from pg_database where datname = $1', [DATABASE]);
      if (found.rowCount === 0) await client.query(`create database ${DATABASE}`);
    } finally {
      await client.end();
    }
  }

  stop(): Promise<void> {
    this.stopping ??= this.shutDown();
    return this.stopping;
  }

  private async shutDown(): Promise<void> {
    process.removeListener('exit', this.onExit);
    const pid = this.pid;
    // SIGINT is PostgreSQL's fast shutdown: sessions are ended, everything is written, then it exits.
    this.signal('SIGINT');
    for (let waited = 0; pid !== undefined && alive(pid); waited += 20) {
      if (waited === 20_000) this.signal('SIGQUIT');
      if (waited >= START_LIMIT_MS) throw new Error(`PostgreSQL (process ${pid}) did not stop`);
      await delay(20);
    }
  }

  private signal(signal: NodeJS.Signals): void {
    try {
      if (this.pid !== undefined) process.kill(this.pid, signal);
    } catch {
      // Already gone.
    }
  }

  /** Starts the server again after it died by itself; on the same port, so that pools of connections find it. */
  private async revive(): Promise<void> {
    for (let pause = 100; this.stopping === undefined; pause = Math.min(pause * 2, 5000)) {
      this.log('PostgreSQL ended unexpectedly; starting it again');
      process.removeListener('exit', this.onExit);
      await delay(pause, undefined, { ref: false });
      if (this.stopping !== undefined) return;
      try {
        return await this.start();
      } catch (error) {
        this.log(error instanceof Error ? error.message : String(error));
      }
    }
  }

  /** Takes over a server that outlived the process that started it. Waits for one that is just ending or recovering. */
  private async adopt(): Promise<boolean> {
    const lockFile = join(this.data, 'postmaster.pid');
    const lines = (await readFile(lockFile, 'utf8').catch(() => '')).split('\n');
    const pid = Number(lines[0]);
    if (!(pid > 0) || !alive(pid)) return false;
    if (!(await runsOn(pid, this.data))) {
      // The number was given to another process since; PostgreSQL would refuse to start if that one has its account.
      await rm(lockFile, { force: true });
      return false;
    }
    this.port = Number(lines[3]);
    this.pid = pid;
    this.log(`PostgreSQL (process ${pid}) is still running from before; using it`);
    try {
      await this.untilReady(() => alive(pid));
    } catch (error) {
      if (alive(pid)) throw error;
      return false;
    }
    process.once('exit', this.onExit);
    const watch = setInterval(() => {
      if (this.stopping !== undefined) clearInterval(watch);
      else if (!alive(pid)) {
        clearInterval(watch);
        void this.revive();
      }
    }, 500).unref();
    return true;
  }

  private async untilReady(running: () => boolean): Promise<void> {
    let reason = 'no answer';
    for (const deadline = performance.now() + START_LIMIT_MS; performance.now() < deadline; await delay(25)) {
      const client = new pg.Client({ connectionString: this.url('postgres'), connectionTimeoutMillis: 5000 });
      client.on('error', () => {});
      try {
        await client.connect();
        await client.end();
        return;
      } catch (error) {
        reason = error instanceof Error ? error.message : String(error);
        // A wrong password will not become right by waiting.
        if ((error as { code?: string }).code === '28P01') break;
      }
      if (!running()) {
        reason = 'its process ended';
        break;
      }
    }
    const tail = (await readFile(join(this.place, 'postgres.log'), 'utf8').catch(() => ''))
      .trim()
      .split('\n')
      .slice(-5)
      .join('\n');
    throw new Error(
      `PostgreSQL on 127.0.0.1:${this.port} did not start: ${reason}. The end of ${join(this.place, 'postgres.log')}:\n${tail}`,
    );
  }

  /** The port of last time if it is free, so that URLs people wrote down stay right; else a free one. */
  private async choosePort(): Promise<number> {
    if (this.options.port) return this.options.port;
    const file = join(this.place, 'port');
    const before = Number(await readFile(file, 'utf8').catch(() => '0'));
    const chosen = (await freePort(before)) ?? (await freePort(0));
    if (chosen === undefined) throw new Error('no free TCP port on 127.0.0.1 for PostgreSQL');
    await writeFile(file, `${chosen}\n`);
    return chosen;
  }

  private async openLog() {
    const path = join(this.place, 'postgres.log');
    const size = await stat(path).then(
      (s) => s.size,
      () => 0,
    );
    if (size > 8 * 1024 * 1024) await rename(path, `${path}.1`);
    return open(path, 'a', 0o600);
  }

  private async run(program: string, args: string[]): Promise<void> {
    const child = spawn(join(this.software.bin, program), args, {
      cwd: this.place,
      env: this.environment(),
      ...this.identity(),
    });
    let output = '';
    child.stdout.on('data', (chunk) => (output += chunk));
    child.stderr.on('data', (chunk) => (output += chunk));
    const failure = await new Promise<string | undefined>((done) => {
      child.once('error', (error) => done(error.message));
      child.once('close', (code, signal) => done(code === 0 ? undefined : `ended with ${signal ?? code}`));
    });
    if (failure !== undefined)
      throw new Error(`${program} failed: ${failure}\n${output.trim().split('\n').slice(-8).join('\n')}`);
  }

  private identity(): { uid?: number; gid?: number } {
    return this.account ? { uid: this.account.uid, gid: this.account.gid } : {};
  }

  private environment(): NodeJS.ProcessEnv {
    // Settings of a client on this machine (PGPORT, PGDATA, LC_ALL …) must not reach the server.
    return { PATH: process.env.PATH ?? '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' };
  }
}

async function passwordOf(place: string, account: Account | undefined): Promise<string> {
  const file = join(place, 'password');
  const found = await readFile(file, 'utf8').catch(() => '');
  if (found.trim() !== '') return found.trim();
  const made = randomBytes(24).toString('hex');
  await writeFile(`${file}.new`, `${made}\n`, { mode: 0o600 });
  if (account) await chown(`${file}.new`, account.uid, account.gid);
  await rename(`${file}.new`, file);
  return made;
}

/** `port` if it is free on loopback, any free one for 0; undefined when there is none. */
function freePort(port: number): Promise<number | undefined> {
  return new Promise((done) => {
    const server = createServer();
    server.once('error', () => done(undefined));
    server.listen(port, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => done(typeof address === 'object' && address ? address.port : undefined));
    });
  });
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Whether process `pid` is the server of `data`: PostgreSQL works in its data directory. True where that can't be seen. */
async function runsOn(pid: number, data: string): Promise<boolean> {
  if (process.platform !== 'linux') return true;
  const [theirs, ours] = await Promise.all([
    stat(`/proc/${pid}/cwd`).catch(() => undefined),
    stat(data).catch(() => undefined),
  ]);
  return theirs !== undefined && ours !== undefined && theirs.ino === ours.ino && theirs.dev === ours.dev;
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
