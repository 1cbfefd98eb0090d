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
  readonly refused?: readonly RefusedPeer[];
}
interface RefusedPeer {
  readonly peer: string;
  readonly node: string | null;
  readonly fleet: string | null;
  readonly message: string;
  readonly count: number;
  readonly lastAt: string;
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
  readonly identity?: {
    readonly by: 'certificate' | 'token' | 'shared-token' | 'none';
    readonly expiresAt: string | null;
  } | null;
}

/** Refused peers that are printed. */
const MOST_REFUSED = 10;

/** `paifang status`: how a controller and its nodes are. */
export function addStatus(program: Command): void {
  withServer(program.command('status'))
    .summary('show how the controller and its nodes are')
    .description(
      'Shows the controller, what it depends on, the release in force of each workspace, and the Envoys and edges of all controllers: the release each has in force, what it has yet to take (drift), since when it is up, and which are stuck, refuse something or have fallen silent, and why. PROOF tells how a node proved who it is. Below are those that the controller did not let in.',
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
  printRefused(body.refused ?? []);
}

/** A fleet with how many of its nodes are in step. */
function fleetLine(fleet: string, nodes: readonly Node[]): string {
  const own = nodes.filter((node) => node.fleet === fleet);
  if (own.length === 0) return fleet;
  return `${fleet} (${own.filter(({ state }) => state === 'in-step').length}/${own.length} in step)`;
}

/** How a node proved who it is, and until what day that holds. */
function proofCell({ identity }: Node): string | undefined {
  if (!identity) return undefined;
  const name = identity.by === 'shared-token' ? 'shared token' : identity.by;
  return identity.expiresAt === null ? name : `${name} until ${identity.expiresAt.slice(0, 10)}`;
}

function printRefused(refused: readonly RefusedPeer[]): void {
  if (refused.length === 0) return;
  line();
  line('Not let in by this controller:');
  for (const { peer, node, fleet, message, count, lastAt } of refused.slice(0, MOST_REFUSED)) {
    const who = node === null ? peer : `${peer} as ${node} of ${fleet}`;
    line(paint('yellow', visible(`${lastAt} ${who}, ${count === 1 ? 'once' : `${count} times`}: ${message}`)));
  }
  if (refused.length > MOST_REFUSED) line(`and ${refused.length - MOST_REFUSED} more, with --json`);
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
      { head: 'PROOF', cell: proofCell },
      { head: 'CONTROLLER', cell: (n) => n.replica, flexible: true },
    ]),
  );
  for (const { node, state, why } of nodes) {
    if (why !== null)
      line(paint(state === 'away' || state === 'behind' ? 'yellow' : 'red', visible(`${node} is ${state}: ${why}`)));
  }
}
