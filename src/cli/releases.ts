import type { Command } from 'commander';
import { AdminClient, countOf, type ServerOptions, withServer, workspaceOf } from './admin.js';
import { type ObjectChange, printDifference } from './difference.js';
import { EXIT } from './exit.js';
import { exitOf, printReceipt, printWait, type Receipt, type WaitOptions, waiting, withWait } from './receipt.js';
import { namesOf, type Outcome, printWarnings, releaseNumber, workspacePath } from './resources.js';
import { facts, table } from './table.js';
import { action, json, line } from './terminal.js';

/** A release as the admin API shows it. */
interface Release {
  readonly number: number;
  readonly author: string;
  readonly message: string;
  readonly createdAt: string;
  readonly rollbackOf: number | null;
  readonly summary: {
    readonly published: number;
    readonly removed: number;
    readonly objects: { readonly published: readonly string[]; readonly removed: readonly string[] };
  };
}

/** `paifang releases …`: what was published, what changed, and back again. */
export function addReleases(program: Command): void {
  const releases = program
    .command('releases')
    .summary('list, show, compare and roll back releases')
    .description(
      'A release is what a workspace published at one moment: numbered from 1, never changed. Traffic follows the latest one.',
    )
    .addHelpText(
      'after',
      `
Examples:
  paifang releases                     the latest releases (same as: paifang releases list)
  paifang releases show 12
  paifang releases compare 11 12       what 12 changed
  paifang releases rollback 11         publish what 11 held, as a new release`,
    );
  withServer(releases.command('list', { isDefault: true }))
    .option('--limit <count>', 'how many', '20')
    .description('Lists releases, the latest first.')
    .action(action(list));
  withServer(releases.command('show'))
    .argument('<release>', 'number')
    .description('Shows one release: what it changed, how it came about, and what became of it at every node.')
    .action(action(show));
  withServer(releases.command('compare'))
    .argument('<from>', 'number')
    .argument('<to>', 'number')
    .description('Shows what changed from one release to another. Exit status as diff(1): 0 same, 1 different.')
    .action(action(compare));
  withWait(withServer(releases.command('rollback')))
    .argument('<release>', 'number')
    .description('Publishes what an earlier release held, as a new release. Drafts are kept.')
    .option('-m, --message <text>', 'why')
    .action(action(rollback));
}

async function list(options: ServerOptions & { limit: string }): Promise<void> {
  const workspace = workspaceOf(options);
  const path = `${workspacePath(workspace)}/releases`;
  const items = await new AdminClient(options).list<Release>(path, countOf(options.limit));
  if (options.json) json(items);
  else if (items.length === 0) line(`Workspace ${workspace} has published nothing yet.`);
  else {
    line(
      table(items, [
        { head: 'RELEASE', cell: (r) => r.number, right: true },
        { head: 'TIME', cell: (r) => r.createdAt },
        { head: 'BY', cell: (r) => r.author },
        { head: 'PUBLISHED', cell: (r) => r.summary.published, right: true },
        { head: 'REMOVED', cell: (r) => r.summary.removed, right: true },
        { head: 'MESSAGE', cell: (r) => r.message, flexible: true },
      ]),
    );
  }
}

async function show(text: string, options: ServerOptions): Promise<void> {
  const path = `${workspacePath(workspaceOf(options))}/releases/${releaseNumber(text)}`;
  const { body } = await new AdminClient(options).ask<Release & { readonly receipt: Receipt }>('GET', path);
  if (options.json) {
    json(body);
    return;
  }
  const { objects, published, removed } = body.summary;
  line(
    facts([
      ['release', body.number],
      ['time', body.createdAt],
      ['by', body.author],
      ['message', body.message],
      ['rollback of', body.rollbackOf],
      ['published', `${published}${published > 0 ? `: ${objects.published.join(', ')}` : ''}`],
      ['removed', `${removed}${removed > 0 ? `: ${objects.removed.join(', ')}` : ''}`],
    ]),
  );
  line();
  printReceipt(body.receipt);
}

interface Comparison {
  readonly objects: readonly (Omit<ObjectChange, 'change'> & { readonly change: 'added' | 'changed' | 'removed' })[];
}
const CHANGE = { added: 'created', changed: 'changed', removed: 'deleted' } as const;

async function compare(from: string, to: string, options: ServerOptions) {
  const path = `${workspacePath(workspaceOf(options))}/releases/${releaseNumber(from)}/compare/${releaseNumber(to)}`;
  const { body } = await new AdminClient(options).ask<Comparison>('GET', path);
  if (options.json) json(body);
  else printDifference(body.objects.map((object) => ({ ...object, change: CHANGE[object.change] })));
  return body.objects.length === 0 ? EXIT.ok : EXIT.finding;
}

async function rollback(text: string, options: ServerOptions & WaitOptions & { message?: string }) {
  const number = releaseNumber(text);
  const { admin, query } = waiting(options);
  const path = `${workspacePath(workspaceOf(options))}/releases/${number}/rollback${query}`;
  const message = options.message === undefined ? {} : { message: options.message };
  const { body } = await admin.ask<Outcome>('POST', path, message);
  if (options.json) {
    json(body);
    return exitOf(body.receipt);
  }
  printWarnings(body);
  if (body.release === null) line(`Release ${number} is what is in force already.`);
  else line(`Release ${body.release} holds what release ${number} held.`);
  if (body.kept && body.kept.length > 0) line(`Unpublished edits are kept: ${namesOf(body.kept).join(', ')}.`);
  printWait(body.receipt);
  return exitOf(body.receipt);
}
