import { spawnSync } from 'node:child_process';
import { accessSync, constants, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { withOutput } from './admin.js';
import { facts } from './table.js';
import { action, json, line } from './terminal.js';

/** `paifang version`. */
export function addVersion(program: Command): void {
  withOutput(program.command('version'))
    .summary('print versions')
    .description(
      'Prints the versions of Paifang, Node and the Envoy that would be run, for scripts and for reports of faults.',
    )
    .addHelpText('after', '\nExamples:\n  paifang version\n  paifang version --json | jq -r .envoy.version')
    .action(action(version));
}

async function version(options: { json?: boolean; quiet?: boolean }): Promise<void> {
  const paifang = paifangVersion();
  const envoy = findEnvoy();
  if (options.json)
    json({
      paifang,
      node: process.versions.node,
      platform: `${process.platform}-${process.arch}`,
      envoy: envoy ?? null,
    });
  else if (options.quiet) line(paifang);
  else {
    line(
      facts([
        ['paifang', paifang],
        ['node', process.versions.node],
        [
          'envoy',
          envoy === undefined
            ? 'not found; set PAIFANG_ENVOY, or run npm run setup'
            : `${envoy.version ?? 'does not tell its version'} (${envoy.path})`,
        ],
        ['platform', `${process.platform}-${process.arch}`],
      ]),
    );
  }
}

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Version of this program, from its package.json. */
export function paifangVersion(): string {
  return (JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }).version;
}

/** The Envoy that set-up would choose: PAIFANG_ENVOY, else the one set-up noted, else the first on PATH. */
function findEnvoy(): { path: string; version: string | null } | undefined {
  const path = process.env.PAIFANG_ENVOY || notedEnvoy() || envoyOnPath();
  if (path === undefined) return undefined;
  const { stdout } = spawnSync(path, ['--version'], { encoding: 'utf8', timeout: 10_000 });
  return { path, version: /version: [0-9a-f]+\/(\d+\.\d+\.\d+[^/]*)\//.exec(stdout ?? '')?.[1] ?? null };
}

function notedEnvoy(): string | undefined {
  try {
    const { path } = JSON.parse(readFileSync(join(root, 'build/envoy.json'), 'utf8')) as { path: string };
    accessSync(path, constants.X_OK);
    return path;
  } catch {
    return undefined;
  }
}

function envoyOnPath(): string | undefined {
  const candidates = (process.env.PATH ?? '').split(delimiter).filter((dir) => dir !== '');
  return candidates
    .map((dir) => join(dir, 'envoy'))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}
