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
  readonly nodes: readonly Node[];
}
interface Node {
  readonly node: string;
  readonly fleet: string;
  readonly role: 'envoy' | 'edge' | 'grpc' | 'other';
  readonly beside: string | null;
  readonly state: 'in-step' | 'behind' | 'stuck' | 'refusing' | 'away' | 'silent';
  readonly why: string | null;
  readonly release: number | null;
  readonly drift: number;
  readonly version: string;
  readonly locality: { readonly region: string; readonly zone: string; readonly subZone: string };
  readonly upSince: string;
  readonly replica: string;
}

/** `paifang status`: how a controller and its nodes are. */
export function addStatus(program: Command): void {
  withServer(program.command('status'))
    .summary('show how the controller and its nodes are')
    .description(
      'Shows the controller, what it depends on, the release in force of each workspace, and the Envoys and edges of all controllers: the release each has in force, what it has yet to take (drift), since when it is up, and which are stuck, refuse something or have fallen silent, and why.',
    )
    .addHelpText(
      'after',
      `
A node is stuck when it has been behind for 10 s, silent when no controller has seen it for 15 s.

Examples:
  paifang status
  paifang status --json | jq '.nodes[] | select(.state != "in-step")'`,
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
        {
          head: 'FLEETS',
          cell: (w) => w.fleets.map((fleet) => fleetLine(fleet, body.nodes)).join(', '),
          flexible: true,
        },
        { head: 'FAULT', cell: (w) => w.fault, flexible: true },
      ]),
    );
  }
  line();
  if (body.nodes.length === 0) line('No node is connected.');
  else printNodes(body.nodes);
}

/** A fleet with how many of its nodes are in step. */
function fleetLine(fleet: string, nodes: readonly Node[]): string {
  const own = nodes.filter((node) => node.fleet === fleet);
  if (own.length === 0) return fleet;
  return `${fleet} (${own.filter(({ state }) => state === 'in-step').length}/${own.length} in step)`;
}

function printNodes(nodes: readonly Node[]): void {
  line(
    table(nodes, [
      { head: 'NODE', cell: (n) => n.node },
      { head: 'FLEET', cell: (n) => n.fleet },
      { head: 'IS', cell: (n) => n.version || n.role },
      { head: 'BESIDE', cell: (n) => n.beside, flexible: true },
      {
        head: 'WHERE',
        cell: ({ locality: { region, zone, subZone } }) => [region, zone, subZone].filter(Boolean).join('/'),
      },
      { head: 'STATE', cell: (n) => n.state },
      { head: 'RELEASE', cell: (n) => n.release, right: true },
      { head: 'DRIFT', cell: (n) => n.drift, right: true },
      { head: 'UP SINCE', cell: (n) => n.upSince },
      { head: 'CONTROLLER', cell: (n) => n.replica, flexible: true },
    ]),
  );
  for (const { node, state, why } of nodes) {
    if (why !== null)
      line(paint(state === 'away' || state === 'behind' ? 'yellow' : 'red', visible(`${node} is ${state}: ${why}`)));
  }
}
