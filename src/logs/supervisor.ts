import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';

export interface EmbeddedLogStoreOptions {
  /** Data directory. */
  readonly dir: string;
  /**
   * Starts a process that calls `runChdbChild` with this directory and port (0: any), with stdin, stdout and stderr as pipes.
   */
  readonly spawn: (where: { dir: string; port: number }) => ChildProcess;
  /** Told when the process ended or could not start, and what is done about it. */
  readonly onTrouble?: (message: string) => void;
  /** How long the first start may take. Default 60 s. */
  readonly startTimeoutMs?: number;
}

export interface EmbeddedLogStore {
  readonly url: string;
  readonly user: string;
  /** Made for this run; the process knows it from its standard input, nobody else does. */
  readonly password: string;
  /** Process id of the store now; undefined while it is being started again. */
  readonly pid: number | undefined;
  close(): Promise<void>;
}

const HOST = '127.0.0.1';
const FIRST_BACKOFF_MS = 100;
const LONGEST_BACKOFF_MS = 10_000;
/** After this long a process counts as healthy, and the next failure begins with a short pause again. */
const HEALTHY_MS = 30_000;
/** An orphan ends by itself when its input closes; after so many failed starts it is taken to hang and is killed. */
const PATIENCE = 4;
const STOP_MS = 8_000;

/**
 * Runs the embedded log store in a process of its own and starts it again, on the same port, when it ends. Resolves when it
 * answers. Rejects when it does not come up in time or ends again and again before it answered once, with what it said.
 */
export async function startEmbeddedLogStore(options: EmbeddedLogStoreOptions): Promise<EmbeddedLogStore> {
  const supervisor = new Supervisor(options);
  await supervisor.started;
  return supervisor;
}

class Supervisor implements EmbeddedLogStore {
  readonly user = 'paifang';
  readonly password = randomBytes(32).toString('base64url');
  readonly started: Promise<void>;
  readonly #options: EmbeddedLogStoreOptions;
  readonly #done: Promise<void>;
  readonly #stopping = new AbortController();
  #child: ChildProcess | undefined;
  #port = 0;
  #everReady = false;
  #stderr = '';

  constructor(options: EmbeddedLogStoreOptions) {
    this.#options = options;
    let ready = () => {};
    let refuse = (_: Error) => {};
    this.started = new Promise((resolve, reject) => {
      ready = resolve;
      refuse = reject;
    });
    const giveUp = () => {
      refuse(new Error(`the embedded log store did not start: ${this.#stderr.trim() || 'it said nothing'}`));
      this.#stopping.abort();
    };
    const timeout = setTimeout(giveUp, options.startTimeoutMs ?? 60_000);
    this.#done = this.#run(() => {
      clearTimeout(timeout);
      this.#everReady = true;
      ready();
    }, giveUp).finally(() => clearTimeout(timeout));
  }

  get url(): string {
    return `http://${HOST}:${this.#port}`;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  async close(): Promise<void> {
    this.#stopping.abort();
    await this.#done;
  }

  async #run(onReady: () => void, giveUp: () => void): Promise<void> {
    const { signal } = this.#stopping;
    for (let failures = 0; !signal.aborted; failures++) {
      const began = performance.now();
      const wasReady = await this.#live(onReady);
      if (signal.aborted) return;
      if (!this.#everReady && failures > PATIENCE) return giveUp();
      if (wasReady && performance.now() - began > HEALTHY_MS) failures = 0;
      this.#options.onTrouble?.(
        `the embedded log store ended and is started again: ${this.#stderr.trim().slice(-500)}`,
      );
      if (!wasReady && failures >= PATIENCE) await this.#killOrphan();
      await pause(Math.min(LONGEST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** Math.min(failures, 10)), signal);
    }
  }

  /** One process from start to end; resolves with whether it was ready once. */
  async #live(onReady: () => void): Promise<boolean> {
    let ready = false;
    this.#stderr = '';
    const child = this.#options.spawn({ dir: this.#options.dir, port: this.#port });
    this.#child = child;
    const ended = new Promise<void>((resolve) => {
      child.once('close', () => resolve());
      child.once('error', (error) => {
        this.#stderr += error.message;
        if (child.pid === undefined) resolve();
      });
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-4_000);
    });
    if (child.stdout) {
      createInterface({ input: child.stdout }).on('line', (line) => {
        const port = portOf(line);
        if (port === undefined) return;
        this.#port = port;
        ready = true;
        onReady();
      });
    }
    child.stdin?.on('error', () => {}); // it is gone; 'close' tells so
    child.stdin?.write(`${this.password}\n`);
    const stop = () => {
      child.stdin?.end();
      setTimeout(() => child.kill('SIGKILL'), STOP_MS).unref();
    };
    this.#stopping.signal.addEventListener('abort', stop, { once: true });
    if (this.#stopping.signal.aborted) stop();
    await ended;
    this.#stopping.signal.removeEventListener('abort', stop);
    this.#child = undefined;
    return ready;
  }

  /**
   * Kills a process that still holds the directory, if it is really one of ours (its command line names the directory) and
   * whoever started it is gone (its parent is another now). A store in use is left alone.
   */
  async #killOrphan(): Promise<void> {
    try {
      const { pid, parent } = JSON.parse(await readFile(join(this.#options.dir, 'server.pid'), 'utf8'));
      const command = (await readFile(`/proc/${pid}/cmdline`, 'utf8')).split('\0');
      const ours = command.some((part) => resolve(part) === resolve(this.#options.dir));
      // Fields of stat after the name, which stands in parentheses: state, parent, …
      const parentNow = Number(/\) \S (\d+)/.exec(await readFile(`/proc/${pid}/stat`, 'utf8'))?.[1]);
      if (!ours || parentNow === parent) return;
      process.kill(pid, 'SIGKILL');
      this.#options.onTrouble?.(`a log store process left over from an earlier run (${pid}) was ended`);
    } catch {
      // No such file or process: then nobody we could name holds it.
    }
  }
}

function portOf(line: string): number | undefined {
  try {
    const { port } = JSON.parse(line) as { port?: unknown };
    return typeof port === 'number' ? port : undefined;
  } catch {
    return undefined; // the engine may print lines of its own
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((done) => {
    const finish = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', finish);
      done();
    };
    const timer = setTimeout(finish, ms);
    signal.addEventListener('abort', finish);
  });
}
