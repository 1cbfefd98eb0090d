import { type Static, Type } from 'typebox';
import type { KnownNode } from './journal.js';
import { type TrackedNode, type Tracker, workspaceOf } from './tracker.js';

const state = Type.Enum(['acked', 'refused', 'pending'], {
  description: 'acked: it has this content, or newer, in force.',
});

/** What became of a change that needs no release: endpoints that registered or went, keys. */
export const ContentReceipt = Type.Object(
  {
    workspace: Type.String(),
    revision: Type.Integer({ description: 'Of what needs no release in the workspace: grows with each such change.' }),
    acked: Type.Boolean({ description: 'Every connected node of the touched fleets has it in force.' }),
    result: state,
    timedOut: Type.Boolean({ description: 'The time was over first.' }),
    waitedMs: Type.Number(),
    resources: Type.Array(
      Type.Object({
        fleet: Type.String(),
        type: Type.String(),
        name: Type.String(),
        version: Type.String({ description: 'Hash of the content; empty: taken away.' }),
      }),
      { description: 'What the change made of xDS resources; empty when it changed nothing at any node.' },
    ),
    nodes: Type.Array(
      Type.Object({
        node: Type.String(),
        fleet: Type.String(),
        role: Type.Union([Type.String(), Type.Null()]),
        replica: Type.String(),
        state,
        error: Type.Optional(Type.String({ description: 'What the node said when it refused.' })),
      }),
      { description: 'Connected nodes of the fleets that the change touched, at all controllers.' },
    ),
  },
  { title: 'ContentReceipt', additionalProperties: false },
);
export type ContentReceipt = Static<typeof ContentReceipt>;
type ContentNode = ContentReceipt['nodes'][number];

/** The answer of a deletion that waited. */
export const Removed = Type.Object({ receipt: ContentReceipt }, { title: 'Removed', additionalProperties: false });

/** How far the nodes are with a revision: those here by what they acknowledged, others by what their controllers wrote. */
export function contentReceipt(
  workspace: string,
  revision: number,
  tracker: Tracker,
  known: readonly KnownNode[],
): ContentReceipt {
  const changes = tracker.atOnce.changes(workspace, revision);
  // What it did is not remembered after a restart: then all nodes are asked whether they have everything.
  const touched = (fleet: string) => workspaceOf(fleet) === workspace && (changes === undefined || changes.has(fleet));
  const resources = [...(changes ?? [])].flatMap(([fleet, list]) => list.map((change) => ({ fleet, ...change })));
  const nodes = new Map<string, ContentNode>();
  for (const { fleet, node, replica, connected, about } of known) {
    if (!connected || replica === tracker.replica || !touched(fleet)) continue;
    const refused = about.refused.find((no) => resources.some((r) => r.fleet === fleet && isOf(r, no)));
    const has = (about.revision ?? -1) >= revision;
    nodes.set(`${fleet}\n${node}`, {
      ...{ node, fleet, role: about.role, replica },
      state: refused ? 'refused' : has ? 'acked' : 'pending',
      ...(refused && { error: refused.error }),
    });
  }
  for (const node of tracker.nodes.values()) {
    if (!node.stream || !touched(node.fleet)) continue;
    const error = refusalOf(node, resources);
    const lacks = tracker.atOnce.lacks(node.fleet, revision, node.stream).length > 0;
    const has = changes === undefined ? node.synced : !lacks;
    nodes.set(`${node.fleet}\n${node.node}`, {
      ...{ node: node.node, fleet: node.fleet, role: node.stream.info()?.role ?? null, replica: tracker.replica },
      state: error !== undefined ? 'refused' : has ? 'acked' : 'pending',
      ...(error !== undefined && { error }),
    });
  }
  const list = [...nodes.values()].sort((a, b) => (`${a.fleet} ${a.node}` < `${b.fleet} ${b.node}` ? -1 : 1));
  const result = list.some(({ state }) => state === 'pending')
    ? 'pending'
    : list.some(({ state }) => state === 'refused')
      ? 'refused'
      : 'acked';
  return {
    workspace,
    revision,
    acked: result === 'acked',
    result,
    timedOut: false,
    waitedMs: 0,
    resources,
    nodes: list,
  };
}

type Content = ContentReceipt['resources'][number];
const isOf = (a: Content, b: { type: string; name: string; version: string }): boolean =>
  a.type === b.type && a.name === b.name && a.version === b.version;

function refusalOf(node: TrackedNode, resources: readonly Content[]): string | undefined {
  for (const { fleet, type, name, version } of resources) {
    const refused = fleet === node.fleet ? node.stream?.refused(type, name) : undefined;
    if (refused?.version === version) return refused.error;
  }
  return undefined;
}
