import type { Command } from 'commander';
import { AdminClient, type ServerOptions, withServer, workspaceOf } from './admin.js';
import { EXIT, type Exit } from './exit.js';
import { type WaitOptions, waiting, withWait } from './receipt.js';
import { objectPath } from './resources.js';
import { facts, table } from './table.js';
import { action, json, line, note, visible } from './terminal.js';

/** A key pair of an App as the admin API shows it; the secret only in the answer that creates it. */
interface Credential {
  readonly accessKey: string;
  readonly secretKey?: string;
  readonly enabled: boolean;
  readonly createdAt?: string;
  readonly expiresAt?: string | null;
  /** Of a change that waited. */
  readonly receipt?: ContentReceipt;
}

interface ContentReceipt {
  readonly acked: boolean;
  readonly result: 'acked' | 'refused' | 'pending';
  readonly nodes: readonly { readonly node: string; readonly state: string; readonly error?: string }[];
}

/** `paifang credentials …`: the keys of an App. */
export function addCredentials(program: Command): void {
  const credentials = program
    .command('credentials')
    .summary('create, list and disable the keys of an App')
    .description(
      'Keys take effect at once, without a release. An App may have several, so that callers can move from one to the next.',
    )
    .addHelpText(
      'after',
      `
Examples:
  paifang credentials create my-app --json > my-app.json && chmod 600 my-app.json
  paifang credentials list my-app
  paifang credentials disable my-app 7Hq2…         callers with this key get 2113 from now on

The secret key is shown once, when it is made. Nobody can read it again.`,
    );
  withWait(withServer(credentials.command('create')))
    .argument('<app>', 'name of the App')
    .option('--expires <time>', 'ISO 8601 time from which the key is refused')
    .description('Makes a key pair and prints it, the secret for the only time.')
    .action(action(create));
  withServer(credentials.command('list'))
    .argument('<app>', 'name of the App')
    .description('Lists the keys of an App.')
    .action(action(list));
  withWait(withServer(credentials.command('disable')))
    .argument('<app>', 'name of the App')
    .argument('<access-key>', 'the key')
    .description('Makes a key unusable at once. It can be enabled again through the admin API.')
    .action(action(disable));
}

function pathOf(app: string, options: ServerOptions, key?: string): string {
  const path = `${objectPath(workspaceOf(options), 'app', app)}/credentials`;
  return key === undefined ? path : `${path}/${encodeURIComponent(key)}`;
}

async function create(app: string, options: ServerOptions & WaitOptions & { expires?: string }): Promise<Exit> {
  const body = options.expires === undefined ? {} : { expiresAt: options.expires };
  const { admin, query } = waiting(options);
  const { body: made } = await admin.ask<Credential>('POST', `${pathOf(app, options)}${query}`, body);
  if (options.json) {
    json(made);
    return exitOf(made.receipt);
  }
  line(
    facts([
      ['access key', made.accessKey],
      ['secret key', made.secretKey],
      ['expires', made.expiresAt ?? undefined],
    ]),
  );
  if (!options.quiet) note('\nThe secret key is shown this once. Keep it where only the caller can read it.');
  printLack(made.receipt);
  return exitOf(made.receipt);
}

async function list(app: string, options: ServerOptions): Promise<void> {
  const { body } = await new AdminClient(options).ask<{ items: Credential[] }>('GET', pathOf(app, options));
  if (options.json) json(body.items);
  else if (body.items.length === 0) line(`App ${visible(app)} has no keys.`);
  else {
    line(
      table(body.items, [
        { head: 'ACCESS KEY', cell: (c) => c.accessKey },
        { head: 'ENABLED', cell: (c) => (c.enabled ? 'yes' : 'no') },
        { head: 'CREATED', cell: (c) => c.createdAt },
        { head: 'EXPIRES', cell: (c) => c.expiresAt },
      ]),
    );
  }
}

async function disable(app: string, key: string, options: ServerOptions & WaitOptions): Promise<Exit> {
  const { admin, query } = waiting(options);
  const path = `${pathOf(app, options, key)}${query}`;
  const { body } = await admin.ask<Credential>('PATCH', path, { enabled: false });
  if (options.json) json(body ?? { accessKey: key, enabled: false });
  else if (!options.quiet) line(`Key ${visible(key)} of App ${visible(app)} is disabled.`);
  if (!options.json) printLack(body?.receipt);
  return exitOf(body?.receipt);
}

function exitOf(receipt: ContentReceipt | undefined): Exit {
  if (receipt === undefined || receipt.acked) return EXIT.ok;
  return receipt.result === 'refused' ? EXIT.refused : EXIT.finding;
}

/** Names the nodes that do not have the change. */
function printLack(receipt: ContentReceipt | undefined): void {
  for (const { node, state, error } of receipt?.nodes ?? []) {
    if (state === 'refused') note(visible(`${node} refused it: ${error ?? ''}`));
    else if (state === 'pending') note(visible(`${node} has not acknowledged it`));
  }
}
