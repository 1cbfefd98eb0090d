import type { Command } from 'commander';
import { AdminClient, type ServerOptions, withServer } from './admin.js';
import { facts, table } from './table.js';
import { action, json, line, paint, visible } from './terminal.js';

/** What the verb shows of the controller's own account. */
interface Status {
  readonly version: string;
  readonly startedAt: string;
  readonly components: Readonly<
    Record<string, { readonly status: string; readonly details?: { readonly reason?: string } }>
  >;
  readonly workspaces: readonly {
    readonly workspace: string;
    readonly release: number;
    readonly fleets: readonly string[];
    readonly fault?: string;
  }[];
  readonly streams: readonly Stream[];
}
interface Stream {
  readonly node: string;
  readonly fleet: string;
  readonly userAgent?: string;
  readonly connectedAtMs?: number;
  readonly unanswered?: number;
  readonly refused?: readonly unknown[];
}

/** `paifang status`: how a controller and its nodes are. */
export function addStatus(program: Command): void {
  withServer(program.command('status'))
    .summary('show how the controller and its nodes are')
    .description(
      'Shows the controller, what it depends on, the release in force of each workspace, and the Envoys and edges that are connected: how many messages each has not answered yet and what it has refused.',
    )
    .addHelpText(
      'after',
      "\nExamples:\n  paifang status\n  paifang status --json | jq '.streams[] | select(.refused != [])'",
    )
    .action(action(status));
}

async function status(options: ServerOptions): Promise<void> {
  const { body } = await new AdminClient(options).ask<Status>('GET', '/api/v1/status');
  if (options.json) {
    json(body);
    return;
  }
  const components = Object.entries(body.components).map(([name, { status, details }]) => {
    const reason = details?.reason ? ` (${details.reason})` : '';
    return [name, `${status}${reason}`] as const;
  });
  line(facts([['version', body.version], ['since', body.startedAt], ...components]));
  if (body.workspaces.length > 0) {
    line();
    line(
      table(body.workspaces, [
        { head: 'WORKSPACE', cell: (w) => w.workspace },
        { head: 'RELEASE', cell: (w) => w.release, right: true },
        { head: 'FLEETS', cell: (w) => w.fleets.join(', '), flexible: true },
        { head: 'FAULT', cell: (w) => w.fault, flexible: true },
      ]),
    );
  }
  line();
  if (body.streams.length === 0) line('No node is connected.');
  else printStreams(body.streams);
}

function printStreams(streams: readonly Stream[]): void {
  line(
    table(streams, [
      { head: 'NODE', cell: (s) => s.node },
      { head: 'FLEET', cell: (s) => s.fleet },
      { head: 'IS', cell: (s) => s.userAgent || 'edge' },
      {
        head: 'SINCE',
        cell: (s) => (s.connectedAtMs === undefined ? undefined : new Date(s.connectedAtMs).toISOString()),
      },
      { head: 'UNANSWERED', cell: (s) => s.unanswered, right: true },
      { head: 'REFUSED', cell: (s) => s.refused?.length, right: true },
    ]),
  );
  for (const { node, refused } of streams) {
    for (const refusal of refused ?? [])
      line(paint('red', `${visible(node)} refused: ${visible(JSON.stringify(refusal))}`));
  }
}
