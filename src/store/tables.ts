import { EntitySchema } from 'typeorm';
import type { Kind } from '../core/model/kind.js';

/** `draft`: never published. APIs are then `online` or `offline`, other kinds `published`. `deleted`: gone with the next release. */
export const STATES = ['draft', 'online', 'offline', 'published', 'deleted'] as const;
export type State = (typeof STATES)[number];

export interface WorkspaceRow {
  name: string;
  description: string | null;
  /** Number of the newest release; 0 before the first. */
  release: number;
  credentialsRevision: number;
  createdAt: Date;
  createdBy: string;
}

/** The newest revision of an object: what people edit. Traffic follows the revision in force. */
export interface Head {
  workspace: string;
  kind: Kind;
  name: string;
  id: string;
  revision: number;
  spec: Record<string, unknown>;
  state: State;
  inForceRevision: number | null;
  inForceRelease: number | null;
  /** Revision that was last in force, even if it is not any more. */
  publishedRevision: number | null;
  createdAt: Date;
  createdBy: string;
  updatedAt: Date;
  updatedBy: string;
}

export interface ReleaseRow {
  workspace: string;
  number: number;
  author: string;
  message: string;
  createdAt: Date;
  rollbackOf: number | null;
  summary: ReleaseSummary;
}

/** How many objects a release changed, and which, as `kind/name` (at most 100 of each). */
export interface ReleaseSummary {
  published: number;
  removed: number;
  objects: { published: string[]; removed: string[] };
}

export interface AuditRow {
  /** Grows with time; a decimal string, since it is a 64-bit number. */
  id: string;
  at: Date;
  author: string;
  action: string;
  workspace: string;
  kind: string | null;
  name: string | null;
  revision: number | null;
  release: number | null;
  message: string | null;
  changes: unknown;
  requestId: string;
}

export interface RevisionRow {
  workspace: string;
  kind: Kind;
  name: string;
  revision: number;
  action: string;
  spec: Record<string, unknown>;
  at: Date;
  author: string;
}

export interface CredentialRow {
  accessKey: string;
  workspace: string;
  kind: 'app' | 'cluster';
  name: string;
  keyId: string;
  nonce: Buffer;
  ciphertext: Buffer;
  enabled: boolean;
  expiresAt: Date | null;
  createdAt: Date;
  createdBy: string;
}

const text = { type: 'text' } as const;
const integer = { type: 'integer' } as const;
const instant = (name: string) => ({ type: 'timestamptz', name }) as const;

export const Workspaces = new EntitySchema<WorkspaceRow>({
  name: 'workspace',
  columns: {
    name: { ...text, primary: true },
    description: { ...text, nullable: true },
    release: integer,
    credentialsRevision: { ...integer, name: 'credentials_revision' },
    createdAt: instant('created_at'),
    createdBy: { ...text, name: 'created_by' },
  },
});

export const Heads = new EntitySchema<Head>({
  name: 'object',
  columns: {
    workspace: { ...text, primary: true },
    kind: { ...text, primary: true },
    name: { ...text, primary: true },
    id: text,
    revision: integer,
    spec: { type: 'jsonb' },
    state: text,
    inForceRevision: { ...integer, name: 'in_force_revision', nullable: true },
    inForceRelease: { ...integer, name: 'in_force_release', nullable: true },
    publishedRevision: { ...integer, name: 'published_revision', nullable: true },
    createdAt: instant('created_at'),
    createdBy: { ...text, name: 'created_by' },
    updatedAt: instant('updated_at'),
    updatedBy: { ...text, name: 'updated_by' },
  },
});

export const Revisions = new EntitySchema<RevisionRow>({
  name: 'object_revision',
  columns: {
    workspace: { ...text, primary: true },
    kind: { ...text, primary: true },
    name: { ...text, primary: true },
    revision: { ...integer, primary: true },
    action: text,
    spec: { type: 'jsonb' },
    at: instant('at'),
    author: text,
  },
});

export const Releases = new EntitySchema<ReleaseRow>({
  name: 'release',
  columns: {
    workspace: { ...text, primary: true },
    number: { ...integer, primary: true },
    author: text,
    message: text,
    createdAt: instant('created_at'),
    rollbackOf: { ...integer, name: 'rollback_of', nullable: true },
    summary: { type: 'jsonb' },
  },
});

export const Audit = new EntitySchema<AuditRow>({
  name: 'audit',
  columns: {
    id: { type: 'bigint', primary: true, generated: 'increment' },
    at: instant('at'),
    author: text,
    action: text,
    workspace: text,
    kind: { ...text, nullable: true },
    name: { ...text, nullable: true },
    revision: { ...integer, nullable: true },
    release: { ...integer, nullable: true },
    message: { ...text, nullable: true },
    changes: { type: 'jsonb', nullable: true },
    requestId: { ...text, name: 'request_id' },
  },
});

export const Credentials = new EntitySchema<CredentialRow>({
  name: 'credential',
  columns: {
    accessKey: { ...text, name: 'access_key', primary: true },
    workspace: text,
    kind: text,
    name: text,
    keyId: { ...text, name: 'key_id' },
    nonce: { type: 'bytea' },
    ciphertext: { type: 'bytea' },
    enabled: { type: 'boolean' },
    expiresAt: { ...instant('expires_at'), nullable: true },
    createdAt: instant('created_at'),
    createdBy: { ...text, name: 'created_by' },
  },
});

export const TABLES = [Workspaces, Heads, Revisions, Releases, Audit, Credentials];
