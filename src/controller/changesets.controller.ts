import { Controller } from '@nestjs/common';
import { Type } from 'typebox';
import { Definitions } from '../core/model/definitions.js';
import { readDefinitions } from '../core/model/document.js';
import { KINDS, PLURAL } from '../core/model/kind.js';
import { schemaOf, validate } from '../core/model/validate.js';
import { allHeads, keyOf } from '../store/objects.js';
import { Editor, type Put } from './editor.js';
import { Checked, Handles, type InputOf, operation } from './operation.js';
import { Outcome } from './outcome.js';
import { type Fault, faultsOf, invalidDefinitions } from './problem.js';
import { Waiting } from './receipts/waiting.js';
import { DryRun, InWorkspace, Message } from './views.js';

const ChangeSet = {
  message: Type.Optional(Message),
  prune: Type.Optional(
    Type.Boolean({ description: 'true: objects that the definitions do not name are deleted. Default false.' }),
  ),
  publish: Type.Optional(
    Type.Boolean({ description: 'Default true: everything named comes into force, as one release.' }),
  ),
};
const APPLY = operation({
  method: 'POST',
  path: '/api/v1/workspaces/{workspace}/changesets',
  id: 'applyChangeSet',
  tag: 'releases',
  params: InWorkspace,
  summary: 'Store definitions, all or nothing, and publish them',
  description: 'A definitions file as one atomic change. With dryRun the answer is the difference to what is stored.',
  query: Type.Object({ dryRun: DryRun, ...Waiting }, { additionalProperties: false }),
  body: {
    schema: Type.Object(
      { ...ChangeSet, definitions: Definitions },
      { title: 'ChangeSet', additionalProperties: false },
    ),
    loose: true,
  },
  answers: { 200: { description: 'The difference, and the release.', schema: Outcome } },
  problems: [404, 409, 422],
});
/** The definitions themselves are read like a file, which tells more, and tells it of each object. */
const SHELL = schemaOf(Type.Object({ ...ChangeSet, definitions: Type.Unknown() }, { additionalProperties: false }));

@Controller()
export class ChangeSetsController {
  constructor(private readonly editor: Editor) {}

  @Handles(APPLY)
  async apply(@Checked() { params, query, body, actor }: InputOf<typeof APPLY>) {
    const { puts } = readChangeSet(params.workspace, body);
    const { message, prune = false, publish = true } = body;
    return this.editor.edit(params.workspace, actor, query.dryRun ?? false, async (tx) => {
      const named = new Set(puts.map(keyOf));
      const deletes = prune
        ? (await allHeads(tx.manager, params.workspace))
            .filter((head) => !named.has(keyOf(head)))
            .map(({ kind, name }) => ({ kind, name }))
        : [];
      return { puts, deletes, message, publish: publish ? 'written' : undefined };
    });
  }
}

/** The objects of a change set. @throws Problem with every fault, pointers into the body. */
function readChangeSet(workspace: string, body: unknown): { puts: Put[] } {
  const faults: Fault[] = faultsOf(validate(SHELL, body));
  const given = (body as { definitions?: unknown } | null)?.definitions;
  if (given === undefined) throw invalidDefinitions(faults);
  const { definitions, diagnostics } = readDefinitions(JSON.stringify(given), 'json');
  faults.push(
    ...diagnostics.map(
      (diagnostic) => ({ ...faultsOf([diagnostic])[0], pointer: `/definitions${diagnostic.path}` }) as Fault,
    ),
  );
  if (definitions?.workspace !== undefined && definitions.workspace !== workspace) {
    const message = `The definitions are for workspace "${definitions.workspace}", the request for "${workspace}".`;
    faults.push({
      code: 'wrong-workspace',
      pointer: '/definitions/workspace',
      message,
      hint: 'Send them to the workspace they name, or take the field out.',
      severity: 'error',
    });
  }
  if (definitions === undefined || faults.some((fault) => fault.severity !== 'warning'))
    throw invalidDefinitions(faults);
  const puts = KINDS.flatMap((kind) =>
    (definitions[PLURAL[kind]] ?? []).map(
      (spec, i): Put => ({
        kind,
        name: spec.name,
        spec: spec as Record<string, unknown>,
        pointer: `/definitions/${PLURAL[kind]}/${i}`,
      }),
    ),
  );
  return { puts };
}
