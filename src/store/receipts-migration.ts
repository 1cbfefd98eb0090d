import type { MigrationInterface, QueryRunner } from 'typeorm';

// No foreign keys to workspace: checking them would lock its row, and a publication would wait for the receipts of another.
const RECEIPTS = `
-- How a release came about, told by the replica that made it. Milliseconds count from the begin of the write.
create table release_timeline (
  workspace text collate "C" not null,
  release integer not null,
  replica text not null,
  began_at timestamptz not null,
  validated_ms double precision,
  stored_ms double precision,
  compiled_ms double precision,
  pushed_ms double precision,
  -- Fleets whose configuration the release changed.
  fleets text[] not null,
  primary key (workspace, release)
);

-- What became of a release at one node, told by the replica the node is connected to. Written after the fact, in batches.
create table release_receipt (
  workspace text collate "C" not null,
  release integer not null,
  fleet text collate "C" not null,
  node text collate "C" not null,
  replica text not null,
  state text not null check (state in ('pending', 'acked', 'refused', 'away')),
  late boolean not null,
  pushed_at timestamptz,
  acked_at timestamptz,
  -- Per type: {type, changed, waiting, pushedAt?, ackedAt?, refused?: {name, error}, held?}
  types jsonb not null,
  primary key (workspace, release, fleet, node)
);

-- Every node that came by, told by the replica it is or was connected to last.
create table node (
  workspace text collate "C" not null,
  fleet text collate "C" not null,
  node text collate "C" not null,
  replica text not null,
  connected boolean not null,
  first_seen_at timestamptz not null,
  -- Begin of the present row of streams that no longer gap interrupts: a controller that restarts does not end it.
  up_since timestamptz not null,
  connected_at timestamptz not null,
  last_seen_at timestamptz not null,
  -- What else the replica knows; its fields are those of the answer of the admin API.
  about jsonb not null,
  primary key (workspace, fleet, node)
);

-- Controllers, to know whether what they tell of nodes is still true.
create table replica (
  id text primary key,
  started_at timestamptz not null,
  seen_at timestamptz not null
);
`;

export class Receipts1795392000000 implements MigrationInterface {
  readonly name = 'Receipts1795392000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(RECEIPTS);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('drop table replica, node, release_receipt, release_timeline');
  }
}
