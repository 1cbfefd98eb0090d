import { type Static, Type } from 'typebox';
import type { NodeRow } from '../../store/receipts.js';
import type { Journal, KnownNode } from './journal.js';
import { nodeAbout } from './node-about.js';
import { now, type Tracker, workspaceOf } from './tracker.js';

/** A connected node that has not taken what it should have for so long is stuck, in ms. */
export const STUCK_MS = 10_000;
/** A node that no controller has seen for so long is silent, in ms. Shorter: it is away, as during a restart. */
export const SILENT_MS = 15_000;

const Instant = Type.String({ format: 'date-time' });
const OrNull = <T extends Parameters<typeof Type.Union>[0][number]>(schema: T) => Type.Union([schema, Type.Null()]);

export const FleetNode = Type.Object(
  {
    workspace: Type.String(),
    fleet: Type.String({ description: 'Key: <workspace>/<fleet>.' }),
    node: Type.String(),
    role: Type.Enum(['envoy', 'edge', 'grpc', 'other'], {
      description: 'grpc: a gRPC library as its own xDS client. other: any other xDS client.',
    }),
    beside: OrNull(
      Type.String({ description: 'Of an edge: the Envoy it serves. Of an Envoy: its edge, when one came by.' }),
    ),
    connected: Type.Boolean(),
    state: Type.Enum(['in-step', 'behind', 'stuck', 'refusing', 'away', 'silent'], {
      description: `stuck: behind for more than ${STUCK_MS / 1000} s. refusing: it refused something and lacks it. silent: no controller has seen it for more than ${SILENT_MS / 1000} s.`,
    }),
    why: OrNull(Type.String({ description: 'What keeps it from being in step, in words.' })),
    replica: Type.String({ description: 'Controller it is, or was last, connected to.' }),
    version: Type.String({ description: 'As the node tells it, e.g. "envoy 1.40.0".' }),
    locality: Type.Object({ region: Type.String(), zone: Type.String(), subZone: Type.String() }),
    peer: Type.String(),
    variant: Type.Enum(['delta', 'sotw']),
    identity: OrNull(
      Type.Object(
        {
          by: Type.Enum(['certificate', 'token', 'shared-token', 'none'], {
            description: 'token: one of its own. shared-token: that of all edges. none: anybody could say this.',
          }),
          serial: OrNull(Type.String({ description: 'Of the certificate, in hexadecimal.' })),
          expiresAt: OrNull(Instant),
        },
        { description: 'How it proved who it is when it connected; null: not known.' },
      ),
    ),
    firstSeenAt: Instant,
    upSince: Type.String({
      format: 'date-time',
      description: 'Since when it has been connected without a gap of a minute, whichever controllers came and went.',
    }),
    connectedAt: Instant,
    lastSeenAt: Instant,
    lastHeardAt: Type.String({ format: 'date-time', description: 'When it last said something.' }),
    release: OrNull(
      Type.Integer({ description: 'Newest release that it has in force with all before it; null: not known yet.' }),
    ),
    drift: Type.Integer({ description: 'Changes it is to be told or has not answered, and refused resources.' }),
    behindSince: OrNull(Instant),
    held: Type.Array(
      Type.Object({
        type: Type.String(),
        name: Type.String(),
        change: Type.Enum(['upsert', 'removal']),
        why: Type.String(),
        on: Type.Object({ type: Type.String(), name: Type.String() }),
        ageMs: Type.Integer(),
      }),
      { description: 'Changes held back until the node is ready for them; at most 50.' },
    ),
    refused: Type.Array(
      Type.Object({ type: Type.String(), name: Type.String(), version: Type.String(), error: Type.String() }),
      { description: 'Versions it refused and has not got past; at most 50.' },
    ),
  },
  { title: 'FleetNode', additionalProperties: false },
);
export type FleetNode = Static<typeof FleetNode>;

/** Every node known, of all replicas: those connected here from memory, others as the database had them last. */
export class Inventory {
  constructor(
    private readonly tracker: Tracker,
    private readonly journal: Journal,
  ) {}

  /** Asks the database anew first; goes on with what is known when it is away. */
  async look(): Promise<void> {
    await this.journal.look();
  }

  nodes(workspace?: string): FleetNode[] {
    this.tracker.catchUp();
    const known = new Map<string, KnownNode>();
    for (const node of this.journal.known) {
      // What the database says of this replica's own nodes is older than what is known here.
      const connected =
        node.connected && node.replica !== this.tracker.replica && this.journal.alive.includes(node.replica);
      known.set(`${node.fleet}\n${node.node}`, { ...node, connected });
    }
    for (const [key, node] of this.tracker.nodes) {
      const about = nodeAbout(this.tracker, node);
      const before = known.get(key);
      if (!about || (!node.stream && before?.connected)) continue;
      const connectedAt = new Date(node.connectedAtMs);
      known.set(key, {
        workspace: workspaceOf(node.fleet),
        fleet: node.fleet,
        node: node.node,
        replica: this.tracker.replica,
        connected: node.stream !== undefined,
        firstSeenAt: before?.firstSeenAt ?? connectedAt,
        upSince: before?.upSince ?? connectedAt,
        connectedAt,
        lastSeenAt: new Date(node.stream ? now() : (node.leftAtMs ?? now())),
        about,
      });
    }
    const rows = [...known.values()].filter((row) => workspace === undefined || row.workspace === workspace);
    const edges = new Map(
      rows.flatMap(({ fleet, node, about }) =>
        about.beside === undefined ? [] : [[`${fleet}\n${about.beside}`, node]],
      ),
    );
    return rows
      .map((row) => nodeView(row, edges.get(`${row.fleet}\n${row.node}`), this.tracker.release(row.workspace)))
      .sort((a, b) => (place(a) < place(b) ? -1 : 1));
  }
}

/** Nodes by fleet, each edge after its Envoy. */
function place({ fleet, node, role, beside }: FleetNode): string {
  return role === 'edge' ? `${fleet} ${beside ?? node} 1 ${node}` : `${fleet} ${node} 0`;
}

function nodeView(row: NodeRow & { workspace: string }, edge: string | undefined, newest: number): FleetNode {
  const { workspace, fleet, node, replica, connected, firstSeenAt, upSince, connectedAt, lastSeenAt, about } = row;
  const at = now();
  const behindSince = about.behindSince === undefined ? null : new Date(about.behindSince).toISOString();
  const { state, why } = stateOf(row, newest, at);
  return {
    workspace,
    fleet,
    node,
    role: about.role,
    beside: about.beside ?? edge ?? null,
    connected,
    state,
    why,
    replica,
    version: about.version,
    locality: about.locality,
    peer: about.peer,
    variant: about.variant,
    identity: identityView(about.identity),
    firstSeenAt: firstSeenAt.toISOString(),
    upSince: upSince.toISOString(),
    connectedAt: connectedAt.toISOString(),
    lastSeenAt: (connected ? new Date(at) : lastSeenAt).toISOString(),
    lastHeardAt: new Date(about.heardAt).toISOString(),
    release: about.release,
    drift: about.drift,
    behindSince,
    held: about.held.map(({ sinceMs, ...held }) => ({ ...held, ageMs: Math.max(0, Math.round(at - sinceMs)) })),
    refused: about.refused.map((refused) => ({ ...refused })),
  };
}

function identityView(identity: NodeRow['about']['identity']): FleetNode['identity'] {
  if (identity === undefined) return null;
  const { by, serial, expiresAtMs } = identity;
  return {
    by,
    serial: serial ?? null,
    expiresAt: expiresAtMs === undefined ? null : new Date(expiresAtMs).toISOString(),
  };
}

function stateOf(row: NodeRow, newest: number, at: number): Pick<FleetNode, 'state' | 'why'> {
  const { about, connected, lastSeenAt } = row;
  if (!connected) {
    const ms = at - lastSeenAt.getTime();
    const why = `no controller has seen it for ${Math.max(0, Math.round(ms / 1000))} s`;
    return { state: ms > SILENT_MS ? 'silent' : 'away', why };
  }
  const [refused] = about.refused;
  if (refused) {
    const more = about.refused.length > 1 ? ` and ${about.refused.length - 1} more` : '';
    return { state: 'refusing', why: `refused ${short(refused.type)} ${refused.name}${more}: ${refused.error}` };
  }
  const late = about.release !== null && about.release < newest;
  if (about.drift === 0 && about.behindSince === undefined && !late) return { state: 'in-step', why: null };
  const ms = about.behindSince === undefined ? 0 : at - about.behindSince;
  const held = about.held.find(({ change }) => change === 'upsert');
  const why = held
    ? `${short(held.type)} ${held.name} waits for ${short(held.on.type)} ${held.on.name} (${held.why})`
    : about.drift > 0
      ? `${about.drift} changes not answered`
      : `release ${newest} not acknowledged`;
  return { state: ms > STUCK_MS ? 'stuck' : 'behind', why: `${why}, for ${Math.round(ms / 1000)} s` };
}

function short(type: string): string {
  return type.slice(type.lastIndexOf('.') + 1);
}
