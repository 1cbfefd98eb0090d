import { type Command, Option } from 'commander';
import type { Spec, SpecOf } from '../core/model/definitions.js';
import { KINDS, type Kind } from '../core/model/kind.js';
import { AdminClient, type ServerOptions, withServer, workspaceOf } from './admin.js';
import { yamlOf } from './dump.js';
import { kindOf, objectPath, type Shown } from './resources.js';
import { type Column, table } from './table.js';
import { action, json, line } from './terminal.js';

interface GetOptions extends ServerOptions {
  readonly output: 'table' | 'yaml' | 'json' | 'name';
}

/** `paifang get`: stored objects. */
export function addGet(program: Command): void {
  withServer(program.command('get'))
    .argument('<kind>', KINDS.join(', '))
    .argument('[name]', 'one object instead of all')
    .addOption(
      new Option('-o, --output <format>', 'format').choices(['table', 'yaml', 'json', 'name']).default('table'),
    )
    .summary('show stored objects')
    .description(
      'Lists the objects of a kind with their state, or shows one with its whole definition. `*` beside a state: stored changes are not published yet.',
    )
    .addHelpText(
      'after',
      `
Examples:
  paifang get apis
  paifang get api list-orders                 its definition as YAML
  paifang get clusters -o name | xargs -n1 paifang get cluster --json`,
    )
    .action(action(get));
}

async function get(kindText: string, name: string | undefined, options: GetOptions): Promise<void> {
  const kind = kindOf(kindText);
  const workspace = workspaceOf(options);
  const admin = new AdminClient(options);
  const output = options.json ? 'json' : options.output;
  if (name !== undefined) {
    const { body } = await admin.ask<Shown>('GET', objectPath(workspace, kind, name));
    if (output === 'json') json(body);
    else if (output === 'name') line(body.name);
    else process.stdout.write(await yamlOf(body));
    return;
  }
  const all = await admin.list<Shown>(objectPath(workspace, kind));
  if (output === 'json') json(all);
  else if (output === 'yaml') process.stdout.write(await yamlOf(all));
  else if (output === 'name') for (const { name: each } of all) line(each);
  else if (all.length > 0) line(table(all, columnsOf(kind)));
  else if (!options.quiet) line(`Workspace ${workspace} has no ${kind}.`);
}

function columnsOf(kind: Kind): Column<Shown>[] {
  return [
    { head: 'NAME', cell: (o) => o.name },
    { head: 'STATE', cell: (o) => `${o.state}${o.pending && o.inForce !== null ? ' *' : ''}` },
    { head: 'REV', cell: (o) => o.revision, right: true },
    ...DETAILS[kind],
    { head: 'ID', cell: (o) => o.id },
  ];
}

function detail<K extends Kind>(head: string, cell: (spec: SpecOf[K]) => string | number | undefined): Column<Shown> {
  return { head, cell: (o) => cell(o.spec as Spec as SpecOf[K]), flexible: true };
}

const DETAILS: Record<Kind, Column<Shown>[]> = {
  fleet: [
    detail<'fleet'>('LISTENERS', (s) => s.listeners.map((l) => `${l.address ?? '0.0.0.0'}:${l.port}`).join(', ')),
  ],
  cluster: [
    detail<'cluster'>('PROTOCOL', (s) => s.protocol ?? 'http1'),
    detail<'cluster'>('ENDPOINTS', (s) =>
      [
        ...s.endpoints.map((e) => `${e.host}:${e.port}`),
        ...(s.discovery?.dns ?? []).map(({ name, type, port }) =>
          type === 'srv' ? `srv ${name}` : `dns ${name}:${port}`,
        ),
      ].join(', '),
    ),
  ],
  group: [detail<'group'>('HOSTS', (s) => s.hosts.join(', '))],
  api: [
    detail<'api'>('GROUP', (s) => s.group),
    detail<'api'>('METHODS', (s) => s.match.methods?.join(',') ?? 'any'),
    detail<'api'>('PATH', (s) => s.match.path),
    detail<'api'>('AUTH', (s) => s.auth?.type ?? 'none'),
    detail<'api'>('TO', (s) => destination(s.upstream)),
  ],
  app: [
    detail<'app'>('ENABLED', (s) => (s.enabled === false ? 'no' : 'yes')),
    detail<'app'>('GRANTS', (s) =>
      [...(s.grants?.groups ?? []).map((g) => `${g}/*`), ...(s.grants?.apis ?? [])].join(', '),
    ),
  ],
};

function destination(upstream: SpecOf['api']['upstream']): string {
  switch (upstream.kind) {
    case 'cluster':
      return upstream.cluster;
    case 'weighted':
      return upstream.clusters.map((c) => `${c.cluster} ${c.weight} %`).join(', ');
    case 'mock':
      return `mock ${upstream.resultCode ?? '1100'}`;
    default:
      return upstream satisfies never;
  }
}
