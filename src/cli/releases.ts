import type { Command } from 'commander';
import { AdminClient, type ServerOptions, withServer, workspaceOf } from './admin.js';
import { difference, printDifference } from './difference.js';
import { usage } from './exit.js';
import { heldBy, releaseNumber, workspacePath } from './resources.js';
import { facts, table } from './table.js';
import { action, json, line } from './terminal.js';

/** A release as the admin API shows it. */
interface Release {
  readonly number: number;
  readonly author: string;
  readonly message: string;
  readonly createdAt: string;
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
    .description('Shows one release.')
    .action(action(show));
  withServer(releases.command('compare'))
    .argument('<from>', 'number')
    .argument('<to>', 'number')
    .description('Shows what changed from one release to another. Exit status as diff(1): 0 same, 1 different.')
    .action(action(compare));
  withServer(releases.command('rollback'))
    .argument('<release>', 'number')
    .description('Publishes what an earlier release held, as a new release. Drafts are kept.')
    .option('-m, --message <text>', 'why')
    .action(action(rollback));
}

async function list(options: ServerOptions & { limit: string }): Promise<void> {
  if (!/^[1-9]\d{0,3}$/.test(options.limit))
    throw usage(`--limit takes a number from 1 to 9999, not "${options.limit}".`);
  const workspace = workspaceOf(options);
  const path = `${workspacePath(workspace)}/releases?limit=${Math.min(200, Number(options.limit))}`;
  const { body } = await new AdminClient(options).ask<{ items: Release[] }>('GET', path);
  if (options.json) json(body.items);
  else if (body.items.length === 0) line(`Workspace ${workspace} has published nothing yet.`);
  else {
    line(
      table(body.items, [
        { head: 'RELEASE', cell: (r) => r.number, right: true },
        { head: 'TIME', cell: (r) => r.createdAt },
        { head: 'BY', cell: (r) => r.author },
        { head: 'MESSAGE', cell: (r) => r.message, flexible: true },
      ]),
    );
  }
}

async function show(text: string, options: ServerOptions): Promise<void> {
  const path = `${workspacePath(workspaceOf(options))}/releases/${releaseNumber(text)}`;
  const { body } = await new AdminClient(options).ask<Release>('GET', path);
  if (options.json) json(body);
  else {
    line(
      facts([
        ['release', body.number],
        ['time', body.createdAt],
        ['by', body.author],
        ['message', body.message],
      ]),
    );
  }
}

async function compare(from: string, to: string, options: ServerOptions) {
  const workspace = workspaceOf(options);
  const admin = new AdminClient(options);
  const [before, after] = await Promise.all([
    heldBy(admin, workspace, releaseNumber(from)),
    heldBy(admin, workspace, releaseNumber(to)),
  ]);
  const changes = difference(before, after, { prune: true });
  if (options.json) json({ workspace, from: Number(from), to: Number(to), same: changes.length === 0, changes });
  else printDifference(changes);
  return changes.length === 0 ? 0 : 1;
}

async function rollback(text: string, options: ServerOptions & { message?: string }): Promise<void> {
  const number = releaseNumber(text);
  const path = `${workspacePath(workspaceOf(options))}/releases/${number}/rollback`;
  const message = options.message === undefined ? {} : { message: options.message };
  const { body } = await new AdminClient(options).ask<{ release?: number } | undefined>('POST', path, message);
  if (options.json) json(body ?? null);
  else line(`Release ${body?.release ?? '?'} holds what release ${number} held.`);
}
