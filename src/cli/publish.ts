import type { Command } from 'commander';
import { type ServerOptions, withServer, workspaceOf } from './admin.js';
import { exitOf, printWait, type WaitOptions, waiting, withWait } from './receipt.js';
import { namesOf, type Outcome, objectPath, printWarnings } from './resources.js';
import { action, json, line, visible } from './terminal.js';

/** `paifang publish` and `paifang offline`: an API's way into traffic and out of it. */
export function addPublish(program: Command): void {
  withWait(withServer(program.command('publish')))
    .argument('<api>', 'name of the API')
    .summary('put an API online')
    .description(
      'Publishes the latest revision of an API, and what it needs, as a new release. Other drafts stay drafts.',
    )
    .addHelpText(
      'after',
      '\nExample:\n  paifang publish list-orders\n\nExit status: 0 published, 3 refused (every fault is listed).',
    )
    .action(action((api: string, options: ServerOptions & WaitOptions) => move('publish', api, options)));
  withWait(withServer(program.command('offline')))
    .argument('<api>', 'name of the API')
    .summary('take an API offline')
    .description('Takes an API out of traffic as a new release; callers get 3000. Its definition is kept.')
    .addHelpText('after', '\nExample:\n  paifang offline list-orders')
    .action(action((api: string, options: ServerOptions & WaitOptions) => move('offline', api, options)));
}

async function move(verb: 'publish' | 'offline', api: string, options: ServerOptions & WaitOptions) {
  const { admin, query } = waiting(options);
  const path = `${objectPath(workspaceOf(options), 'api', api)}/${verb}${query}`;
  const { body } = await admin.ask<Outcome>('POST', path, {});
  if (options.json) {
    json(body);
    return exitOf(body.receipt);
  }
  if (options.quiet) return exitOf(body.receipt);
  printWarnings(body);
  const state = verb === 'publish' ? 'online' : 'offline';
  const since = body.release === null ? '; nothing had to change' : ` since release ${body.release}`;
  line(`API ${visible(api)} is ${state}${since}.`);
  if (body.alsoPublished.length > 0) line(`Published along with it: ${namesOf(body.alsoPublished).join(', ')}.`);
  printWait(body.receipt);
  return exitOf(body.receipt);
}
