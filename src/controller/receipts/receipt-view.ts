import { type Static, Type } from 'typebox';
import type { ReceiptRow, TimelineRow } from '../../store/receipts.js';

const OrNull = <T extends Parameters<typeof Type.Union>[0][number]>(schema: T) => Type.Union([schema, Type.Null()]);
const Ms = (description: string) =>
  OrNull(Type.Number({ description: `${description}, in ms since the write began; null: not yet, or not known.` }));

export const Timeline = Type.Object(
  {
    validatedMs: Ms('Judged to be without fault'),
    storedMs: Ms('Committed in the database'),
    compiledMs: Ms('Compiled by the controller that made it'),
    pushedMs: Ms('Handed over to every stream of that controller'),
    acknowledgedMs: Ms('Acknowledged by the last node that counts'),
  },
  { title: 'ReleaseTimeline', additionalProperties: false },
);

const OfType = Type.Object(
  {
    type: Type.String({ description: 'Last word of the xDS type, e.g. RouteConfiguration.' }),
    changed: Type.Integer({ description: 'Resources that the release changed and the node is to have.' }),
    waiting: Type.Integer({ description: 'Of these, not acknowledged.' }),
    pushedMs: Ms('Sent'),
    ackedMs: Ms('All of the type acknowledged'),
    refused: Type.Optional(Type.Object({ name: Type.String(), error: Type.String() })),
    held: Type.Optional(Type.String({ description: 'Why it was held back for so long that it is late.' })),
  },
  { title: 'ReceiptOfType', additionalProperties: false },
);

export const NodeReceipt = Type.Object(
  {
    node: Type.String(),
    fleet: Type.String(),
    role: OrNull(Type.Enum(['envoy', 'edge', 'grpc', 'other'])),
    connected: Type.Boolean({ description: 'To this or another controller, now. Only such nodes count.' }),
    replica: Type.String({ description: 'Controller that told it.' }),
    state: Type.Enum(['acked', 'refused', 'pending', 'away'], {
      description: 'acked: in force. away: it went before it answered. refused stays so when a later release helped.',
    }),
    late: Type.Boolean({ description: 'It took, or takes, more than 5 s.' }),
    pushedMs: Ms('First sent'),
    ackedMs: Ms('All acknowledged, or what took its place'),
    types: Type.Array(OfType),
  },
  { title: 'NodeReceipt', additionalProperties: false },
);

export const Receipt = Type.Object(
  {
    workspace: Type.String(),
    release: Type.Integer(),
    beganAt: OrNull(Type.String({ format: 'date-time' })),
    acked: Type.Boolean({ description: 'Every connected node of the touched fleets has it in force.' }),
    result: Type.Enum(['acked', 'refused', 'pending'], {
      description: 'refused: at least one node refused; pending: none did, and at least one has not answered.',
    }),
    timedOut: Type.Optional(Type.Boolean({ description: 'Of a wait: the time was over first.' })),
    waitedMs: Type.Optional(Type.Number()),
    timeline: Timeline,
    fleets: Type.Array(Type.String(), { description: 'Fleets whose configuration the release changed.' }),
    nodes: Type.Array(NodeReceipt),
  },
  { title: 'Receipt', additionalProperties: false },
);
export type Receipt = Static<typeof Receipt>;

/** What is known of one node and release. */
export interface NodeOfRelease extends ReceiptRow {
  readonly role: 'envoy' | 'edge' | 'grpc' | 'other' | undefined;
  readonly connected: boolean;
}

export function receiptView(known: {
  readonly workspace: string;
  readonly release: number;
  readonly timeline: TimelineRow | undefined;
  readonly nodes: readonly NodeOfRelease[];
}): Receipt {
  const { workspace, release, timeline, nodes } = known;
  const began = timeline?.beganAt.getTime();
  const since = (at: number | null | undefined) =>
    at === null || at === undefined || began === undefined ? null : rounded(at - began);
  const views = nodes
    .map(({ types, node, fleet, role, connected, replica, state, late, pushedAt, ackedAt }) => ({
      node,
      fleet,
      role: role ?? null,
      connected,
      replica,
      state,
      late,
      pushedMs: since(pushedAt),
      ackedMs: since(ackedAt),
      types: types.map(({ type, changed, waiting, pushedAt: pushed, ackedAt: acked, refused, held }) => ({
        type: type.slice(type.lastIndexOf('.') + 1),
        changed,
        waiting,
        pushedMs: since(pushed),
        ackedMs: since(acked),
        ...(refused && { refused }),
        ...(held !== undefined && { held }),
      })),
    }))
    .sort((a, b) => (`${a.fleet} ${a.node}` < `${b.fleet} ${b.node}` ? -1 : 1));
  const counting = views.filter(({ connected }) => connected);
  const result = counting.some(({ state }) => state === 'refused')
    ? 'refused'
    : counting.every(({ state }) => state === 'acked')
      ? 'acked'
      : 'pending';
  // Nodes that went since acknowledged it all the same; those that refused it and have something later did not.
  const last = Math.max(...views.flatMap(({ state, ackedMs }) => (state === 'acked' ? (ackedMs ?? []) : [])));
  const settled = counting.every(({ state }) => state !== 'pending');
  return {
    workspace,
    release,
    beganAt: timeline?.beganAt.toISOString() ?? null,
    acked: result === 'acked',
    // One refusal is told at once, but a wait goes on until all have answered.
    result: result === 'refused' && !settled ? 'pending' : result,
    timeline: {
      validatedMs: rounded(timeline?.validatedMs),
      storedMs: rounded(timeline?.storedMs),
      compiledMs: rounded(timeline?.compiledMs),
      pushedMs: rounded(timeline?.pushedMs),
      acknowledgedMs: result === 'acked' && Number.isFinite(last) ? last : null,
    },
    fleets: [...(timeline?.fleets ?? [])],
    nodes: views,
  };
}

function rounded(ms: number | null | undefined): number | null {
  return ms === null || ms === undefined ? null : Math.round(ms * 100) / 100;
}
