import { createInterface } from 'node:readline/promises';
import type { Command } from 'commander';
import { AdminClient, type ServerOptions, withServer, workspaceOf } from './admin.js';
import { type ObjectChange, printDifference } from './difference.js';
import { CliError, EXIT, usage } from './exit.js';
import { exitOf, printWait, type WaitOptions, waiting, withWait } from './receipt.js';
import { namesOf, type Outcome, printWarnings, workspacePath } from './resources.js';
import { action, json, line, paint } from './terminal.js';

interface ApplyOptions extends ServerOptions, WaitOptions {
  readonly filename: string;
  readonly prune?: boolean;
  readonly dryRun?: boolean;
  readonly yes?: boolean;
  readonly draft?: boolean;
  readonly message?: string;
}

/** `paifang apply`: makes a workspace hold what a file says, as one atomic change set. */
export function addApply(program: Command): void {
  withWait(withServer(program.command('apply')))
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
  const workspace = workspaceOf(options, { name: options.filename, ...file.definitions });
  const admin = new AdminClient(options);
  const path = `${workspacePath(workspace)}/changesets`;
  const changeSet = {
    message: options.message ?? `apply ${options.filename === '-' ? 'standard input' : options.filename}`,
    definitions: file.definitions,
    prune: options.prune === true,
    publish: options.draft !== true,
  };
  // The controller says what would change: it alone knows what is stored and what is in force.
  const { body: plan } = await admin.ask<Outcome>('POST', `${path}?dryRun=true`, changeSet);
  const changes = plan.changes.filter((change): change is ObjectChange => change.change !== 'unchanged');
  const nothing = changes.length === 0 && plan.published.length === 0 && plan.removed.length === 0;
  if (!options.json && !options.quiet) show(workspace, plan, changes, nothing);
  if (options.dryRun || nothing) {
    if (options.json) json(plan);
    else if (options.dryRun && !options.quiet)
      line(paint('green', 'The controller would take this. Nothing was changed.'));
    return EXIT.ok;
  }
  await confirm(options, changes.length + plan.published.length);
  const waits = waiting(options);
  const { body: outcome } = await waits.admin.ask<Outcome>('POST', `${path}${waits.query}`, changeSet);
  if (options.json) json(outcome);
  else if (outcome.release === null) line('Stored as drafts; traffic is unchanged.');
  else line(paint('green', `Release ${outcome.release} of workspace ${workspace}.`));
  if (!options.json) printWait(outcome.receipt);
  return exitOf(outcome.receipt);
}

function show(workspace: string, plan: Outcome, changes: readonly ObjectChange[], nothing: boolean): void {
  if (nothing) line(`Workspace ${workspace} holds all of this already.`);
  if (changes.length > 0) printDifference(changes);
  const written = new Set(changes.map(({ kind, name }) => `${kind} ${name}`));
  const earlier = namesOf(plan.published).filter((name) => !written.has(name));
  if (earlier.length > 0) line(`Stored before and published now: ${earlier.join(', ')}.`);
  printWarnings(plan);
}

async function confirm(options: ApplyOptions, count: number): Promise<void> {
  if (options.yes) return;
  if (!process.stdin.isTTY || options.filename === '-' || options.json) {
    const what = count === 1 ? 'one object' : `${count} objects`;
    throw usage(`${what} would change, and there is no terminal to ask on.`, 'Look with --dry-run, then add --yes.');
  }
  const prompt = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await prompt.question('Apply? [y/N] ').finally(() => prompt.close());
  if (!/^y(es)?$/i.test(answer.trim())) throw new CliError(EXIT.finding, 'not applied; nothing was changed.');
}
