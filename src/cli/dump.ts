import { writeFileSync } from 'node:fs';
import type { Command } from 'commander';
import type { Definitions } from '../core/model/definitions.js';
import { KINDS, PLURAL } from '../core/model/kind.js';
import { AdminClient, type ServerOptions, withServer, workspaceOf } from './admin.js';
import { usage } from './exit.js';
import { heldBy, releaseOf } from './resources.js';
import { action, note } from './terminal.js';

interface DumpOptions extends ServerOptions {
  readonly release?: string;
  readonly output?: string;
}

/** `paifang dump`: a workspace as a definitions file. */
export function addDump(program: Command): void {
  withServer(program.command('dump'))
    .option(
      '--release <number>',
      'as of this release, or "latest" for what is in force (default: what is stored, drafts too)',
    )
    .option('-o, --output <file>', 'write here instead of to standard output')
    .summary('print a workspace as a definitions file')
    .description(
      'Prints what a workspace holds as a definitions file that `apply` takes. Objects are sorted by name, so that two dumps differ only where the workspaces do. Keys of Apps and clusters are never part of it.',
    )
    .addHelpText(
      'after',
      `
Examples:
  paifang dump > gateway.yaml
  paifang dump --release 12 -o before.yaml
  paifang dump --json | jq '.apis[].name'`,
    )
    .action(action(dump));
}

async function dump(options: DumpOptions): Promise<void> {
  const workspace = workspaceOf(options);
  const release = releaseOf(options.release);
  const held = await heldBy(new AdminClient(options), workspace, release);
  const text = options.json
    ? `${JSON.stringify(sorted(held, workspace), null, 2)}\n`
    : await yamlOf(sorted(held, workspace));
  if (options.output === undefined) {
    process.stdout.write(text);
    return;
  }
  try {
    writeFileSync(options.output, text);
  } catch (error) {
    throw usage(`${options.output} cannot be written (${(error as NodeJS.ErrnoException).code}).`);
  }
  if (!options.quiet) note(`Written to ${options.output}.`);
}

/** `value` as YAML without anchors, lines not folded. */
export async function yamlOf(value: unknown): Promise<string> {
  const { stringify } = await import('yaml');
  // Envoy, and much else, reads YAML 1.1, where a node called `n` would be false.
  return stringify(value, { aliasDuplicateObjects: false, lineWidth: 0, compat: 'yaml-1.1' });
}

/** Kinds in the order of KINDS, objects by name, empty kinds left out. */
function sorted(held: Definitions, workspace: string): Definitions {
  const kinds = KINDS.flatMap((kind) => {
    const specs = held[PLURAL[kind]] as { name: string }[] | undefined;
    if (specs === undefined || specs.length === 0) return [];
    return [[PLURAL[kind], [...specs].sort((a, b) => (a.name < b.name ? -1 : 1))] as const];
  });
  return { workspace, ...Object.fromEntries(kinds) };
}
