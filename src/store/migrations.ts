import type { MigrationInterface, QueryRunner } from 'typeorm';
import { Answers1795564800000 } from './answers-migration.js';
import { Endpoints1795478400000 } from './endpoints-migration.js';
import { Receipts1795392000000 } from './receipts-migration.js';

/** Names sort by code point everywhere, whatever the database's locale: pages and dumps have one order. */
const FIRST = `
create table setting (
  key text primary key,
  value text not null
);

create table workspace (
  name text collate "C" primary key,
  description text,
  -- Number of the newest release; 0 before the first.
  release integer not null default 0,
  -- Counts changes of credentials; replicas compare it with what they know.
  credentials_revision integer not null default 0,
  created_at timestamptz not null default now(),
  created_by text not null
);

-- Heads: what people edit. Traffic follows object_version.
create table object (
  workspace text collate "C" not null references workspace on delete cascade,
  kind text not null check (kind in ('fleet', 'cluster', 'group', 'api', 'app')),
  name text collate "C" not null,
  id text not null,
  revision integer not null,
  spec jsonb not null,
  state text not null check (state in ('draft', 'online', 'offline', 'published', 'deleted')),
  -- Revision that traffic follows and the release since when; null when the object is not in force.
  in_force_revision integer,
  in_force_release integer,
  -- Revision that was last in force; a later one is work that nobody has published yet.
  published_revision integer,
  created_at timestamptz not null,
  created_by text not null,
  updated_at timestamptz not null,
  updated_by text not null,
  primary key (workspace, kind, name),
  -- The id first: an index that begins like the primary key is taken for as good as that one while statistics are old.
  constraint object_id_unique unique (id, kind, workspace)
);
create index object_pending on object (workspace)
  where in_force_revision is distinct from revision;

-- Who names whom, in the heads: answers "who still needs this" and "APIs of this group" without reading every spec.
-- No foreign key to object: its check is planned once per session, and a plan made while the table is empty reads the
-- whole table for each of the thousands of rows of a first change set.
create table object_reference (
  workspace text collate "C" not null references workspace on delete cascade,
  kind text not null,
  name text collate "C" not null,
  to_kind text not null,
  to_name text collate "C" not null,
  primary key (workspace, kind, name, to_kind, to_name)
);
create index object_reference_to on object_reference (workspace, to_kind, to_name);

-- Every revision a head ever had; outlives the object.
create table object_revision (
  workspace text collate "C" not null references workspace on delete cascade,
  kind text not null,
  name text collate "C" not null,
  revision integer not null,
  action text not null,
  spec jsonb not null,
  at timestamptz not null,
  author text not null,
  primary key (workspace, kind, name, revision)
);

create table release (
  workspace text collate "C" not null references workspace on delete cascade,
  number integer not null,
  author text not null,
  message text not null,
  created_at timestamptz not null,
  rollback_of integer,
  summary jsonb not null,
  primary key (workspace, number)
);

-- A version is valid in releases from_release <= N < to_release.
create table object_version (
  workspace text collate "C" not null references workspace on delete cascade,
  kind text not null,
  name text collate "C" not null,
  id text not null,
  revision integer not null,
  spec jsonb not null,
  from_release integer not null,
  to_release integer,
  primary key (workspace, kind, name, from_release)
);
create index object_version_from on object_version (workspace, from_release);
create index object_version_to on object_version (workspace, to_release) where to_release is not null;
create unique index object_version_in_force on object_version (name, kind, workspace) where to_release is null;

-- Newest release that changed what Envoy is told of the group.
create table group_release (
  workspace text collate "C" not null references workspace on delete cascade,
  name text collate "C" not null,
  release integer not null,
  primary key (workspace, name)
);

create table credential (
  access_key text collate "C" primary key,
  workspace text collate "C" not null references workspace on delete cascade,
  kind text not null check (kind in ('app', 'cluster')),
  name text collate "C" not null,
  key_id text not null,
  nonce bytea not null,
  ciphertext bytea not null,
  enabled boolean not null default true,
  expires_at timestamptz,
  created_at timestamptz not null,
  created_by text not null
);
create index credential_owner_index on credential (workspace, kind, name);

-- Revision of the workspace's credentials at which an owner's list last changed; stays when the list is empty.
create table credential_owner (
  workspace text collate "C" not null references workspace on delete cascade,
  kind text not null,
  name text collate "C" not null,
  revision integer not null,
  primary key (workspace, kind, name)
);
create index credential_owner_revision on credential_owner (workspace, revision);

create table admin_token (
  hash bytea primary key,
  name text not null,
  created_at timestamptz not null default now()
);

create table audit (
  id bigint generated always as identity primary key,
  at timestamptz not null,
  author text not null,
  action text not null,
  workspace text collate "C" not null,
  kind text,
  name text collate "C",
  revision integer,
  release integer,
  message text,
  changes jsonb,
  request_id text not null
);
create index audit_workspace on audit (workspace, id);
create index audit_object on audit (workspace, kind, name, id);
`;

class First1795305600000 implements MigrationInterface {
  readonly name = 'First1795305600000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(FIRST);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(
      `drop table audit, admin_token, credential_owner, credential, group_release, object_version, release, object_revision,
       object_reference, object, workspace, setting`,
    );
  }
}

/** In the order in which they are run. A migration that was released is never edited; a new one follows it. */
export const MIGRATIONS = [First1795305600000, Receipts1795392000000, Endpoints1795478400000, Answers1795564800000];
