import type { Command } from 'commander';
import { type ServerOptions, withServer, workspaceOf } from './admin.js';
import { exitOf, patient, printWait, type Receipt } from './receipt.js';
import { releaseNumber, workspacePath } from './resources.js';
import { action, json } from './terminal.js';

/** `paifang wait`: until a release is in force everywhere. */
export function addWait(program: Command): void {
  withServer(program.command('wait'))
    .argument('<release>', 'number')
    .summary('wait until a release is in force at every node')
    .description(
      'Waits until every connected Envoy and edge of the fleets that a release touched has it in force, for --timeout seconds at most. Nodes of all controllers count.',
    )
    .addHelpText(
      'after',
      `
Examples:
  paifang wait 12 --timeout 60
  paifang wait 12 --json | jq -r '.nodes[] | select(.state != "acked") | .node'

Exit status: 0 in force everywhere, 1 not in time, 3 refused by a node or by the controller.`,
    )
    .action(action(wait));
}

async function wait(text: string, options: ServerOptions) {
  const { admin, query } = patient(options);
  const path = `${workspacePath(workspaceOf(options))}/releases/${releaseNumber(text)}/receipt`;
  const { body } = await admin.ask<Receipt>('GET', `${path}${query}`);
  if (options.json) json(body);
  else if (!options.quiet || !body.acked) printWait(body);
  return exitOf(body);
}
