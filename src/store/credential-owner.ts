import type { WorkspaceTransaction } from './transaction.js';

/** Whose credential: an App's, or a cluster's own for signing requests to it. */
export interface Owner {
  readonly kind: 'app' | 'cluster';
  readonly name: string;
}

/** Counts the change and tells the replicas at commit. */
export async function touch(tx: WorkspaceTransaction, owner: Owner): Promise<void> {
  const workspace = tx.workspace.name;
  const [[row]]: [{ revision: number }[], number] = await tx.manager.query(
    'update workspace set credentials_revision = credentials_revision + 1 where name = $1 returning credentials_revision as revision',
    [workspace],
  );
  await tx.manager.query(
    `insert into credential_owner (workspace, kind, name, revision) values ($1, $2, $3, $4)
     on conflict (workspace, kind, name) do update set revision = excluded.revision`,
    [workspace, owner.kind, owner.name, row?.revision],
  );
  await tx.notify('paifang_credential', { workspace, revision: row?.revision });
}
