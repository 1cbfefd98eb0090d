import type { MigrationInterface, QueryRunner } from 'typeorm';

const ANSWERS = `
-- What DNS told for the names that clusters leave to the controller. Takes effect at once, without a release.
create table dns_answer (
  workspace text collate "C" not null references workspace on delete cascade,
  type text not null check (type in ('address', 'srv')),
  name text collate "C" not null,
  -- [{host, port?, weight?, tier?, target?}], sorted. Empty: never answered, or forgotten.
  addresses jsonb not null,
  -- Addresses beyond the most that are used.
  omitted integer not null,
  -- Counted with the workspace's credentials when the addresses change; 0: they never did.
  revision integer not null,
  changed_at timestamptz,
  -- Since when, and why, there is no good answer; the addresses are those of the last one.
  failing_since timestamptz,
  failure text,
  primary key (workspace, type, name),
  check ((failing_since is null) = (failure is null))
);
create index dns_answer_revision on dns_answer (workspace, revision);
create index dns_answer_failing on dns_answer (failing_since) where failing_since is not null;

-- Work that one replica does for all, as long as it says in time that it still does.
create table lease (
  name text primary key,
  holder text not null,
  -- By the clock of the database.
  until timestamptz not null
);
`;

export class Answers1795564800000 implements MigrationInterface {
  readonly name = 'Answers1795564800000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(ANSWERS);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('drop table lease, dns_answer');
  }
}
