import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import type { Resource } from '../../../src/core/ads/resource.js';
import { onCleanup } from '../../support/cleanup.js';
import { rootDir } from '../../support/envoy.js';
import { tmpDir } from '../../support/tmp.js';

const run = promisify(execFile);
/** Modules are fetched and compiled the first time. */
const BUILD_MS = 600_000;

/** A control plane of go-control-plane's snapshot cache that holds the same resources as ours. */
export interface Gocp {
  readonly pid: number;
  readonly adsPort: number;
  /** Gives one route another answer, `edit n`; resolves with the ms until the snapshot was built and set. */
  edit(n: number): Promise<number>;
}

/** Builds the peer, or says in a sentence why it cannot be here. Modules go where Go keeps them, the program into build/. */
export async function buildGocp(): Promise<{ readonly program: string } | { readonly missing: string }> {
  const program = join(rootDir(), 'build/gocp');
  try {
    await run('go', ['version']);
  } catch {
    return { missing: 'go-control-plane was left out: there is no Go on this machine.' };
  }
  try {
    await run('go', ['build', '-o', program, '.'], {
      cwd: join(rootDir(), 'test/bench/peers/gocp'),
      timeout: BUILD_MS,
    });
    return { program };
  } catch (error) {
    const reason = String((error as { stderr?: string }).stderr || (error as Error).message).split('\n', 1)[0];
    return { missing: `go-control-plane was left out: it could not be built (${reason}).` };
  }
}

/** Starts the peer for the Envoy of that node id; ended with the scope. */
export async function startGocp(options: {
  readonly program: string;
  readonly resources: Iterable<Resource>;
  readonly node: string;
  /** Name of the route table and of the route in it that `edit` changes. */
  readonly table: string;
  readonly route: string;
}): Promise<Gocp> {
  const file = join(tmpDir(), 'resources');
  writeFileSync(
    file,
    Buffer.concat([...options.resources].flatMap(({ type, bytes }) => [...chunk(Buffer.from(type)), ...chunk(bytes)])),
  );
  const child = spawn(options.program, [file, options.node, options.table, options.route], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  // It ends when its standard input does, also when we are killed.
  onCleanup(async () => {
    child.stdin.end();
    if (child.exitCode === null) await once(child, 'exit');
  });
  const lines = createInterface({ input: child.stdout });
  const line = async () => (await once(lines, 'line'))[0] as string;
  const port = /^port (\d+)$/.exec(await line())?.[1];
  return {
    pid: child.pid as number,
    adsPort: Number(port),
    edit: async (n) => {
      const done = line();
      child.stdin.write(`${n}\n`);
      return Number((await done).split(' ')[2]);
    },
  };
}

function chunk(bytes: Uint8Array): Uint8Array[] {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(bytes.length);
  return [length, bytes];
}
