import type { Command } from 'commander';
import { AdminClient, type ServerOptions } from './admin.js';
import { EXIT, type Exit, usage } from './exit.js';
import { facts, table } from './table.js';
import { line, paint, visible } from './terminal.js';

/** What became of a release, as the admin API shows it. */
export interface Receipt {
  readonly workspace: string;
  readonly release: number;
  readonly acked: boolean;
  readonly result: 'acked' | 'refused' | 'pending';
  readonly timedOut?: boolean;
  readonly timeline: Readonly<
    Record<'validatedMs' | 'storedMs' | 'compiledMs' | 'pushedMs' | 'acknowledgedMs', number | null>
  >;
  readonly nodes: readonly NodeReceipt[];
}
interface NodeReceipt {
  readonly node: string;
  readonly fleet: string;
  readonly connected: boolean;
  readonly state: 'acked' | 'refused' | 'pending' | 'away';
  readonly late: boolean;
  readonly pushedMs: number | null;
  readonly ackedMs: number | null;
  readonly types: readonly {
    readonly type: string;
    readonly changed: number;
    readonly waiting: number;
    readonly refused?: { readonly name: string; readonly error: string };
    readonly held?: string;
  }[];
}

export interface WaitOptions {
  readonly wait?: boolean;
}

/** The controller waits no longer, in seconds. */
const LONGEST_WAIT_SECONDS = 300;
/** How much longer than the controller the client waits for its answer, in seconds. */
const GRACE_SECONDS = 10;

/** Adds --wait to a verb that publishes. */
export function withWait(command: Command): Command {
  return command.option(
    '--wait',
    'wait until every node has it in force, for --timeout at most (exit status 1: not in time, 3: a node refused it)',
  );
}

/** The client for a request that may wait, and what to append to its path. */
export function waiting(options: ServerOptions & WaitOptions): { admin: AdminClient; query: string } {
  return options.wait ? patient(options) : { admin: new AdminClient(options), query: '' };
}

/** As {@link waiting}, for a request that does wait. */
export function patient(options: ServerOptions): { admin: AdminClient; query: string } {
  const seconds = Number(options.timeout);
  if (!(seconds > 0 && seconds <= LONGEST_WAIT_SECONDS))
    throw usage(
      `"${options.timeout}" is no time to wait.`,
      `Give --timeout in seconds, at most ${LONGEST_WAIT_SECONDS}.`,
    );
  // The controller ends the wait.
  const admin = new AdminClient({ ...options, timeout: String(seconds + GRACE_SECONDS) });
  return { admin, query: `?wait=acked&timeout=${Math.round(seconds * 1000)}ms` };
}

/** 0 in force everywhere, 1 not in time, 3 refused by a node. */
export function exitOf(receipt: Receipt | undefined): Exit {
  if (receipt === undefined || receipt.acked) return EXIT.ok;
  return receipt.nodes.some(({ state, connected }) => connected && state === 'refused') ? EXIT.refused : EXIT.finding;
}

/** Says in a line or two how a wait ended; names the nodes that are not there yet. */
export function printWait(receipt: Receipt | undefined): void {
  if (receipt === undefined) return;
  const { timeline, release } = receipt;
  const nodes = receipt.nodes.filter(({ connected }) => connected);
  const count = nodes.length === 1 ? '1 node' : `${nodes.length} nodes`;
  if (receipt.acked) {
    const ms = timeline.acknowledgedMs === null ? '' : `, ${timeline.acknowledgedMs} ms after the write began`;
    line(
      nodes.length === 0
        ? 'No node of its fleets is connected.'
        : paint('green', `Release ${release} is in force at ${count}${ms}.`),
    );
    return;
  }
  for (const node of nodes.filter(({ state }) => state !== 'acked')) line(paint('red', visible(lack(node))));
}

function lack({ node, state, types }: NodeReceipt): string {
  const refused = types.find((type) => type.refused);
  if (state === 'refused')
    return `${node} refused ${refused?.type ?? ''} ${refused?.refused?.name ?? ''}: ${refused?.refused?.error ?? ''}`;
  const waiting = types.filter((type) => type.waiting > 0);
  const what = waiting.map(({ type, waiting: count, held }) => `${count} ${type}${held ? ` (${held})` : ''}`);
  return `${node} has not acknowledged ${what.length > 0 ? what.join(', ') : 'it'}`;
}

/** A receipt in full: the way of the release, then every node. */
export function printReceipt(receipt: Receipt): void {
  const { timeline } = receipt;
  const ms = (value: number | null) => (value === null ? undefined : `${value} ms`);
  line(
    facts([
      ['validated', ms(timeline.validatedMs)],
      ['stored', ms(timeline.storedMs)],
      ['compiled', ms(timeline.compiledMs)],
      ['pushed', ms(timeline.pushedMs)],
      ['acknowledged', ms(timeline.acknowledgedMs)],
    ]),
  );
  if (receipt.nodes.length === 0) return;
  line();
  line(
    table(receipt.nodes, [
      { head: 'NODE', cell: ({ node }) => node },
      { head: 'FLEET', cell: ({ fleet }) => fleet },
      { head: 'STATE', cell: ({ state, late, connected }) => stateOf(state, late, connected) },
      { head: 'PUSHED MS', cell: ({ pushedMs }) => pushedMs, right: true },
      { head: 'ACKED MS', cell: ({ ackedMs }) => ackedMs, right: true },
      { head: 'CHANGED', cell: ({ types }) => types.reduce((sum, { changed }) => sum + changed, 0), right: true },
      { head: 'TYPES', cell: ({ types }) => types.map(({ type }) => type).join(', '), flexible: true },
    ]),
  );
  for (const node of receipt.nodes) if (node.state === 'refused') line(paint('red', visible(lack(node))));
}

function stateOf(state: string, late: boolean, connected: boolean): string {
  const words = [state, late ? 'late' : '', connected || state === 'away' ? '' : 'gone since'];
  return words.filter((word) => word !== '').join(', ');
}
