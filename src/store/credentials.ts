import type { EntityManager } from 'typeorm';
import type { Secret } from '../core/secret.js';
import { type Owner, touch } from './credential-owner.js';
import type { MasterKey } from './master-key.js';
import { columnsOf } from './objects.js';
import { type CredentialRow, Credentials } from './tables.js';
import type { WorkspaceTransaction } from './transaction.js';

/** A credential as lists show it: never its secret. */
export type CredentialView = Omit<CredentialRow, 'keyId' | 'nonce' | 'ciphertext'>;

/** A credential with its secret, as the compiler needs it. */
export interface OpenCredential {
  readonly accessKey: string;
  readonly secretKey: Secret;
  readonly enabled: boolean;
  /** Unix seconds. */
  readonly expiresAt?: number;
}

/** All credentials of one owner at a revision of the workspace's credentials. */
export interface CredentialList extends Owner {
  readonly revision: number;
  readonly credentials: OpenCredential[];
}

export interface NewCredential {
  readonly accessKey: string;
  readonly secretKey: Secret;
  readonly enabled: boolean;
  readonly expiresAt: Date | null;
}

const boundTo = (workspace: string, owner: Owner, accessKey: string) =>
  `${workspace}/${owner.kind}/${owner.name}/${accessKey}`;

function viewOf({ keyId: _keyId, nonce: _nonce, ciphertext: _ciphertext, ...view }: CredentialRow): CredentialView {
  return view;
}

export async function listCredentials(
  manager: EntityManager,
  workspace: string,
  owner: Owner,
): Promise<CredentialView[]> {
  const rows = await manager.find(Credentials, {
    where: { workspace, kind: owner.kind, name: owner.name },
    order: { createdAt: 'ASC', accessKey: 'ASC' },
  });
  return rows.map(viewOf);
}

/** Adds a credential; false when the access key is taken, by whomever: access keys are unique in the whole instance. */
export async function addCredential(
  tx: WorkspaceTransaction,
  key: MasterKey,
  owner: Owner,
  made: NewCredential,
): Promise<boolean> {
  const workspace = tx.workspace.name;
  const sealed = key.seal(made.secretKey, boundTo(workspace, owner, made.accessKey));
  const rows: unknown[] = await tx.manager.query(
    `insert into credential (access_key, workspace, kind, name, key_id, nonce, ciphertext, enabled, expires_at, created_at, created_by)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) on conflict (access_key) do nothing returning access_key`,
    [
      made.accessKey,
      workspace,
      owner.kind,
      owner.name,
      sealed.keyId,
      sealed.nonce,
      sealed.ciphertext,
      made.enabled,
      made.expiresAt,
      tx.now,
      tx.actor.name,
    ],
  );
  if (rows.length > 0) await touch(tx, owner);
  return rows.length > 0;
}

/** Changes validity; undefined when the owner has no such access key. */
export async function changeCredential(
  tx: WorkspaceTransaction,
  owner: Owner,
  accessKey: string,
  change: { enabled?: boolean; expiresAt?: Date | null },
): Promise<CredentialView | undefined> {
  const row = await tx.manager.findOneBy(Credentials, {
    accessKey,
    workspace: tx.workspace.name,
    kind: owner.kind,
    name: owner.name,
  });
  if (row === null) return undefined;
  if (change.enabled !== undefined) row.enabled = change.enabled;
  if (change.expiresAt !== undefined) row.expiresAt = change.expiresAt;
  await tx.manager.update(Credentials, { accessKey }, { enabled: row.enabled, expiresAt: row.expiresAt });
  await touch(tx, owner);
  return viewOf(row);
}

/** Deletes one credential, or all of the owner without `accessKey`; returns how many there were. */
export async function removeCredentials(tx: WorkspaceTransaction, owner: Owner, accessKey?: string): Promise<number> {
  const result = await tx.manager.delete(Credentials, {
    workspace: tx.workspace.name,
    kind: owner.kind,
    name: owner.name,
    ...(accessKey === undefined ? {} : { accessKey }),
  });
  const count = result.affected ?? 0;
  if (count > 0) await touch(tx, owner);
  return count;
}

/**
 * The full lists of `owners`, or of every owner whose list changed after `since`. Cost: those owners' credentials.
 * @throws Error when a secret cannot be opened with `key`.
 */
export async function openCredentials(
  manager: EntityManager,
  key: MasterKey,
  workspace: string,
  which: { owners: readonly Owner[] } | { since: number },
): Promise<CredentialList[]> {
  const byOwner = 'owners' in which;
  const { kinds, names } = columnsOf(byOwner ? which.owners : []);
  const rows: (Owner & { revision: number } & {
    [K in keyof Omit<CredentialRow, 'kind' | 'name' | 'workspace'>]: CredentialRow[K] | null;
  })[] = await manager.query(
    `select w.kind, w.name, w.revision, c.access_key as "accessKey", c.key_id as "keyId", c.nonce, c.ciphertext, c.enabled, c.expires_at as "expiresAt"
       from credential_owner w left join credential c using (workspace, kind, name)
       where workspace = $1 and ${byOwner ? '(w.kind, w.name) in (select * from unnest($2::text[], $3::text[]))' : 'w.revision > $2'}
       order by w.kind, w.name, c.access_key`,
    byOwner ? [workspace, kinds, names] : [workspace, which.since],
  );
  const lists = new Map<string, CredentialList>();
  for (const row of rows) {
    const owner = { kind: row.kind, name: row.name };
    const at = `${row.kind}/${row.name}`;
    const list = lists.get(at) ?? { ...owner, revision: row.revision, credentials: [] };
    lists.set(at, list);
    if (row.accessKey === null || row.keyId === null || row.nonce === null || row.ciphertext === null) continue;
    const { keyId, nonce, ciphertext } = row as { keyId: string; nonce: Buffer; ciphertext: Buffer };
    list.credentials.push({
      accessKey: row.accessKey,
      secretKey: key.open({ keyId, nonce, ciphertext }, boundTo(workspace, owner, row.accessKey)),
      enabled: row.enabled === true,
      ...(row.expiresAt ? { expiresAt: Math.floor(row.expiresAt.getTime() / 1000) } : {}),
    });
  }
  return [...lists.values()];
}
