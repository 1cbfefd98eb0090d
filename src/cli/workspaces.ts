import type { Command } from 'commander';
import { AdminClient, type ServerOptions, withServer } from './admin.js';
import { workspacePath } from './resources.js';
import { table } from './table.js';
import { action, json, line, visible } from './terminal.js';

/** A workspace as the admin API shows it. */
interface Workspace {
  readonly name: string;
  readonly description: string | null;
  readonly release: number;
  readonly createdAt: string;
}

/** `paifang workspaces …`: the tenants of an installation. */
export function addWorkspaces(program: Command): void {
  const workspaces = program
    .command('workspaces')
    .summary('list, create and delete workspaces')
    .description(
      'A workspace holds its own objects, numbers its own releases and feeds its own fleets. Nothing is shared between two.',
    )
    .addHelpText(
      'after',
      `
Examples:
  paifang workspaces
  paifang workspaces create team-a --description "Orders and payment"
  paifang apply -w team-a -f gateway.yaml`,
    );
  withServer(workspaces.command('list', { isDefault: true }))
    .description('Lists workspaces by name.')
    .action(action(list));
  withServer(workspaces.command('create'))
    .argument('<name>', '1 to 63 lower-case letters, digits and "-"')
    .option('--description <text>', 'what it is for')
    .description('Makes an empty workspace.')
    .action(action(create));
  withServer(workspaces.command('delete'))
    .argument('<name>', 'name')
    .description('Deletes a workspace that holds no object, with its releases and history. Its audit stays.')
    .action(action(remove));
}

async function list(options: ServerOptions): Promise<void> {
  const { body } = await new AdminClient(options).ask<{ items: Workspace[] }>('GET', '/api/v1/workspaces');
  if (options.json) json(body.items);
  else if (body.items.length === 0) line('There is no workspace yet. Make one with: paifang workspaces create NAME');
  else {
    line(
      table(body.items, [
        { head: 'NAME', cell: (w) => w.name },
        { head: 'RELEASE', cell: (w) => w.release, right: true },
        { head: 'CREATED', cell: (w) => w.createdAt },
        { head: 'DESCRIPTION', cell: (w) => w.description, flexible: true },
      ]),
    );
  }
}

async function create(name: string, options: ServerOptions & { description?: string }): Promise<void> {
  const wanted = { name, ...(options.description !== undefined && { description: options.description }) };
  const { body } = await new AdminClient(options).ask<Workspace>('POST', '/api/v1/workspaces', wanted);
  if (options.json) json(body);
  else if (!options.quiet) line(`Workspace ${visible(name)} is made.`);
}

async function remove(name: string, options: ServerOptions): Promise<void> {
  await new AdminClient(options).ask('DELETE', workspacePath(name));
  if (options.json) json({ deleted: name });
  else if (!options.quiet) line(`Workspace ${visible(name)} is deleted.`);
}
