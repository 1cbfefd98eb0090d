import { type Owner, touch } from './credential-owner.js';
import { removeEndpointsOf } from './endpoints.js';
import { columnsOf, type Ref } from './objects.js';
import type { WorkspaceTransaction } from './transaction.js';

/** Removes heads for good, with the credentials of their owners and the endpoints registered for them. Their history stays. */
export async function removeHeads(tx: WorkspaceTransaction, refs: readonly Ref[]): Promise<void> {
  if (refs.length === 0) return;
  const { kinds, names } = columnsOf(refs);
  const parameters = [tx.workspace.name, kinds, names];
  const listed = '(kind, name) in (select * from unnest($2::text[], $3::text[]))';
  for (const table of ['object', 'object_reference']) {
    await tx.manager.query(`delete from ${table} where workspace = $1 and ${listed}`, parameters);
  }
  tx.learn(refs, []);
  const owned: unknown[] = await tx.manager.query(
    `with gone as (delete from credential where workspace = $1 and ${listed} returning kind, name)
     select distinct kind, name from gone`,
    parameters,
  );
  for (const owner of owned as Owner[]) await touch(tx, owner);
  const clusters = refs.flatMap(({ kind, name }) => (kind === 'cluster' ? [name] : []));
  await removeEndpointsOf(tx, clusters);
}
