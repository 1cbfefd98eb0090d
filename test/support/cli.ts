import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { rootDir } from './envoy.js';

/** What a run of the command left. */
export interface Run {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const LIMIT_MS = 25_000;

/**
 * Runs the compiled `paifang` command as a person does and resolves when it has ended. Variables of the surroundings that
 * it would read are left out; `env` adds some. It is killed when it takes longer than a test may.
 */
export function paifang(
  args: readonly string[],
  { input, env, cwd }: { input?: string | Buffer; env?: Record<string, string>; cwd?: string } = {},
): Promise<Run> {
  const main = join(rootDir(), 'dist/main.js');
  if (!existsSync(main)) throw new Error(`${main} is missing. Run: npm run setup`);
  const clean = Object.entries(process.env).filter(([name]) => !/^(PAIFANG_|NO_COLOR|FORCE_COLOR)/.test(name));
  const child = spawn(process.execPath, [main, ...args], {
    env: { ...Object.fromEntries(clean), ...env },
    ...(cwd !== undefined && { cwd }),
    timeout: LIMIT_MS,
    killSignal: 'SIGKILL',
  });
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => err.push(chunk));
  // A command that refuses its arguments ends before it reads.
  child.stdin.on('error', () => {});
  child.stdin.end(input ?? '');
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status) => {
      resolve({ status, stdout: Buffer.concat(out).toString('utf8'), stderr: Buffer.concat(err).toString('utf8') });
    });
  });
}

/** The same for --json: standard output as a value. */
export async function paifangJson<T>(args: readonly string[], options: Parameters<typeof paifang>[1] = {}): Promise<T> {
  const { status, stdout, stderr } = await paifang([...args, '--json'], options);
  try {
    return JSON.parse(stdout) as T;
  } catch {
    throw new Error(`paifang ${args.join(' ')} ended with ${status} and no JSON:\n${stdout}\n${stderr}`);
  }
}
