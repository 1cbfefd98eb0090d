import { createInterface } from 'node:readline/promises';
import type { Command } from 'commander';
import { AdminClient, type ServerOptions, withServer, workspaceOf } from './admin.js';
import type { ReadFile } from './definitions-file.js';
import { difference, type ObjectChange, printDifference } from './difference.js';
import { CliError, EXIT, usage } from './exit.js';
import { heldBy, workspacePath } from './resources.js';
import { action, json, line, note, paint } from './terminal.js';

interface ApplyOptions extends ServerOptions {
  readonly filename: string;
  readonly prune?: boolean;
  readonly dryRun?: boolean;
  readonly yes?: boolean;
  readonly draft?: boolean;
  readonly message?: string;
}

/** `paifang apply`: makes a workspace hold what a file says, as one atomic change set. */
export function addApply(program: Command): void {
  withServer(program.command('apply'))
    .requiredOption('-f, --filename <file>', 'definitions file, YAML or JSON; - for standard input')
    .option('--prune', 'also delete what the workspace holds and the file does not')
    .option('--dry-run', 'let the controller check everything, change nothing')
    .option('-y, --yes', 'do not ask; needed where there is no terminal')
    .option('--draft', 'store without publishing')
    .option('-m, --message <text>', 'why, for the release and the audit')
    .summary('make a workspace hold what a file says')
    .description(
      'Shows what would change, asks, and sends the whole file as one change set: either all of it takes effect as one new release, or none of it.',
    )
    .addHelpText(
      'after',
      `
Examples:
  paifang apply -f gateway.yaml                       look, answer y, done
  paifang apply -f gateway.yaml --dry-run             would the controller take it?
  paifang apply -f gateway.yaml -y -m "longer timeout for orders"
  paifang dump | paifang apply -f - -y --server https://other.example.com --token-file token

Exit status: 0 applied or nothing to do, 1 the file has errors or you said no, 3 refused (every fault is listed).`,
    )
    .action(action(apply));
}

async function apply(options: ApplyOptions) {
  const { readDefinitionsFile } = await import('./definitions-file.js');
  const file = readDefinitionsFile(options.filename);
  if (file.definitions === undefined) return file.fail(options);
  const { definitions } = file;
  const workspace = workspaceOf(options, {
    name: options.filename,
    ...(definitions.workspace !== undefined && { workspace: definitions.workspace }),
  });
  const admin = new AdminClient(options);
  const held = await heldBy(admin, workspace);
  const changes = difference(held, definitions, { prune: options.prune === true });
  if (!options.json && !options.quiet) {
    if (changes.length > 0) printDifference(changes);
    else line(`Workspace ${workspace} holds all of this already.`);
  }
  if (!options.dryRun && changes.length > 0) await confirm(options, changes);
  return send(admin, workspace, file, changes, options);
}

/** What the controller says about a change set. */
interface Receipt {
  readonly release?: number | { readonly number: number } | null;
}

async function send(
  admin: AdminClient,
  workspace: string,
  file: ReadFile,
  changes: readonly ObjectChange[],
  options: ApplyOptions,
) {
  const path = `${workspacePath(workspace)}/changesets${options.dryRun ? '?dryRun=true' : ''}`;
  const body = {
    message: options.message ?? `apply ${options.filename === '-' ? 'standard input' : options.filename}`,
    definitions: file.definitions,
    prune: options.prune === true,
    publish: options.draft !== true,
  };
  const { body: receipt } = await admin.ask<Receipt>('POST', path, body);
  const release = typeof receipt?.release === 'object' ? receipt.release?.number : receipt?.release;
  if (options.json) json({ workspace, dryRun: options.dryRun === true, changes, release: release ?? null });
  else if (options.dryRun) line(paint('green', 'The controller would take this. Nothing was changed.'));
  else if (release !== undefined && release !== null)
    line(paint('green', `Release ${release} of workspace ${workspace}.`));
  else line(options.draft ? 'Stored as drafts; traffic is unchanged.' : 'Nothing to release.');
  return EXIT.ok;
}

async function confirm(options: ApplyOptions, changes: readonly ObjectChange[]): Promise<void> {
  if (options.yes) return;
  if (!process.stdin.isTTY || options.filename === '-' || options.json) {
    throw usage(
      `${changes.length} objects would change, and there is no terminal to ask on.`,
      'Look with --dry-run, then add --yes.',
    );
  }
  const prompt = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await prompt.question('Apply? [y/N] ').finally(() => prompt.close());
  if (!/^y(es)?$/i.test(answer.trim())) {
    note('Nothing was changed.');
    throw new CliError(EXIT.finding, 'not applied.');
  }
}
