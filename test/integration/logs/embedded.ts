import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { readLine, toRecord } from '../../../src/core/explain/log-line.js';
import { type LogStore, openLogStore } from '../../../src/logs/store.js';
import { type EmbeddedLogStore, startEmbeddedLogStore } from '../../../src/logs/supervisor.js';
import { onCleanup } from '../../support/cleanup.js';

const SETPRIV = '/usr/bin/setpriv';

/** A real embedded log store in its own process, stopped when the test (or the file) ends. */
export async function embedded(dir: string, troubles: string[] = []): Promise<EmbeddedLogStore> {
  const child = join(import.meta.dirname, 'chdb-child.mjs');
  const store = await startEmbeddedLogStore({
    dir,
    spawn: (where) => {
      const line = [process.execPath, child, where.dir, String(where.port)];
      // Also when this process is killed: the store ends by itself then, but a test must not depend on what it tests.
      if (existsSync(SETPRIV)) line.unshift(SETPRIV, '--pdeathsig', 'KILL');
      return spawn(line[0] as string, line.slice(1), { stdio: ['pipe', 'pipe', 'pipe'] });
    },
    onTrouble: (message) => troubles.push(message),
  });
  onCleanup(() => store.close());
  return store;
}

/** The store behind `at`, closed when the test (or the file) ends. */
export async function opened(
  at: { url: string; user: string; password: string },
  options: { exclusive?: boolean; retentionDays?: number } = {},
): Promise<LogStore> {
  const { url, user, password } = at;
  const store = await openLogStore({ url, user, password, meaning: { readLine, toRecord }, ...options });
  onCleanup(() => store.close());
  return store;
}
