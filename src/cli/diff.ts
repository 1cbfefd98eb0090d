import type { Command } from 'commander';
import type { Diagnostic } from '../core/diagnostic.js';
import type { Definitions, Spec } from '../core/model/definitions.js';
import { KINDS, PLURAL } from '../core/model/kind.js';
import { AdminClient, type ServerOptions, withServer, workspaceOf } from './admin.js';
import { difference, type ObjectChange, printDifference } from './difference.js';
import { EXIT } from './exit.js';
import { heldBy, printFindings, releaseOf } from './resources.js';
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
      'Shows what would have to change for the workspace to hold exactly what the file says, and, on standard error, what compiling that would find fault with in what differs. Changes nothing.',
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
  const diagnostics = await findings(workspace, held, definitions, changes);
  if (options.json) json({ workspace, release: release ?? null, same: changes.length === 0, changes, diagnostics });
  else if (changes.length > 0 && !options.quiet) {
    printDifference(changes);
    printFindings(diagnostics);
  }
  return changes.length === 0 ? EXIT.ok : EXIT.finding;
}

/** What the compiler says of the objects that differ, in a workspace that holds what it does now and what the file says. */
async function findings(
  workspace: string,
  held: Definitions,
  wanted: Definitions,
  changes: readonly ObjectChange[],
): Promise<Diagnostic[]> {
  if (changes.length === 0) return [];
  const { compile } = await import('../core/compile.js');
  const gone = new Set(changes.filter(({ change }) => change === 'deleted').map(({ kind, name }) => `${kind} ${name}`));
  const union = Object.fromEntries(
    KINDS.map((kind) => {
      const specs = new Map<string, Spec>();
      for (const spec of [...(held[PLURAL[kind]] ?? []), ...(wanted[PLURAL[kind]] ?? [])]) specs.set(spec.name, spec);
      return [PLURAL[kind], [...specs.values()].filter(({ name }) => !gone.has(`${kind} ${name}`))];
    }),
  ) as Definitions;
  const differs = new Set(changes.map(({ kind, name }) => `${kind} ${name}`));
  const { diagnostics } = compile(union, { workspace });
  return diagnostics.filter(({ object }) => object && differs.has(`${object.kind} ${object.name}`));
}
