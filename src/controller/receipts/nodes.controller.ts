import { Controller } from '@nestjs/common';
import { Type } from 'typebox';
import { BY_NAME, byNameOnly, TYPE } from '../../core/ads/resource.js';
import type { ClusterSpec } from '../../core/model/cluster.js';
import { Live } from '../live.js';
import { existing } from '../objects.controller.js';
import { Checked, Handles, type InputOf, operation } from '../operation.js';
import { notFound } from '../problem.js';
import { Serving } from '../serving.js';
import { InWorkspace } from '../views.js';
import { FleetNode, Inventory } from './inventory.js';

const tag = 'operations';
const base = '/api/v1/workspaces/{workspace}/nodes';
const NodeId = Type.String({ minLength: 1, maxLength: 512, description: 'node.id of an Envoy or edge.' });
const InFleet = Type.Optional(Type.String({ maxLength: 128, description: 'Only of this fleet, by name.' }));
const LIST = operation({
  method: 'GET',
  path: base,
  id: 'listNodes',
  tag,
  summary: 'Envoys and edges: where they are, what they have in force, and which need help',
  description:
    'Over all controllers. A node that nobody has seen for 7 days is forgotten. While the database is away, nodes of other controllers are as they were last known.',
  params: InWorkspace,
  query: Type.Object({ fleet: InFleet }, { additionalProperties: false }),
  problems: [404],
  answers: {
    200: {
      description: 'All of them, Envoys before their edges.',
      schema: Type.Object({ items: Type.Array(FleetNode), total: Type.Integer() }, { title: 'FleetNodes' }),
    },
  },
});
/** Resources of one node that are told, at most. */
const MOST_DRIFTING = 1000;
const Drifting = Type.Object({
  type: Type.String(),
  name: Type.String(),
  desired: Type.String({ description: 'Version it should have.' }),
  acked: Type.Union([Type.String(), Type.Null()], { description: 'Version it has; null: none.' }),
});
const GET = operation({
  method: 'GET',
  path: `${base}/{node}`,
  id: 'getNode',
  tag,
  summary: 'Read one node, and what it should have and has not',
  params: Type.Object({ workspace: InWorkspace.properties.workspace, node: NodeId }),
  query: Type.Object({ fleet: InFleet }, { additionalProperties: false }),
  problems: [404],
  answers: {
    200: {
      description: 'The node.',
      schema: Type.Object(
        {
          node: FleetNode,
          drifting: Type.Array(Drifting, {
            description: `Resource by resource, at most ${MOST_DRIFTING}; empty for a node of another controller: ask that one.`,
          }),
          missing: Type.Array(Type.Object({ name: Type.String(), why: Type.String() }), {
            description: `Of a gRPC client: what it asked for and is not there for it, at most ${MOST_DRIFTING}; likewise.`,
          }),
        },
        { title: 'FleetNodeDetail' },
      ),
    },
  },
});

@Controller()
export class NodesController {
  constructor(
    private readonly live: Live,
    private readonly inventory: Inventory,
    private readonly serving: Serving,
  ) {}

  @Handles(LIST)
  async list(@Checked() { params, query }: InputOf<typeof LIST>) {
    const items = await this.nodes(params.workspace, query.fleet);
    return { items, total: items.length };
  }

  @Handles(GET)
  async get(@Checked() { params, query }: InputOf<typeof GET>) {
    const found = (await this.nodes(params.workspace, query.fleet)).filter(({ node }) => node === params.node);
    const node = found.find(({ connected }) => connected) ?? found[0];
    if (!node) throw notFound(`The node "${params.node}" of workspace "${params.workspace}"`, 'List the nodes.');
    if (!node.connected) return { node, drifting: [], missing: [] };
    return { node, drifting: this.drifting(node), missing: this.missing(params.workspace, node) };
  }

  private async nodes(workspace: string, fleet: string | undefined): Promise<FleetNode[]> {
    if (this.live.compiler(workspace) === undefined) await existing(this.live.store, workspace);
    await this.inventory.look();
    const nodes = this.inventory.nodes(workspace);
    return fleet === undefined ? nodes : nodes.filter((node) => node.fleet === `${workspace}/${fleet}`);
  }

  private stream({ fleet, node }: FleetNode) {
    const streams = this.serving.ads?.nodeStreams(fleet) ?? [];
    return streams.findLast((candidate) => candidate.info()?.node === node);
  }

  private missing(workspace: string, node: FleetNode): { name: string; why: string }[] {
    const stream = this.stream(node);
    if (!stream) return [];
    const there = new Set([...stream.named(TYPE.listener)].map(({ name }) => name));
    const names = [...stream.names(TYPE.listener)].filter((name) => byNameOnly(name) && !there.has(name));
    const spec = (name: string) => this.live.compiler(workspace)?.find('cluster', name.slice(BY_NAME.length))?.spec;
    return names.slice(0, MOST_DRIFTING).map((name) => ({ name, why: whyMissing(spec(name)) }));
  }

  private drifting(of: FleetNode) {
    const { fleet } = of;
    const { ads } = this.serving;
    const stream = this.stream(of);
    if (!ads || !stream) return [];
    const drifting: { type: string; name: string; desired: string; acked: string | null }[] = [];
    for (const type of Object.values(TYPE)) {
      for (const { name, version } of [...stream.named(type), ...ads.desired(fleet, type)]) {
        if (drifting.length >= MOST_DRIFTING || !stream.wants(type, name)) continue;
        const acked = stream.acked(type, name);
        if (acked !== version) drifting.push({ type, name, desired: version, acked: acked ?? null });
      }
    }
    return drifting;
  }
}

/** Why a cluster is not there for gRPC clients (docs/guides/grpc-clients.md). */
function whyMissing(spec: ClusterSpec | undefined): string {
  if (!spec) return 'no cluster of this name is in force';
  if (spec.protocol !== 'http2') return 'the cluster does not speak http2';
  return spec.tls ? 'the cluster wants TLS' : 'the cluster has several DNS names';
}
