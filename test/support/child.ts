import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { onCleanup } from './cleanup.js';

// Linux kills a child when its parent dies if the child asks for it; setpriv (util-linux) asks and becomes the command,
// under the same process id. So nothing is left over even from a test process that was killed.
const SETPRIV = '/usr/bin/setpriv';
const STOP_MS = 5_000;

/** A process started by a test. */
export interface Child {
  readonly pid: number;
  readonly process: ChildProcess;
  /** All it has written to standard output and error so far, interleaved. */
  output(): string;
  /** Resolves when it is gone, with its exit status, or null when a signal ended it. */
  readonly exited: Promise<number | null>;
  /** SIGTERM, and SIGKILL after 5 s; resolves when it is gone. Doing it twice is harmless. */
  stop(): Promise<void>;
}

/** Starts `command`. It is stopped when the test ends (or the file, when started in a beforeAll). */
export function startChild(
  command: string,
  args: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
): Child {
  const line = existsSync(SETPRIV) ? [SETPRIV, '--pdeathsig', 'KILL', command, ...args] : [command, ...args];
  const child = spawn(line[0] as string, line.slice(1), { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
  if (child.pid === undefined) {
    child.on('error', () => {}); // told by the throw
    throw new Error(`${command} could not be started`);
  }
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  const exited = new Promise<number | null>((resolve) => {
    child.once('close', (code) => {
      process.off('exit', kill);
      resolve(code);
    });
  });
  const stop = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGTERM');
    const timer = setTimeout(kill, STOP_MS);
    await exited;
    clearTimeout(timer);
  };
  onCleanup(stop);
  return { pid: child.pid, process: child, output: () => output, exited, stop };
}
