import type { EntityManager } from 'typeorm';
import type { Change, StoredObject } from '../core/compile.js';
import { openCredentials } from '../store/credentials.js';
import type { MasterKey } from '../store/master-key.js';
import { differing, type Version } from '../store/releases.js';
import { credentialsOf, joinedSince } from './joined.js';
import { type Resident, storedOf } from './resident.js';

/**
 * All that lies between what `resident` has in force and release `release`, as one change: a later release may mend what an
 * earlier one broke. Costs what differs between the two; everything, when nothing of the workspace could be loaded.
 */
export async function owedTo(
  { name, compiler }: Resident,
  manager: EntityManager,
  masterKey: MasterKey,
  release: number,
): Promise<Change> {
  const entries = await differing(manager, name, compiler.release, release);
  const upserts = entries.flatMap(({ b }) => b ?? []);
  const removals = entries.filter(({ b }) => b === undefined).map(({ kind, name }) => ({ kind, name }));
  const change = { release, upserts: upserts.map(storedOf), removals };
  // What was joined when the load failed was rolled back with it.
  if (compiler.release === 0) return { ...change, ...(await joinedSince(manager, masterKey, name, 0)).joined };
  return { ...change, credentials: await credentialsFor(manager, masterKey, name, upserts) };
}

/** Credentials of the owners among objects that come into force. */
export async function credentialsFor(
  manager: EntityManager,
  masterKey: MasterKey,
  workspace: string,
  upserts: readonly Version[],
): Promise<NonNullable<Change['credentials']>> {
  const owners = upserts.filter(
    (version): version is Version & { kind: 'app' | 'cluster' } => version.kind === 'app' || version.kind === 'cluster',
  );
  if (owners.length === 0) return [];
  return (await openCredentials(manager, masterKey, workspace, { owners })).map(credentialsOf);
}

/** `own`, made after what is owed: what it says of an object is what counts. */
export function onTop(own: Change, owed: Change | undefined): Change {
  if (!owed) return own;
  const key = ({ kind, name }: Pick<StoredObject, 'kind' | 'name'>) => `${kind}\n${name}`;
  const mine = new Set([...own.upserts, ...own.removals].map(key));
  return {
    ...owed,
    ...own,
    upserts: [...owed.upserts.filter((object) => !mine.has(key(object))), ...own.upserts],
    removals: [...owed.removals.filter((ref) => !mine.has(key(ref))), ...own.removals],
    credentials: [...(owed.credentials ?? []), ...(own.credentials ?? [])],
  };
}
