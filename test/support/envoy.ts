import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { startChild } from './child.js';
import { tmpDir } from './tmp.js';
import { until } from './until.js';

const START_MS = 20_000;

/** Root folder of the sources, also when this file runs compiled below build/bench. */
export function rootDir(): string {
  for (let dir = import.meta.dirname; ; dir = dirname(dir)) {
    if (existsSync(join(dir, 'package.json'))) return dir;
    if (dir === dirname(dir)) throw new Error(`no package.json above ${import.meta.dirname}`);
  }
}

/** Path of the Envoy binary that set-up found (PAIFANG_ENVOY, PATH, or the pinned one). Throws when set-up has not run. */
export function envoyPath(): string {
  const file = join(rootDir(), 'build/envoy.json');
  if (!existsSync(file)) throw new Error(`${file} is missing. Run: npm run setup`);
  return (JSON.parse(readFileSync(file, 'utf8')) as { path: string }).path;
}

/**
 * Lets Envoy judge a bootstrap (an object, or YAML or JSON text) without serving it.
 * `ok` is whether it accepts it; `output` is all it said, with the reason of a refusal.
 */
export async function validate(bootstrap: object | string): Promise<{ ok: boolean; output: string }> {
  const dir = tmpDir();
  const config = writeConfig(dir, bootstrap);
  const envoy = startChild(
    envoyPath(),
    ['--mode', 'validate', '-c', config, '-l', 'warning', '--disable-hot-restart'],
    {
      cwd: dir,
    },
  );
  const code = await envoy.exited;
  return { ok: code === 0, output: envoy.output() };
}

/** An Envoy started by a test. */
export interface RunningEnvoy {
  readonly pid: number;
  /** Port of its admin interface on 127.0.0.1. */
  readonly adminPort: number;
  /** All it has logged so far. */
  log(): string;
  /** Answer of an admin path, such as `/config_dump`; rejects when the status is not 200. */
  admin(path: string, method?: 'GET' | 'POST'): Promise<string>;
  stop(): Promise<void>;
}

/**
 * Starts Envoy in `cwd` and resolves when its admin interface answers (its listeners may still be warming: wait for them
 * with `until`). The bootstrap must have an admin address on 127.0.0.1; port 0 is best. Rejects with Envoy's own log when
 * it ends or does not answer within 20 s. Stopped when the test ends (or the file, when started in a beforeAll).
 */
export async function startEnvoy(options: {
  bootstrapYaml: object | string;
  cwd: string;
  /** Envoy's levels: trace, debug, info, warning (default), error, critical, off. */
  logLevel?: string;
  /** Worker threads; 1 unless told. */
  concurrency?: number;
  args?: readonly string[];
}): Promise<RunningEnvoy> {
  const { bootstrapYaml, cwd, logLevel = 'warning', concurrency = 1, args = [] } = options;
  const scratch = tmpDir();
  const addressFile = join(scratch, 'admin');
  const envoy = startChild(
    envoyPath(),
    [
      ['-c', writeConfig(scratch, bootstrapYaml)],
      ['--admin-address-path', addressFile],
      ['-l', logLevel],
      ['--concurrency', String(concurrency)],
      ['--disable-hot-restart'], // no shared memory, hence no base id that two tests could have in common
      args,
    ].flat(),
    { cwd },
  );
  let ended = false;
  envoy.exited.then(() => {
    ended = true;
  });
  const admin = async (path: string, method = 'GET') => {
    const address = readFileSync(addressFile, 'utf8').trim();
    const response = await fetch(`http://${address}${path}`, { method });
    const text = await response.text();
    if (response.status !== 200) throw new Error(`Envoy admin ${method} ${path}: ${response.status} ${text}`);
    return text;
  };
  try {
    await until(async () => ended || (await admin('/server_info')), {
      within: START_MS,
      what: 'Envoy admin to answer',
    });
    if (ended) throw new Error('Envoy ended at start');
  } catch (error) {
    await envoy.stop();
    throw new Error(`${(error as Error).message}\n${envoy.output()}`, { cause: error });
  }
  const adminPort = Number(readFileSync(addressFile, 'utf8').trim().split(':').at(-1));
  return { pid: envoy.pid, adminPort, log: envoy.output, admin, stop: envoy.stop };
}

function writeConfig(dir: string, bootstrap: object | string): string {
  const file = join(dir, typeof bootstrap === 'string' ? 'bootstrap.yaml' : 'bootstrap.json');
  writeFileSync(file, typeof bootstrap === 'string' ? bootstrap : JSON.stringify(bootstrap));
  return file;
}
