import type { MigrationInterface, QueryRunner } from 'typeorm';

const ENDPOINTS = `
-- Endpoints that registered for a cluster, beside those of its definition. They take effect at once, without a release.
create table registered_endpoint (
  workspace text collate "C" not null references workspace on delete cascade,
  cluster text collate "C" not null,
  id text collate "C" not null,
  host text collate "C" not null,
  port integer not null,
  weight integer not null,
  -- '' = not said.
  region text not null,
  zone text not null,
  room text not null,
  ttl_seconds integer,
  -- When it is taken out unless it is registered again; by the clock of the database.
  expires_at timestamptz,
  registered_at timestamptz not null,
  registered_by text not null,
  primary key (workspace, cluster, id),
  constraint registered_endpoint_address unique (workspace, cluster, host, port),
  check ((ttl_seconds is null) = (expires_at is null))
);
create index registered_endpoint_expiry on registered_endpoint (expires_at) where expires_at is not null;

-- Revision at which a cluster's list last changed, counted with the workspace's credentials; stays when the list is empty.
create table endpoint_owner (
  workspace text collate "C" not null references workspace on delete cascade,
  cluster text collate "C" not null,
  revision integer not null,
  primary key (workspace, cluster)
);
create index endpoint_owner_revision on endpoint_owner (workspace, revision);
`;

export class Endpoints1795478400000 implements MigrationInterface {
  readonly name = 'Endpoints1795478400000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(ENDPOINTS);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('drop table endpoint_owner, registered_endpoint');
  }
}
