import type { TSchema } from 'typebox';
import { type Static, Type } from 'typebox';
import { SPEC } from '../core/model/definitions.js';
import { KINDS, type Kind, PLURAL } from '../core/model/kind.js';
import { Name, WorkspaceName } from '../core/model/name.js';
import type { CredentialView } from '../store/credentials.js';
import type { AuditRow, Head, ReleaseRow, RevisionRow, WorkspaceRow } from '../store/tables.js';
import { STATES } from '../store/tables.js';
import { Outcome } from './outcome.js';
import { ContentReceipt } from './receipts/content-receipt.js';

/** Shapes of answers, and how rows become them. Instants are RFC 3339 in UTC with milliseconds. */
const Instant = Type.String({ format: 'date-time' });
/** An instant in a request. A pattern and not a format: what passes can be parsed, save for days no month has. */
export const GivenInstant = (description: string) =>
  Type.String({
    pattern:
      '^\\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\\d|3[01])T([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(\\.\\d{1,9})?(Z|[+-][01]\\d:[0-5]\\d)$',
    description,
  });
const OrNull = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()]);
/** Text without control characters: PostgreSQL takes no U+0000, and no name has the others. */
const Word = (maxLength: number, description: string) =>
  Type.String({ minLength: 1, maxLength, pattern: '^[^\\u0000-\\u001f\\u007f]*$', description });

export const Limit = Type.Optional(
  Type.Integer({ minimum: 1, maximum: 1000, description: 'Items of one page. Default 100.' }),
);
export const Cursor = Type.Optional(Word(512, '`next` of the page before; everything else unchanged.'));
export const DEFAULT_LIMIT = 100;
export const DryRun = Type.Optional(
  Type.Boolean({ description: 'true: only tell what would happen; nothing is stored.' }),
);
export const Publish = Type.Optional(
  Type.Boolean({ description: 'true: bring it into force in the same transaction, as a release of its own.' }),
);
export const Message = Type.String({
  maxLength: 2000,
  description: 'Why; stands in the list of releases and in the audit.',
});
export const Search = (description: string) => Type.Optional(Word(256, description));
export const InWorkspace = Type.Object({ workspace: WorkspaceName });
export const NameOrId = Word(64, 'Name, or id, of the object.');

export function pageOf(item: TSchema, title: string) {
  return Type.Object(
    {
      items: Type.Array(item),
      total: Type.Integer({ description: 'Items in all pages.' }),
      next: Type.Optional(Type.String({ description: 'Cursor of the next page; absent on the last.' })),
    },
    { title },
  );
}

export const Workspace = Type.Object(
  {
    name: WorkspaceName,
    description: OrNull(Type.String()),
    release: Type.Integer({ description: 'Newest release; 0 before the first.' }),
    createdAt: Instant,
    createdBy: Type.String(),
  },
  { title: 'Workspace' },
);
export const NewWorkspace = Type.Object(
  { name: WorkspaceName, description: Type.Optional(Type.String({ maxLength: 256 })) },
  { title: 'NewWorkspace', additionalProperties: false },
);

const OBJECT = {
  workspace: WorkspaceName,
  name: Name,
  id: Type.String(),
  revision: Type.Integer({ description: 'Number of the newest revision; the ETag.' }),
  state: Type.Enum([...STATES]),
  pending: Type.Boolean({ description: 'Whether a release of everything would change what is in force of it.' }),
  inForce: OrNull(
    Type.Object(
      { revision: Type.Integer(), release: Type.Integer({ description: 'Release since when.' }) },
      { description: 'What traffic follows; null when nothing.' },
    ),
  ),
  createdAt: Instant,
  createdBy: Type.String(),
  updatedAt: Instant,
  updatedBy: Type.String(),
};
const title = (kind: Kind) => kind.charAt(0).toUpperCase() + kind.slice(1);
/** An object of one kind. */
export function objectSchema(kind: Kind) {
  return Type.Object({ kind: Type.Literal(kind), ...OBJECT, spec: SPEC[kind] }, { title: title(kind) });
}
/** An object together with what the write did. */
export function writtenSchema(kind: Kind) {
  return Type.Object(
    { kind: Type.Literal(kind), ...OBJECT, spec: SPEC[kind], outcome: Outcome },
    { title: `Written${title(kind)}` },
  );
}

export function objectView(head: Head) {
  return {
    kind: head.kind,
    workspace: head.workspace,
    name: head.name,
    id: head.id,
    revision: head.revision,
    state: head.state,
    pending: head.state !== 'offline' && head.inForceRevision !== head.revision,
    inForce: head.inForceRevision === null ? null : { revision: head.inForceRevision, release: head.inForceRelease },
    createdAt: head.createdAt,
    createdBy: head.createdBy,
    updatedAt: head.updatedAt,
    updatedBy: head.updatedBy,
    spec: ordered(head.kind, head.spec),
  };
}

/** Fields in the order of the schema: the database does not keep the order in which they were sent. */
export function ordered(kind: Kind, spec: Record<string, unknown>): Record<string, unknown> {
  const known = Object.keys(SPEC[kind].properties).filter((field) => spec[field] !== undefined);
  return Object.fromEntries(known.map((field) => [field, spec[field]]));
}

export const Revision = Type.Object(
  { revision: Type.Integer(), action: Type.String(), at: Instant, author: Type.String(), spec: Type.Unknown() },
  { title: 'Revision' },
);
export function revisionView({ kind, revision, action, at, author, spec }: RevisionRow) {
  return { revision, action, at, author, spec: ordered(kind, spec) };
}

export function workspaceView({ name, description, release, createdAt, createdBy }: WorkspaceRow) {
  return { name, description, release, createdAt, createdBy };
}

export const Release = Type.Object(
  {
    number: Type.Integer(),
    author: Type.String(),
    message: Type.String(),
    createdAt: Instant,
    rollbackOf: OrNull(Type.Integer()),
    summary: Type.Object({
      published: Type.Integer(),
      removed: Type.Integer(),
      objects: Type.Object(
        { published: Type.Array(Type.String()), removed: Type.Array(Type.String()) },
        { description: 'The first 100 of each, as kind/name.' },
      ),
    }),
  },
  { title: 'Release' },
);
export function releaseView({ number, author, message, createdAt, rollbackOf, summary }: ReleaseRow) {
  return { number, author, message, createdAt, rollbackOf, summary };
}

export const AuditEntry = Type.Object(
  {
    id: Type.String(),
    at: Instant,
    author: Type.String({ description: 'Name of the admin token.' }),
    action: Type.String(),
    object: OrNull(Type.Object({ kind: Type.String(), name: Type.String() })),
    revision: OrNull(Type.Integer()),
    release: OrNull(Type.Integer()),
    message: OrNull(Type.String()),
    changes: Type.Unknown(),
    requestId: Type.String(),
  },
  { title: 'AuditEntry' },
);
export function auditView({
  id,
  at,
  author,
  action,
  kind,
  name,
  revision,
  release,
  message,
  changes,
  requestId,
}: AuditRow) {
  return {
    id,
    at,
    author,
    action,
    object: kind === null ? null : { kind, name },
    revision,
    release,
    message,
    changes,
    requestId,
  };
}

/** 1–128 characters that may stand in a keyId of the Signature header without quoting. */
export const AccessKey = Type.String({
  pattern: '^[A-Za-z0-9._~-]{1,128}$',
  description: 'Unique in the whole instance.',
});
export const SecretKey = Type.String({
  minLength: 8,
  maxLength: 512,
  pattern: '^[\\x21-\\x7e]+$',
  description: 'Visible ASCII.',
  writeOnly: true,
});
const CREDENTIAL = {
  accessKey: AccessKey,
  enabled: Type.Boolean(),
  expiresAt: OrNull(Instant),
  createdAt: Instant,
  createdBy: Type.String(),
  receipt: Type.Optional(ContentReceipt),
};
export const Credential = Type.Object(CREDENTIAL, { title: 'Credential' });
export const MadeCredential = Type.Object(
  { ...CREDENTIAL, secretKey: Type.String({ description: 'Shown this once; only its encrypted form is kept.' }) },
  { title: 'MadeCredential' },
);
export const NewCredential = Type.Object(
  {
    accessKey: Type.Optional(AccessKey),
    secretKey: Type.Optional(SecretKey),
    enabled: Type.Optional(Type.Boolean({ description: 'Default true.' })),
    expiresAt: Type.Optional(OrNull(GivenInstant('When it stops being valid (RFC 3339); null or left out: never.'))),
  },
  {
    title: 'NewCredential',
    additionalProperties: false,
    description: 'Left out: random keys. Given: keys of another gateway are kept.',
  },
);
export const CredentialPatch = Type.Object(
  {
    enabled: Type.Optional(Type.Boolean()),
    expiresAt: Type.Optional(OrNull(GivenInstant('When it stops being valid (RFC 3339); null: never.'))),
  },
  { title: 'CredentialPatch', additionalProperties: false, minProperties: 1 },
);
export type NewCredential = Static<typeof NewCredential>;
export function credentialView({ accessKey, enabled, expiresAt, createdAt, createdBy }: CredentialView) {
  return { accessKey, enabled, expiresAt, createdAt, createdBy };
}

/** `/api/v1/workspaces/{workspace}/…` of each kind. */
export const COLLECTION = Object.fromEntries(
  KINDS.map((kind) => [kind, `/api/v1/workspaces/{workspace}/${PLURAL[kind]}`]),
) as Record<Kind, string>;
