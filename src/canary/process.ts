import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { canaryBootstrap, SOCKET } from './bootstrap.js';
import { Feed } from './feed.js';

/** An Envoy that judges, with the server that tells it what. */
export interface CanaryProcess {
  readonly pid: number;
  readonly feed: Feed;
  /** Resolves with how it ended, whoever ended it; its feed is lost then and its directory gone. */
  readonly ended: Promise<string>;
  stop(): Promise<void>;
}

/**
 * Becomes Envoy, and leaves a guard behind that ends it when this process is gone, however that ends: its standard input,
 * a pipe that nobody writes to, is then closed. Its directory, `$0`, goes with it.
 */
const GUARD = `exec 3<&0
envoy=$$
(read -r _ <&3; kill -KILL $envoy; rm -rf "$0") >/dev/null 2>&1 &
exec "$@" </dev/null 3<&-`;

/** Most that is kept of what it says, in characters. */
const LAST_WORDS = 4096;

/** Starts a canary in a directory of its own below the system's directory of temporary files. */
export async function startProcess(binary: string): Promise<CanaryProcess> {
  // A path of a socket has some hundred characters at most, so it cannot stand in the data directory.
  const directory = await mkdtemp(join(tmpdir(), 'paifang-canary-'));
  const feed = await Feed.start(join(directory, SOCKET));
  await writeFile(join(directory, 'bootstrap.json'), JSON.stringify(canaryBootstrap()));
  const child: ChildProcess = spawn(
    '/bin/sh',
    [
      ['-c', GUARD, directory, binary, '--config-path', 'bootstrap.json', '--disable-hot-restart'],
      ['--concurrency', '1', '--drain-time-s', '1', '--drain-strategy', 'immediate', '--log-level', 'error'],
    ].flat(),
    // A group of its own: Ctrl-C in a terminal reaches only us.
    { cwd: directory, stdio: ['pipe', 'ignore', 'pipe'], detached: true },
  );
  let said = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-LAST_WORDS);
  });
  child.stdin?.on('error', () => {});
  const how = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(`could not be started: ${error.message}`));
    child.once('exit', (code, signal) => resolve(signal ? `was ended by ${signal}` : `ended with code ${code}`));
  });
  const ended = how.then(async (ending) => {
    feed.close(`The canary ${ending}.`);
    await rm(directory, { recursive: true, force: true });
    const words = said.trim();
    return words === '' ? ending : `${ending}; its last words: ${words}`;
  });
  const stop = async () => {
    child.stdin?.end();
    await ended;
  };
  return { pid: child.pid ?? -1, feed, ended, stop };
}
