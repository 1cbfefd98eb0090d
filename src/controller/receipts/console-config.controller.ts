import { Controller } from '@nestjs/common';
import { Type } from 'typebox';
import { byNameOnly, type Resource, TYPE, type TypeUrl } from '../../core/ads/resource.js';
import { linkOf } from '../../core/compile/group-content.js';
import type { Compiler } from '../../core/compile.js';
import type { Kind } from '../../core/model/kind.js';
import { clusterName, grpcName } from '../../core/xds/names.js';
import { resourceJson } from '../../core/xds/resource-json.js';
import { Live } from '../live.js';
import { Checked, Handles, type InputOf, operation } from '../operation.js';
import { notFound } from '../problem.js';
import { Serving } from '../serving.js';
import { Inventory } from './inventory.js';

/** Types that operators of the original gateway know: the kind of object whose id is asked for, and the resource it becomes. */
const TYPES = {
  Server: { kinds: ['cluster'], resource: TYPE.endpoint },
  Service: { kinds: ['cluster'], resource: TYPE.cluster },
  RouterGroup: { kinds: ['group'], resource: TYPE.route },
  Router: { kinds: ['api'], resource: TYPE.route },
  Metadata: { kinds: ['app'], resource: TYPE.app },
} as const satisfies Record<string, { kinds: readonly Kind[]; resource: TypeUrl }>;
type ConsoleType = keyof typeof TYPES;

const OrNull = <T extends Parameters<typeof Type.Union>[0][number]>(schema: T) => Type.Union([schema, Type.Null()]);
const AtNode = Type.Object({
  node: Type.String(),
  delivered: OrNull(Type.String({ description: 'Version sent last.' })),
  acknowledged: OrNull(Type.String({ description: 'Version in force.' })),
  inStep: Type.Boolean({ description: 'What is desired is in force.' }),
  refused: Type.Optional(Type.Object({ version: Type.String(), error: Type.String() })),
  held: Type.Optional(Type.String({ description: 'Why it is held back.' })),
});
const CONFIG = operation({
  method: 'GET',
  path: '/console/config',
  id: 'consoleConfig',
  tag: 'operations',
  summary: 'One object as the fleets should have it, and what each node was sent and has in force',
  description:
    'Path, parameters and types are those of the original gateway. Desired is what this controller serves; nodes of other controllers stand under `elsewhere` with the release they have in force. Holds no secret.',
  query: Type.Object(
    {
      type: Type.Enum(Object.keys(TYPES) as ConsoleType[], {
        description:
          'Server: endpoints of a cluster. Service: a cluster. RouterGroup: a group. Router: an API. Metadata: an App.',
      }),
      resourceId: Type.String({
        minLength: 1,
        maxLength: 200,
        description: 'Id or name. Of a Router also <groupId>|<apiId>.',
      }),
      workspace: Type.Optional(Type.String({ maxLength: 63, description: 'Default: the first that has it.' })),
    },
    { additionalProperties: false },
  ),
  problems: [404],
  answers: {
    200: {
      description:
        'The object in each fleet. A cluster is there once more, as grpc/<name>, where gRPC clients have asked for it.',
      schema: Type.Object(
        {
          type: Type.String(),
          resourceId: Type.String(),
          workspace: Type.String(),
          object: Type.Object({ kind: Type.String(), name: Type.String(), id: Type.String(), release: Type.Integer() }),
          fleets: Type.Array(
            Type.Object({
              fleet: Type.String(),
              resource: Type.Object({ type: Type.String(), name: Type.String() }),
              desired: OrNull(
                Type.Object({
                  version: Type.String(),
                  content: Type.Unknown({ description: 'As Envoy has it; of an App what is no secret.' }),
                }),
              ),
              nodes: Type.Array(AtNode),
              elsewhere: Type.Array(
                Type.Object({ node: Type.String(), replica: Type.String(), release: OrNull(Type.Integer()) }),
              ),
            }),
          ),
        },
        { title: 'ConsoleConfig' },
      ),
    },
  },
});

interface Found {
  readonly workspace: string;
  readonly compiler: Compiler;
  readonly kind: Kind;
  readonly name: string;
  readonly id: string;
  readonly release: number;
  readonly spec: Readonly<Record<string, unknown>>;
}

@Controller()
export class ConsoleConfigController {
  constructor(
    private readonly live: Live,
    private readonly inventory: Inventory,
    private readonly serving: Serving,
  ) {}

  @Handles(CONFIG)
  config(@Checked() { query }: InputOf<typeof CONFIG>) {
    const { type, resourceId } = query;
    const found = this.find(type, resourceId, query.workspace);
    if (!found) throw notFound(`A ${type} "${resourceId}" in force`, 'Give its id or name; a draft is not in force.');
    const { workspace, compiler, kind, name, id, release } = found;
    const resource = { type: TYPES[type].resource, name: resourceName(type, found) };
    const others = this.inventory.nodes(workspace);
    const here = new Set(this.serving.ads?.streams().map(({ fleet, node }) => `${fleet}\n${node}`));
    const inFleet = (fleet: string, of: { type: TypeUrl; name: string }) => ({
      fleet,
      resource: of,
      desired: this.desired(type, fleet, of, found),
      nodes: this.nodes(fleet, of),
      elsewhere: others
        .filter((node) => node.fleet === fleet && node.connected && !here.has(`${fleet}\n${node.node}`))
        .map((node) => ({ node: node.node, replica: node.replica, release: node.release })),
    });
    const keys = compiler.fleetKeys();
    const fleets = keys
      .map((fleet) => inFleet(fleet, resource))
      .filter(({ desired, nodes }) => desired !== null || nodes.some((node) => node.acknowledged !== null));
    if (kind === 'cluster') {
      // What gRPC clients are told of it, where there are any.
      const own = { type: resource.type, name: grpcName({ name }) };
      fleets.push(...keys.map((fleet) => inFleet(fleet, own)).filter(({ nodes }) => nodes.length > 0));
    }
    return { type, resourceId, workspace, object: { kind, name, id, release }, fleets };
  }

  private find(type: ConsoleType, resourceId: string, workspace: string | undefined): Found | undefined {
    const wanted = type === 'Router' ? (resourceId.split('|')[1] ?? resourceId) : resourceId;
    for (const state of this.live.states()) {
      if (workspace !== undefined && state.workspace !== workspace) continue;
      const compiler = this.live.compiler(state.workspace);
      for (const kind of TYPES[type].kinds) {
        const object = compiler?.find(kind, wanted) ?? compiler?.withId(kind, wanted);
        if (!compiler || !object) continue;
        const { name, id, release } = object;
        const spec = object.spec as unknown as Record<string, unknown>;
        return { workspace: state.workspace, compiler, kind, name, id, release, spec };
      }
    }
    return undefined;
  }

  private desired(type: ConsoleType, fleet: string, at: { type: TypeUrl; name: string }, found: Found) {
    const { ads } = this.serving;
    const named = ads?.nodeStreams(fleet).flatMap((stream) => [...stream.named(at.type)]) ?? [];
    const all = byNameOnly(at.name) ? named : [...(ads?.desired(fleet, at.type) ?? [])];
    const resource = all.find(({ name }) => name === at.name);
    return resource ? { version: resource.version, content: contentOf(type, resource, found) } : null;
  }

  private nodes(fleet: string, { type, name }: { type: TypeUrl; name: string }) {
    const statuses = this.serving.ads?.resourceStatus(fleet, type, name) ?? [];
    const streams = new Map(this.serving.ads?.nodeStreams(fleet).map((stream) => [stream.id, stream]));
    return statuses
      .filter(({ stream, status }) => streams.get(stream)?.wants(type, name) || status.acked !== undefined)
      .map(({ node, status: { desired, sent, acked, refused, held } }) => ({
        node,
        delivered: sent ?? null,
        acknowledged: acked ?? null,
        inStep: desired === acked,
        ...(refused && { refused }),
        ...(held && { held }),
      }));
  }
}

/** Name of the resource that an object becomes. */
function resourceName(type: ConsoleType, { compiler, kind, name, id, spec }: Found): string {
  const cluster = kind === 'cluster' ? compiler.find('cluster', name) : undefined;
  if (cluster) return clusterName(linkOf(cluster));
  if (type !== 'Router') return id;
  return compiler.find('group', String(spec.group))?.id ?? '';
}

/** What may be shown of a resource: of an App, which holds secrets, its definition; of a Router, its routes. */
function contentOf(type: ConsoleType, resource: Resource, { id, spec }: Found): unknown {
  if (type === 'Metadata') return { id, ...spec };
  const content = resourceJson(resource);
  return type === 'Router' ? routesOf(content, id) : content;
}

/** Routes of this name; they may stand deep inside matcher trees. */
function routesOf(config: unknown, apiId: string): object[] {
  const found: object[] = [];
  const look = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    if ('match' in value && 'name' in value && value.name === apiId) found.push(value);
    else for (const child of Object.values(value)) look(child);
  };
  look(config);
  return found;
}
