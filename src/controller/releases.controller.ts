import { Controller } from '@nestjs/common';
import { Type } from 'typebox';
import { stringify } from 'yaml';
import { Definitions } from '../core/model/definitions.js';
import { KINDS, type Kind, PLURAL } from '../core/model/kind.js';
import { allHeads } from '../store/objects.js';
import { KEPT_RELEASES } from '../store/receipts.js';
import { differing, findRelease, listReleases, versionsAt } from '../store/releases.js';
import { difference, FieldDifference } from './difference.js';
import { Editor } from './editor.js';
import { Live } from './live.js';
import { current, existing } from './objects.controller.js';
import { Answer, Checked, Handles, type InputOf, operation } from './operation.js';
import { ObjectName, Outcome } from './outcome.js';
import { notFound } from './problem.js';
import { Receipt } from './receipts/receipt-view.js';
import { Receipts } from './receipts/receipts.js';
import { timeoutMs, Waiting } from './receipts/waiting.js';
import { rollBack } from './rollback.js';
import {
  DEFAULT_LIMIT,
  DryRun,
  InWorkspace,
  Limit,
  Message,
  NameOrId,
  ordered,
  pageOf,
  Release,
  releaseView,
} from './views.js';

const base = '/api/v1/workspaces/{workspace}';
const tag = 'releases';
const RELEASE_NUMBER = Type.String({ pattern: '^(0|[1-9][0-9]{0,8})$', description: 'Number of a release.' });
const OneRelease = Type.Object({ workspace: InWorkspace.properties.workspace, number: RELEASE_NUMBER });
const OneApi = Type.Object({ workspace: InWorkspace.properties.workspace, name: NameOrId });
const DryRunQuery = Type.Object({ dryRun: DryRun, ...Waiting }, { additionalProperties: false });
const outcome = { 200: { description: 'What was done.', schema: Outcome } };
const Why = Type.Object({ message: Type.Optional(Message) }, { title: 'Why', additionalProperties: false });

const RELEASE = operation({
  method: 'POST',
  path: `${base}/releases`,
  id: 'createRelease',
  tag,
  params: InWorkspace,
  query: DryRunQuery,
  problems: [404, 409, 422],
  summary: 'Publish stored changes',
  description:
    'Without lists: everything pending, which is drafts, edits and deletions. Not APIs that were taken offline.',
  body: {
    schema: Type.Object(
      {
        message: Type.Optional(Message),
        publish: Type.Optional(
          Type.Array(ObjectName, { maxItems: 100_000, description: 'Objects whose heads come into force.' }),
        ),
        offline: Type.Optional(
          Type.Array(Type.String(), { maxItems: 100_000, description: 'APIs, by name, that leave force.' }),
        ),
      },
      { title: 'NewRelease', additionalProperties: false },
    ),
    optional: true,
  },
  answers: outcome,
});
const LIST = operation({
  method: 'GET',
  path: `${base}/releases`,
  id: 'listReleases',
  tag,
  summary: 'List releases, newest first',
  params: InWorkspace,
  problems: [404],
  query: Type.Object(
    { limit: Limit, cursor: Type.Optional(Type.Integer({ minimum: 1 })) },
    { additionalProperties: false },
  ),
  answers: { 200: { description: 'A page.', schema: pageOf(Release, 'ReleasePage') } },
});
const ReleaseWithReceipt = Type.Object({ ...Release.properties, receipt: Receipt }, { title: 'ReleaseWithReceipt' });
const GET = operation({
  method: 'GET',
  path: `${base}/releases/{number}`,
  id: 'getRelease',
  tag,
  summary: 'Read a release',
  params: OneRelease,
  problems: [404],
  description: 'With the receipt: how it came about, and what became of it at each node.',
  answers: { 200: { description: 'The release.', schema: ReleaseWithReceipt } },
});
const RECEIPT = operation({
  method: 'GET',
  path: `${base}/releases/{number}/receipt`,
  id: 'getReceipt',
  tag,
  summary: 'What became of a release: its timeline, and its state at every node',
  description: `Of the latest ${KEPT_RELEASES} releases. A node has a release in force when it has acknowledged, of every resource that the release changed and the node is to have, that version or a later one.`,
  params: OneRelease,
  query: Type.Object({ ...Waiting }, { additionalProperties: false }),
  problems: [404],
  answers: { 200: { description: 'The receipt.', schema: Receipt } },
});
const Comparison = Type.Object(
  {
    a: Type.Integer(),
    b: Type.Integer(),
    objects: Type.Array(
      Type.Object({
        kind: Type.Enum([...KINDS]),
        name: Type.String(),
        change: Type.Enum(['added', 'changed', 'removed']),
        fields: Type.Array(FieldDifference),
        before: Type.Optional(Type.Unknown({ description: 'Spec in a, of a removed object.' })),
        after: Type.Optional(Type.Unknown({ description: 'Spec in b, of an added object.' })),
      }),
    ),
  },
  { title: 'Comparison' },
);
const COMPARE = operation({
  method: 'GET',
  path: `${base}/releases/{a}/compare/{b}`,
  id: 'compareReleases',
  tag,
  summary: 'What differs between two releases, field by field',
  problems: [404],
  params: Type.Object({ workspace: InWorkspace.properties.workspace, a: RELEASE_NUMBER, b: RELEASE_NUMBER }),
  answers: { 200: { description: 'What turns a into b.', schema: Comparison } },
});
const ROLLBACK = operation({
  method: 'POST',
  path: `${base}/releases/{number}/rollback`,
  id: 'rollBack',
  tag,
  params: OneRelease,
  query: DryRunQuery,
  problems: [404, 409, 422],
  summary: 'Make a new release with the content of an older one',
  description:
    'Heads follow with a new revision, except those with unpublished edits, which stay as drafts (`kept`). 0 is the empty release before the first.',
  body: { schema: Why, optional: true },
  answers: outcome,
});
const DUMP = operation({
  method: 'GET',
  path: `${base}/definitions`,
  id: 'dumpDefinitions',
  tag,
  summary: 'All definitions of a workspace, as a file',
  params: InWorkspace,
  problems: [404],
  description: 'JSON, or YAML with format=yaml. Holds no secret.',
  query: Type.Object(
    {
      release: Type.Optional(
        Type.String({
          pattern: '^(head|latest|0|[1-9][0-9]{0,8})$',
          description: 'A release, "latest", or "head" (default): what is stored, published or not.',
        }),
      ),
      format: Type.Optional(Type.Enum(['json', 'yaml'])),
    },
    { additionalProperties: false },
  ),
  answers: { 200: { description: 'A definitions file.', schema: Definitions } },
});
const ONLINE = operation({
  method: 'POST',
  path: `${base}/apis/{name}/publish`,
  id: 'publishApi',
  tag: 'apis',
  summary: 'Bring an API into force',
  params: OneApi,
  query: DryRunQuery,
  ifMatch: 'optional',
  problems: [404, 409, 422],
  description: 'Never published objects it needs (group, clusters, fleets) come along; the answer names them.',
  body: { schema: Why, optional: true },
  answers: outcome,
});
const OFFLINE = operation({
  method: 'POST',
  path: `${base}/apis/{name}/offline`,
  id: 'takeApiOffline',
  tag: 'apis',
  summary: 'Take an API out of force',
  params: OneApi,
  query: DryRunQuery,
  ifMatch: 'optional',
  problems: [404, 409, 422],
  body: { schema: Why, optional: true },
  answers: outcome,
});

@Controller()
export class ReleasesController {
  constructor(
    private readonly live: Live,
    private readonly editor: Editor,
    private readonly receipts: Receipts,
  ) {}

  @Handles(RELEASE)
  release(@Checked() { params, query, body, actor }: InputOf<typeof RELEASE>) {
    const { message, publish, offline } = body ?? {};
    const everything = publish === undefined && offline === undefined;
    return this.editor.edit(params.workspace, actor, query.dryRun ?? false, async () => ({
      message,
      publish: everything ? 'pending' : publish,
      offline: offline?.map((name) => ({ kind: 'api', name })) ?? [],
    }));
  }

  @Handles(LIST)
  async list(@Checked() { params, query }: InputOf<typeof LIST>) {
    await existing(this.live.store, params.workspace);
    const page = await this.live.store.read((manager) =>
      listReleases(manager, params.workspace, query.limit ?? DEFAULT_LIMIT, query.cursor),
    );
    return { ...page, items: page.items.map(releaseView) };
  }

  @Handles(GET)
  async get(@Checked() { params }: InputOf<typeof GET>) {
    const number = Number(params.number);
    const row = await this.find(params.workspace, number);
    return { ...releaseView(row), receipt: await this.receipts.of(params.workspace, number) };
  }

  @Handles(RECEIPT)
  async receipt(@Checked() { params, query }: InputOf<typeof RECEIPT>) {
    const number = Number(params.number);
    await this.find(params.workspace, number);
    if (query.wait === undefined) return this.receipts.of(params.workspace, number);
    return this.receipts.wait(params.workspace, number, timeoutMs(query.timeout));
  }

  @Handles(COMPARE)
  async compare(@Checked() { params }: InputOf<typeof COMPARE>) {
    const [a, b] = [Number(params.a), Number(params.b)];
    for (const number of [a, b]) if (number !== 0) await this.find(params.workspace, number);
    await existing(this.live.store, params.workspace);
    const entries = await this.live.store.read((manager) => differing(manager, params.workspace, a, b));
    const objects = entries.map(({ kind, name, a: before, b: after }) => ({
      kind,
      name,
      change: before === undefined ? 'added' : after === undefined ? 'removed' : 'changed',
      fields: before && after ? difference(before.spec, after.spec) : [],
      ...(before && !after ? { before: ordered(kind, before.spec) } : {}),
      ...(after && !before ? { after: ordered(kind, after.spec) } : {}),
    }));
    // A rollback gives an object a new version with equal content: that is no difference.
    return { a, b, objects: objects.filter(({ change, fields }) => change !== 'changed' || fields.length > 0) };
  }

  @Handles(ROLLBACK)
  rollBack(@Checked() { params, query, body, actor }: InputOf<typeof ROLLBACK>) {
    return rollBack(
      this.live,
      params.workspace,
      Number(params.number),
      actor,
      body?.message ?? '',
      query.dryRun ?? false,
    );
  }

  @Handles(DUMP)
  async dump(@Checked() { params, query }: InputOf<typeof DUMP>) {
    const { workspace } = params;
    await existing(this.live.store, workspace);
    const objects = await this.content(workspace, query.release ?? 'head');
    const definitions: Record<string, unknown> = { workspace };
    for (const kind of KINDS) {
      const specs = objects.filter((object) => object.kind === kind).map(({ spec }) => ordered(kind, spec));
      if (specs.length > 0) definitions[PLURAL[kind]] = specs;
    }
    if (query.format !== 'yaml') return definitions;
    return new Answer(stringify(definitions, { lineWidth: 0 }), {
      headers: { 'content-type': 'application/yaml; charset=utf-8' },
    });
  }

  @Handles(ONLINE)
  publish(@Checked() { params, query, body, ifMatch, actor }: InputOf<typeof ONLINE>) {
    return this.editor.edit(params.workspace, actor, query.dryRun ?? false, async (tx) => {
      const { name } = await current(tx, 'api', params.name, ifMatch);
      return { message: body?.message, publish: [{ kind: 'api', name }] };
    });
  }

  @Handles(OFFLINE)
  offline(@Checked() { params, query, body, ifMatch, actor }: InputOf<typeof OFFLINE>) {
    return this.editor.edit(params.workspace, actor, query.dryRun ?? false, async (tx) => {
      const { name } = await current(tx, 'api', params.name, ifMatch);
      return { message: body?.message, offline: [{ kind: 'api', name }] };
    });
  }

  private async find(workspace: string, number: number) {
    const row = await this.live.store.read((manager) => findRelease(manager, workspace, number));
    if (row === null) throw notFound(`Release ${number} of workspace "${workspace}"`);
    return row;
  }

  private async content(workspace: string, which: string): Promise<{ kind: Kind; spec: Record<string, unknown> }[]> {
    if (which === 'head') return this.live.store.read((manager) => allHeads(manager, workspace));
    const row = await this.live.store.findWorkspace(workspace);
    const number = which === 'latest' ? (row?.release ?? 0) : Number(which);
    if (number !== 0) await this.find(workspace, number);
    return this.live.store.read((manager) => versionsAt(manager, workspace, number));
  }
}
