import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Child processes of `paifang up` and what is left of them after a kill -9: each is registered in `dataDir/run/<name>.json`
 * with pid and start time, so the next start ends exactly the processes this installation started, and no others that
 * happen to have the same pid.
 */
export interface Child {
  readonly name: string;
  readonly pid: number;
  /** Resolves with a sentence when the process has ended, whoever ended it. */
  readonly ended: Promise<string>;
  /** What one of our own processes said when it was ready; rejects if it ends before. Never settles for others. */
  readonly ready: Promise<Announcement>;
  /** Whether it is one of our own processes, which say when they are ready. */
  readonly announces: boolean;
  /** Asks it to end, and ends it after `graceMs`. Resolves when it is gone. */
  stop(graceMs?: number): Promise<void>;
}

/** What a process of ours tells the one that started it. */
export interface Announcement {
  readonly ready: true;
  readonly [detail: string]: unknown;
}

/** A process that could not be started; the message has its last words. */
export class StartError extends Error {}

interface Registration {
  readonly pid: number;
  readonly started: string;
}

export interface ChildOptions {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Directory of registrations. */
  readonly runDir: string;
  /** File that takes its output. */
  readonly logFile: string;
  /** One of our own processes: it says over IPC when it is ready, and ends itself when this process is gone. */
  readonly ours?: boolean;
}

export function startChild(options: ChildOptions): Child {
  mkdirSync(options.runDir, { recursive: true });
  const log = openSync(options.logFile, 'a');
  let child: ChildProcess;
  try {
    child = spawn(options.command, options.args, {
      cwd: options.cwd,
      env: options.env ?? process.env,
      stdio: options.ours ? ['ignore', log, log, 'ipc'] : ['ignore', log, log],
      // A group of its own: Ctrl-C in the terminal reaches only us, and we stop everything in order.
      detached: true,
    });
  } finally {
    closeSync(log);
  }
  const registration = join(options.runDir, `${options.name}.json`);
  const ended = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(`${options.name} could not be started: ${error.message}`));
    child.once('exit', (code, signal) => {
      rmSync(registration, { force: true });
      resolve(`${options.name} ended ${signal ? `by ${signal}` : `with code ${code}`}`);
    });
  });
  const ready = new Promise<Announcement>((resolve, reject) => {
    child.on('message', (message) => resolve(message as Announcement));
    if (options.ours)
      void ended.then((how) => reject(new StartError(`${how} before it was ready. ${lastWords(options.logFile)}`)));
  });
  // Whoever does not wait for readiness still learns of the end through `ended`.
  ready.catch(() => {});
  const pid = child.pid ?? -1;
  if (pid > 0) writeFileSync(registration, JSON.stringify({ pid, started: startTime(pid) } satisfies Registration));
  return {
    name: options.name,
    pid,
    ended,
    ready,
    announces: options.ours === true,
    stop: async (graceMs = 8000) => {
      if (child.exitCode !== null || child.signalCode !== null || pid < 0) return;
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), graceMs);
      await ended;
      clearTimeout(timer);
    },
  };
}

/** Ends the processes an earlier run left behind. Returns their names. */
export async function endOrphans(runDir: string): Promise<string[]> {
  if (!existsSync(runDir)) return [];
  const found: string[] = [];
  for (const file of readdirSync(runDir).filter((name) => name.endsWith('.json'))) {
    const path = join(runDir, file);
    const registration = readRegistration(path);
    if (registration && isAlive(registration)) {
      found.push(file.slice(0, -'.json'.length));
      process.kill(registration.pid, 'SIGTERM');
      for (let waited = 0; isAlive(registration); waited += 50) {
        if (waited === 5000) process.kill(registration.pid, 'SIGKILL');
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
    rmSync(path, { force: true });
  }
  return found;
}

/** The process that holds `file`, if it lives; otherwise takes the file for this process and returns undefined. */
export function takeLock(file: string): number | undefined {
  const holder = readRegistration(file);
  if (holder && holder.pid !== process.pid && isAlive(holder)) return holder.pid;
  writeFileSync(file, JSON.stringify({ pid: process.pid, started: startTime(process.pid) } satisfies Registration));
  return undefined;
}

/** The end of a log file, for a message: what a process said before it ended. */
export function lastWords(file: string): string {
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
  return `Its last words (${file}):\n${lines
    .slice(-8)
    .map((line) => `  ${line.slice(0, 400)}`)
    .join('\n')}`;
}

function readRegistration(path: string): Registration | undefined {
  try {
    const value: unknown = JSON.parse(readFileSync(path, 'utf8'));
    const { pid, started } = value as Registration;
    return Number.isInteger(pid) && pid > 1 && typeof started === 'string' ? { pid, started } : undefined;
  } catch {
    // A file cut short by a crash names nobody.
    return undefined;
  }
}

function isAlive(registration: Registration): boolean {
  try {
    process.kill(registration.pid, 0);
  } catch {
    return false;
  }
  return startTime(registration.pid) === registration.started;
}

/** When a process started, in a form that tells it from a later one with the same pid; empty where the system does not say. */
function startTime(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    // A zombie is gone for every purpose but its parent's.
    return fields[0] === 'Z' ? 'zombie' : (fields[19] ?? '');
  } catch {
    return '';
  }
}
