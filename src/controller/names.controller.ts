import { Controller } from '@nestjs/common';
import { Type } from 'typebox';
import type { ClusterSpec } from '../core/model/cluster.js';
import { questionKey, questionsOf } from '../core/model/question.js';
import { type AnswerRow, answersTo } from '../store/answers.js';
import { findHead } from '../store/objects.js';
import { Live } from './live.js';
import { Checked, Handles, type InputOf, operation } from './operation.js';
import { notFound } from './problem.js';
import { InWorkspace, NameOrId, pageOf } from './views.js';

const OrNull = <T extends ReturnType<typeof Type.String>>(schema: T) => Type.Union([schema, Type.Null()]);
const Instant = Type.String({ format: 'date-time' });

/** A name and what DNS told of it. */
export const ResolvedName = Type.Object(
  {
    name: Type.String(),
    type: Type.Enum(['address', 'srv']),
    state: Type.Enum(['good', 'stale', 'unresolved', 'waiting'], {
      description:
        'good: the last answer was. stale: it was not, and the addresses are, at least in part, those of an earlier one. unresolved: there never was one. waiting: not asked yet.',
    }),
    addresses: Type.Array(
      Type.Object({
        host: Type.String(),
        port: Type.Optional(Type.Integer({ description: 'Told by SRV records, as what follows.' })),
        weight: Type.Optional(Type.Integer()),
        tier: Type.Optional(Type.Integer({ description: 'Rank of the priority among those of the name; 0 is first.' })),
        target: Type.Optional(Type.String()),
      }),
    ),
    omitted: Type.Integer({ description: 'Addresses beyond the 1000 that are used.' }),
    changedAt: Type.Union([Instant, Type.Null()], { description: 'When the addresses last changed.' }),
    failingSince: Type.Union([Instant, Type.Null()]),
    failure: OrNull(Type.String({ description: 'What is wrong with the last answer.' })),
  },
  { title: 'ResolvedName' },
);

const LIST = operation({
  method: 'GET',
  path: '/api/v1/workspaces/{workspace}/clusters/{name}/names',
  id: 'listNames',
  tag: 'endpoints',
  summary: 'List the names that the controller resolves for a cluster, and what DNS told',
  description:
    "Those in discovery.dns of the cluster as it is edited. A name that is in no cluster in force is 'waiting', or has what an earlier release left.",
  params: Type.Object({ workspace: InWorkspace.properties.workspace, name: NameOrId }),
  answers: { 200: { description: 'All of them.', schema: pageOf(ResolvedName, 'ResolvedNamePage') } },
  problems: [404],
});

@Controller()
export class NamesController {
  constructor(private readonly live: Live) {}

  @Handles(LIST)
  list(@Checked() { params: { workspace, name } }: InputOf<typeof LIST>) {
    return this.live.store.read(async (manager) => {
      const head = await findHead(manager, workspace, 'cluster', name);
      if (!head) throw notFound(`The cluster "${name}" of workspace "${workspace}"`);
      const questions = questionsOf(head.spec as ClusterSpec);
      const rows = await answersTo(manager, workspace, questions);
      const known = new Map(rows.map((row) => [questionKey(row), row]));
      const items = questions.map((question) =>
        nameView(known.get(questionKey(question)) ?? { ...NOTHING, ...question }),
      );
      return { items, total: items.length };
    });
  }
}

const NOTHING = { addresses: [], omitted: 0, changedAt: null, failingSince: null, failure: null };

export function nameView({ name, type, addresses, omitted, changedAt, failingSince, failure }: AnswerRow) {
  const none = addresses.length === 0;
  const state = failure === null ? (none ? 'waiting' : 'good') : none ? 'unresolved' : 'stale';
  return { name, type, state, addresses, omitted, changedAt, failingSince, failure };
}
