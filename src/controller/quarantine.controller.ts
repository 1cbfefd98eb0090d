import { Controller } from '@nestjs/common';
import { Type } from 'typebox';
import { reasonOf } from '../core/explain/refusal.js';
import { Live } from './live.js';
import { Checked, Handles, type InputOf, operation } from './operation.js';
import { ObjectName } from './outcome.js';
import { notFound } from './problem.js';
import { heldBack } from './quarantine.js';
import { Serving } from './serving.js';
import { InWorkspace } from './views.js';

const QuarantinedResource = Type.Object(
  {
    node: Type.String(),
    fleet: Type.String({ description: '`<workspace>/<name>`.' }),
    type: Type.String({ description: 'Last part of the xDS type, e.g. RouteConfiguration.' }),
    resource: Type.String({ description: 'Its name at Envoy.' }),
    version: Type.String({ description: 'Hash of the content that the node refused.' }),
    lastGood: Type.Union([Type.String(), Type.Null()], {
      description: 'Hash of what the node has in force instead; null when it has nothing or that is not known.',
    }),
    since: Type.String({ format: 'date-time' }),
    error: Type.String({ description: 'What the node said.' }),
    origins: Type.Array(
      Type.Object({
        object: ObjectName,
        field: Type.String({ description: 'JSON pointer into its spec; empty when the text does not tell it.' }),
      }),
      { description: 'The objects it is made from, as near as the text leads.' },
    ),
  },
  { title: 'QuarantinedResource' },
);
const LIST = operation({
  method: 'GET',
  path: '/api/v1/workspaces/{workspace}/quarantine',
  id: 'listQuarantine',
  tag: 'operations',
  summary: 'What nodes refuse',
  description:
    'Content that a node refused is not sent to it again; what it had before stays in force there. It leaves the list when the node accepts a newer version, or the object goes. Nodes of this controller only. Answered from memory.',
  params: InWorkspace,
  problems: [404],
  answers: {
    200: {
      description: 'All of them.',
      schema: Type.Object({ items: Type.Array(QuarantinedResource), total: Type.Integer() }, { title: 'Quarantine' }),
    },
  },
});

@Controller()
export class QuarantineController {
  constructor(
    private readonly live: Live,
    private readonly serving: Serving,
  ) {}

  @Handles(LIST)
  list(@Checked() { params: { workspace } }: InputOf<typeof LIST>) {
    if (!this.live.compiler(workspace))
      throw notFound(`The workspace "${workspace}"`, 'Create it with POST /api/v1/workspaces, or correct the name.');
    const entries = this.serving.ads ? heldBack(this.serving.ads, this.live, workspace) : [];
    const items = entries.map(({ node, fleet, kind, resource, good, since, error, origins }) => ({
      node,
      fleet,
      type: kind,
      resource: resource.name,
      version: resource.version,
      lastGood: good?.version ?? null,
      since: new Date(since).toISOString(),
      error: reasonOf(error),
      origins: origins.map(({ object, path }) => ({ object, field: path })),
    }));
    return { items, total: items.length };
  }
}
