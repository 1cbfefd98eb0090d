import type { Command } from 'commander';
import { AdminClient, type ServerOptions, withServer, workspaceOf } from './admin.js';
import { difference, printDifference } from './difference.js';
import { EXIT } from './exit.js';
import { heldBy, releaseOf } from './resources.js';
import { action, json, report } from './terminal.js';

interface DiffOptions extends ServerOptions {
  readonly filename: string;
  readonly release?: string;
  readonly prune: boolean;
}

/** `paifang diff`: how a file and a workspace differ. */
export function addDiff(program: Command): void {
  withServer(program.command('diff'))
    .requiredOption('-f, --filename <file>', 'definitions file, YAML or JSON; - for standard input')
    .option(
      '--release <number>',
      'compare with this release, or "latest" for what is in force (default: what is stored, drafts too)',
    )
    .option('--no-prune', 'ignore what only the workspace holds')
    .summary('show how a file and a workspace differ')
    .description(
      'Shows what would have to change for the workspace to hold exactly what the file says. Changes nothing.',
    )
    .addHelpText(
      'after',
      `
Examples:
  paifang diff -f gateway.yaml
  paifang diff -f gateway.yaml --release 12           against what release 12 holds
  paifang diff -f gateway.yaml --json | jq '.changes[].name'

Exit status, as diff(1) has it: 0 same, 1 different, 2 trouble of any sort.`,
    )
    .action(
      action(async (options: DiffOptions) => {
        try {
          return await diff(options);
        } catch (error) {
          report(error, options.json === true);
          return EXIT.usage;
        }
      }),
    );
}

async function diff(options: DiffOptions) {
  const { readDefinitionsFile } = await import('./definitions-file.js');
  const file = readDefinitionsFile(options.filename);
  if (file.definitions === undefined) {
    file.fail(options);
    return EXIT.usage;
  }
  const { definitions } = file;
  const release = releaseOf(options.release);
  const workspace = workspaceOf(options, { name: options.filename, ...definitions });
  const held = await heldBy(new AdminClient(options), workspace, release);
  const changes = difference(held, definitions, { prune: options.prune });
  if (options.json) json({ workspace, release: release ?? null, same: changes.length === 0, changes });
  else if (changes.length > 0 && !options.quiet) printDifference(changes);
  return changes.length === 0 ? EXIT.ok : EXIT.finding;
}
