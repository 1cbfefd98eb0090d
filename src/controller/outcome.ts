import { type Static, Type } from 'typebox';
import { KINDS } from '../core/model/kind.js';
import { FieldDifference } from './difference.js';
import { Fault } from './problem.js';
import { Receipt } from './receipts/receipt-view.js';

export const ObjectName = Type.Object(
  { kind: Type.Enum([...KINDS]), name: Type.String() },
  { title: 'ObjectName', additionalProperties: false },
);

/** What became, or with dryRun would become, of one object. */
export const ObjectChange = Type.Object(
  {
    kind: Type.Enum([...KINDS]),
    name: Type.String(),
    change: Type.Enum(['created', 'changed', 'deleted', 'unchanged']),
    revision: Type.Integer({ description: 'Revision after it.' }),
    fields: Type.Array(FieldDifference, { description: 'What differs; empty for created and deleted objects.' }),
  },
  { title: 'ObjectChange', additionalProperties: false },
);
export type ObjectChange = Static<typeof ObjectChange>;

/** What the canary Envoy said of what a publication changes at nodes. */
export const Judgement = Type.Object(
  {
    verdict: Type.Enum(['accepted', 'not judged'], {
      description: 'not judged: no verdict came in time, and the publication went on without.',
    }),
    resources: Type.Integer({ description: 'Changed xDS resources that were to be judged.' }),
    ms: Type.Number({ description: 'Milliseconds from the first question to the last verdict.' }),
    reason: Type.Optional(Type.String({ description: 'Why there is no verdict.' })),
  },
  { title: 'Judgement', additionalProperties: false },
);
export type Judgement = Static<typeof Judgement>;

/** What a write did: to the stored heads, and to what is in force. */
export const Outcome = Type.Object(
  {
    dryRun: Type.Boolean({ description: 'true: nothing was stored, this is what would happen.' }),
    release: Type.Union([Type.Integer(), Type.Null()], {
      description: 'Number of the release that was made; null when traffic did not change.',
    }),
    changes: Type.Array(ObjectChange),
    published: Type.Array(ObjectName, { description: 'Objects that came into force or changed in force.' }),
    removed: Type.Array(ObjectName, { description: 'Objects that are no longer in force.' }),
    alsoPublished: Type.Array(ObjectName, {
      description: 'Part of `published`: never published before, included because a published object refers to them.',
    }),
    kept: Type.Optional(
      Type.Array(ObjectName, { description: 'Rollback: objects whose unpublished edits stay as drafts.' }),
    ),
    judgement: Type.Optional(Judgement),
    receipt: Type.Optional(Receipt),
    diagnostics: Type.Array(Fault, {
      description: 'Warnings; in a dry run without publish also what would forbid publishing.',
    }),
  },
  { title: 'Outcome', additionalProperties: false },
);
export type Outcome = Static<typeof Outcome>;
