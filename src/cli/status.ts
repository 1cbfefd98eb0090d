import type { Command } from 'commander';
import { AdminClient, type ServerOptions, withServer } from './admin.js';
import { yamlOf } from './dump.js';
import { action, json } from './terminal.js';

/** `paifang status`: how a controller and its nodes are. */
export function addStatus(program: Command): void {
  withServer(program.command('status'))
    .summary('show how the controller and its nodes are')
    .description(
      'Shows the controller, what it depends on, and the Envoys and edges that are connected with what they have acknowledged.',
    )
    .addHelpText('after', '\nExample:\n  paifang status --json | jq .')
    .action(action(status));
}

async function status(options: ServerOptions): Promise<void> {
  const { body } = await new AdminClient(options).ask<object>('GET', '/api/v1/status');
  if (options.json) json(body);
  else process.stdout.write(await yamlOf(body));
}
