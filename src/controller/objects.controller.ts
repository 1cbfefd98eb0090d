import { type Type as Class, Controller } from '@nestjs/common';
import { Type } from 'typebox';
import type { Diagnostic } from '../core/diagnostic.js';
import { SPEC, type SpecOf } from '../core/model/definitions.js';
import { KINDS, type Kind, PLURAL } from '../core/model/kind.js';
import { checkSpec } from '../core/model/rules.js';
import { validateSpec } from '../core/model/validate.js';
import { findHead, type HeadFilter, keyOf, listHeads, listRevisions, type Ref } from '../store/objects.js';
import type { Store } from '../store/store.js';
import type { Head } from '../store/tables.js';
import { STATES } from '../store/tables.js';
import type { WorkspaceTransaction } from '../store/transaction.js';
import { type Edit, Editor } from './editor.js';
import { Live } from './live.js';
import { mergePatch } from './merge-patch.js';
import { Answer, Checked, Handles, type Input, operation } from './operation.js';
import { Outcome } from './outcome.js';
import { type Fault, faultsOf, invalidDefinitions, notFound, Problem } from './problem.js';
import { Waiting } from './receipts/waiting.js';
import { referencesOf } from './references.js';
import {
  COLLECTION,
  Cursor,
  DEFAULT_LIMIT,
  DryRun,
  InWorkspace,
  Limit,
  NameOrId,
  objectSchema,
  objectView,
  Publish,
  pageOf,
  Revision,
  revisionView,
  Search,
  writtenSchema,
} from './views.js';

const OneObject = Type.Object({ workspace: InWorkspace.properties.workspace, name: NameOrId });
type In<Query = Record<string, never>, Body = unknown> = Input<{ workspace: string; name: string }, Query, Body>;
interface WriteQuery {
  dryRun?: boolean;
  publish?: boolean;
}
interface ListQuery {
  limit?: number;
  cursor?: string;
  prefix?: string;
  state?: (typeof STATES)[number];
  group?: string;
  cluster?: string;
  q?: string;
  pending?: boolean;
}

/** The operations on objects of one kind; all kinds have the same. */
function operationsOf(kind: Kind) {
  const plural = PLURAL[kind];
  const path = COLLECTION[kind];
  const one = `${path}/{name}`;
  const cap = kind.charAt(0).toUpperCase() + kind.slice(1);
  const writing = {
    query: Type.Object({ dryRun: DryRun, publish: Publish, ...Waiting }, { additionalProperties: false }),
    problems: [404, 409, 422],
  };
  const written = { description: `The ${kind} and what the write did.`, schema: writtenSchema(kind), etag: true };
  const filters =
    kind === 'api'
      ? { group: Search('Only APIs of this group.'), cluster: Search('Only APIs that use this cluster.') }
      : {};
  return {
    create: operation({
      method: 'POST',
      path,
      id: `create${cap}`,
      tag: plural,
      summary: `Create a ${kind}`,
      params: InWorkspace,
      ...writing,
      body: { schema: SPEC[kind], loose: true },
      answers: { 201: written, 200: { ...written, description: 'Dry run: what would happen.' } },
    }),
    list: operation({
      method: 'GET',
      path,
      id: `list${cap}s`,
      tag: plural,
      summary: `List ${plural} by name`,
      params: InWorkspace,
      problems: [404],
      query: Type.Object(
        {
          limit: Limit,
          cursor: Cursor,
          prefix: Search('Beginning of the name.'),
          state: Type.Optional(Type.Enum([...STATES], { description: 'Default: every state but deleted.' })),
          pending: Type.Optional(Type.Boolean({ description: 'true: only what differs from what is in force.' })),
          q: Search('Text in name, id, description, path or hosts; case does not matter.'),
          ...filters,
        },
        { additionalProperties: false },
      ),
      answers: { 200: { description: 'A page.', schema: pageOf(objectSchema(kind), `${cap}Page`) } },
    }),
    get: operation({
      method: 'GET',
      path: one,
      id: `get${cap}`,
      tag: plural,
      summary: `Read a ${kind} by name or id`,
      params: OneObject,
      problems: [404],
      answers: { 200: { description: `The ${kind}.`, schema: objectSchema(kind), etag: true } },
    }),
    replace: operation({
      method: 'PUT',
      path: one,
      id: `replace${cap}`,
      tag: plural,
      summary: `Replace a ${kind}`,
      params: OneObject,
      ifMatch: 'required',
      ...writing,
      body: { schema: SPEC[kind], loose: true },
      answers: { 200: written },
    }),
    patch: operation({
      method: 'PATCH',
      path: one,
      id: `patch${cap}`,
      tag: plural,
      summary: `Change fields of a ${kind}`,
      params: OneObject,
      ifMatch: 'required',
      ...writing,
      description: 'JSON Merge Patch (RFC 7386): null removes a field, lists are replaced as a whole.',
      body: {
        schema: Type.Object({}, { title: 'MergePatch' }),
        contentType: 'application/merge-patch+json',
        loose: true,
      },
      answers: { 200: written },
    }),
    remove: operation({
      method: 'DELETE',
      path: one,
      id: `delete${cap}`,
      tag: plural,
      summary: `Delete a ${kind}`,
      params: OneObject,
      ifMatch: 'required',
      ...writing,
      description:
        'What is in force stays so until the next release, or publish=true. Refused while other objects refer to it.',
      answers: {
        200: { description: 'What the deletion did.', schema: Type.Object({ outcome: Outcome }, { title: 'Deleted' }) },
      },
    }),
    revisions: operation({
      method: 'GET',
      path: `${one}/revisions`,
      id: `list${cap}Revisions`,
      tag: plural,
      summary: `History of a ${kind}, newest first`,
      params: OneObject,
      problems: [404],
      query: Type.Object(
        { limit: Limit, cursor: Type.Optional(Type.Integer({ minimum: 1 })) },
        { additionalProperties: false },
      ),
      answers: { 200: { description: 'A page.', schema: pageOf(Revision, 'RevisionPage') } },
    }),
  };
}

/** The REST controller of one kind. */
function controllerOf(kind: Kind): Class<unknown> {
  const operations = operationsOf(kind);

  @Controller()
  class ObjectsController {
    constructor(
      private readonly editor: Editor,
      private readonly live: Live,
    ) {}

    @Handles(operations.create)
    async create(@Checked() { params, query, body, actor }: In<WriteQuery>) {
      const spec = checkedSpec(kind, body);
      const outcome = await this.editor.edit(params.workspace, actor, query.dryRun ?? false, async (tx) => {
        const ref = { kind, name: spec.name };
        const head = (await tx.heads([ref])).get(`${kind}/${spec.name}`);
        if (head && head.state !== 'deleted') throw taken(head);
        return { puts: [{ ...ref, spec, pointer: '' }], publish: query.publish ? 'written' : undefined };
      });
      if (outcome.dryRun) return new Answer({ spec, outcome }, { status: 200 });
      const location = `${COLLECTION[kind].replace('{workspace}', params.workspace)}/${encodeURIComponent(spec.name)}`;
      return written(this.live.store, params.workspace, kind, spec.name, outcome, 201, { location });
    }

    @Handles(operations.list)
    async list(@Checked() { params, query }: Input<{ workspace: string }, ListQuery>) {
      await existing(this.live.store, params.workspace);
      const { limit = DEFAULT_LIMIT, cursor, state, pending, prefix, q, group, cluster } = query;
      const refersTo: Ref[] = [];
      if (group !== undefined) refersTo.push({ kind: 'group', name: group });
      if (cluster !== undefined) refersTo.push({ kind: 'cluster', name: cluster });
      const filter: HeadFilter = {
        kind,
        refersTo,
        ...(state && { state }),
        ...(pending !== undefined && { pending }),
        ...(prefix && { prefix }),
        ...(q && { text: q }),
      };
      const page = await this.live.store.read((manager) => listHeads(manager, params.workspace, filter, limit, cursor));
      return { ...page, items: page.items.map(objectView) };
    }

    @Handles(operations.get)
    async get(@Checked() { params }: In) {
      const head = await this.live.store.read((manager) => findHead(manager, params.workspace, kind, params.name));
      if (!head) throw notFound(`The ${kind} "${params.name}" of workspace "${params.workspace}"`);
      return new Answer(objectView(head), { headers: { etag: `"${head.revision}"` } });
    }

    @Handles(operations.replace)
    async replace(@Checked() { params, query, body, ifMatch, actor }: In<WriteQuery>) {
      const spec = checkedSpec(kind, body);
      let name = params.name;
      let done: WorkspaceTransaction | undefined;
      const plan = async (tx: WorkspaceTransaction): Promise<Edit> => {
        done = tx;
        const head = await current(tx, kind, params.name, ifMatch);
        name = sameName(head, spec);
        return { puts: [{ kind, name, spec, pointer: '' }], publish: query.publish ? 'written' : undefined };
      };
      const expected = [{ kind, name: params.name }, ...referencesOf(kind, spec)];
      const outcome = await this.editor.edit(params.workspace, actor, query.dryRun ?? false, plan, expected);
      return written(this.live.store, params.workspace, kind, name, outcome, 200, {}, done);
    }

    @Handles(operations.patch)
    async patch(@Checked() { params, query, body, ifMatch, actor }: In<WriteQuery>) {
      let name = params.name;
      let done: WorkspaceTransaction | undefined;
      const outcome = await this.editor.edit(params.workspace, actor, query.dryRun ?? false, async (tx) => {
        done = tx;
        const head = await current(tx, kind, params.name, ifMatch);
        const spec = checkedSpec(kind, mergePatch(head.spec, body));
        name = sameName(head, spec);
        return { puts: [{ kind, name, spec, pointer: '' }], publish: query.publish ? 'written' : undefined };
      });
      return written(this.live.store, params.workspace, kind, name, outcome, 200, {}, done);
    }

    @Handles(operations.remove)
    async remove(@Checked() { params, query, ifMatch, actor }: In<WriteQuery>) {
      const outcome = await this.editor.edit(params.workspace, actor, query.dryRun ?? false, async (tx) => {
        const { name } = await current(tx, kind, params.name, ifMatch);
        return { deletes: [{ kind, name }], publish: query.publish ? 'written' : undefined };
      });
      return { outcome };
    }

    @Handles(operations.revisions)
    async revisions(@Checked() { params, query }: In<{ limit?: number; cursor?: number }>) {
      const ref = { kind, name: params.name };
      const page = await this.live.store.read((manager) =>
        listRevisions(manager, params.workspace, ref, query.limit ?? DEFAULT_LIMIT, query.cursor),
      );
      if (page.total === 0) throw notFound(`The ${kind} "${params.name}" of workspace "${params.workspace}"`);
      return { ...page, items: page.items.map(revisionView) };
    }
  }
  // Nest tells classes apart by name in its messages.
  Object.defineProperty(ObjectsController, 'name', { value: `${PLURAL[kind]}Controller` });
  Reflect.defineMetadata('design:paramtypes', [Editor, Live], ObjectsController);
  return ObjectsController;
}

export const OBJECT_CONTROLLERS = KINDS.map(controllerOf);

/** `value` as a spec of `kind`. @throws Problem with every fault. */
export function checkedSpec<K extends Kind>(kind: K, value: unknown): Record<string, unknown> & { name: string } {
  const shape: Diagnostic[] = validateSpec(kind, value);
  const found = shape.length > 0 ? shape : checkSpec(kind, value as SpecOf[K]);
  const faults: Fault[] = faultsOf(found);
  if (found.some((diagnostic) => diagnostic.severity === 'error')) throw invalidDefinitions(faults);
  return value as Record<string, unknown> & { name: string };
}

/** @throws Problem 404 when there is no workspace of that name. */
export async function existing(store: Store, workspace: string): Promise<void> {
  if ((await store.findWorkspace(workspace)) === null)
    throw notFound(`The workspace "${workspace}"`, 'Create it with POST /api/v1/workspaces, or correct the name.');
}

/** The head to change. @throws Problem 404, or 412 when it is not at the revision the caller has read. */
export async function current(
  tx: WorkspaceTransaction,
  kind: Kind,
  nameOrId: string,
  ifMatch: number | '*' | undefined,
): Promise<Head> {
  const ref = { kind, name: nameOrId };
  const named = (await tx.heads([ref])).get(keyOf(ref));
  const head =
    named && named.state !== 'deleted' ? named : await findHead(tx.manager, tx.workspace.name, kind, nameOrId);
  if (!head) throw notFound(`The ${kind} "${nameOrId}" of workspace "${tx.workspace.name}"`);
  if (ifMatch === undefined || ifMatch === '*' || ifMatch === head.revision) return head;
  const message = `The ${kind} "${head.name}" is at revision ${head.revision}, not ${ifMatch}; ${head.updatedBy} changed it at ${head.updatedAt.toISOString()}.`;
  throw new Problem(
    'stale-revision',
    message,
    [
      {
        code: 'stale-revision',
        pointer: 'header:/if-match',
        message,
        hint: 'Read it again, apply your change to what is there now, and send the new ETag.',
      },
    ],
    { etag: `"${head.revision}"` },
  );
}

function sameName(head: Head, spec: { name: string }): string {
  if (spec.name === head.name) return head.name;
  const message = `The ${head.kind} is called "${head.name}"; the body says "${spec.name}". A name never changes.`;
  throw invalidDefinitions([
    {
      code: 'name-changed',
      pointer: '/name',
      message,
      hint: 'Make a new object under the new name and delete this one.',
      severity: 'error',
    },
  ]);
}

function taken(head: Head): Problem {
  const message = `There is a ${head.kind} "${head.name}" already.`;
  return new Problem('conflict', message, [
    { code: 'duplicate-name', pointer: '/name', message, hint: 'Choose another name, or replace it with PUT.' },
  ]);
}

/** The object after a write, with what the write did. `done`: the transaction that wrote it, which knows it. */
async function written(
  store: Store,
  workspace: string,
  kind: Kind,
  name: string,
  outcome: Outcome,
  status: number,
  headers: Record<string, string> = {},
  done?: WorkspaceTransaction,
): Promise<Answer> {
  const known = outcome.dryRun ? undefined : done?.known({ kind, name });
  const head = known ?? (await store.read((manager) => findHead(manager, workspace, kind, name)));
  if (!head) throw notFound(`The ${kind} "${name}", which was deleted meanwhile,`);
  return new Answer({ ...objectView(head), outcome }, { status, headers: { ...headers, etag: `"${head.revision}"` } });
}
