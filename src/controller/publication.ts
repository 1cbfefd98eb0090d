import type { Change, Compiler, StoredObject } from '../core/compile.js';
import { type Diagnostic, hasErrors } from '../core/diagnostic.js';
import type { Owner } from '../store/credential-owner.js';
import { openCredentials } from '../store/credentials.js';
import { type HeadFilter, keyOf, listHeads, type Ref } from '../store/objects.js';
import { removeHeads } from '../store/removal.js';
import type { Store } from '../store/store.js';
import type { Head } from '../store/tables.js';
import type { Publication, WorkspaceTransaction } from '../store/transaction.js';
import type { Hearing } from './judgement.js';
import type { Judgement } from './outcome.js';
import { onTop } from './owed.js';
import { type Fault, faultsOf, invalidDefinitions } from './problem.js';
import { referencesOf } from './references.js';

/** What a release shall bring into force and take out of it. */
export interface Selection {
  readonly upserts: readonly Publication[];
  readonly removals: readonly Ref[];
  /** Part of `upserts`: not asked for, but needed by what was. */
  readonly included: readonly Ref[];
}

/**
 * From the heads that shall be published: those that differ from what is in force, the deleted ones as removals, and what
 * the first refer to and was never published. `offline` are APIs that leave. Cost: those objects and what they refer to.
 */
export async function select(
  tx: WorkspaceTransaction,
  heads: readonly Head[],
  offline: readonly Head[] = [],
): Promise<Selection> {
  const leaving = [...heads.filter((head) => head.state === 'deleted'), ...offline].filter(
    (head) => head.inForceRevision !== null,
  );
  const away = new Set(leaving.map(keyOf));
  const coming = heads.filter(
    (head) => head.state !== 'deleted' && !away.has(keyOf(head)) && head.inForceRevision !== head.revision,
  );
  const included = await neverPublished(tx, coming);
  return {
    upserts: [...coming, ...included]
      .sort(byName)
      .map(({ kind, name, id, revision, spec }) => ({ kind, name, id, revision, spec })),
    removals: leaving.sort(byName).map(({ kind, name }) => ({ kind, name })),
    included: included.sort(byName).map(({ kind, name }) => ({ kind, name })),
  };
}

/** The order in which answers tell objects. */
const byName = (a: Ref, b: Ref) => (keyOf(a) < keyOf(b) ? -1 : 1);

/** What `heads` need and nobody has published yet, and what that needs in turn. Grants need nothing: an App may wait for its APIs. */
async function neverPublished(tx: WorkspaceTransaction, heads: readonly Head[]): Promise<Head[]> {
  const known = new Set(heads.map(keyOf));
  const found: Head[] = [];
  for (let open = heads.filter((head) => head.kind !== 'app'); open.length > 0; ) {
    const needed: Ref[] = open
      .flatMap(({ kind, spec }) => referencesOf(kind, spec))
      .filter((ref) => !known.has(keyOf(ref)));
    if (open.some((head) => head.kind === 'group' && head.spec.fleets === undefined))
      needed.push(...(await fleetsIfNone(tx)).filter((ref) => !known.has(keyOf(ref))));
    for (const ref of needed) known.add(keyOf(ref));
    open = [...(await tx.heads(needed)).values()].filter(
      (head) => head.state === 'draft' && head.inForceRevision === null,
    );
    found.push(...open);
  }
  return found;
}

/** A group that names no fleet is served by every fleet: the first publication brings them along when none is in force. */
async function fleetsIfNone(tx: WorkspaceTransaction): Promise<Ref[]> {
  const filter: HeadFilter = { kind: 'fleet' };
  const { items } = await listHeads(tx.manager, tx.workspace.name, filter, 1000);
  return items.some((head) => head.inForceRevision !== null) ? [] : items;
}

/** The change that `selection` is to the compiler, with the credentials of the owners that come into force. */
export async function changeOf(tx: WorkspaceTransaction, store: Store, selection: Selection): Promise<Change> {
  const release = tx.workspace.release + 1;
  const owners = selection.upserts.filter(
    (object): object is Publication & Owner => object.kind === 'app' || object.kind === 'cluster',
  );
  const lists =
    owners.length > 0 ? await openCredentials(tx.manager, store.masterKey, tx.workspace.name, { owners }) : [];
  return {
    release,
    upserts: selection.upserts.map(
      ({ kind, name, id, spec }) => ({ kind, name, id, spec, release }) as unknown as StoredObject,
    ),
    removals: selection.removals.map(({ kind, name }) => ({ kind, name })),
    credentials: lists.map(({ kind, name, credentials }) => ({ kind, name, credentials })),
  };
}

/**
 * Judges `selection` and, when it has no error, inserts it as the next release. `change` is what the compiler must apply
 * once the transaction is committed; undefined when nothing would change.
 * @throws Problem with every diagnostic when the compiler or Envoy refuses it; Adjourned.
 */
export async function release(
  tx: WorkspaceTransaction,
  store: Store,
  compiler: Compiler,
  hearing: Hearing,
  selection: Selection,
  about: { message: string; rollbackOf?: number; pointerOf: (ref: { kind: string; name: string }) => string },
): Promise<{ number: number | null; change?: Change; warnings: Fault[]; judgement?: Judgement }> {
  if (selection.upserts.length === 0 && selection.removals.length === 0) return { number: null, warnings: [] };
  const change = onTop(await changeOf(tx, store, selection), hearing.owed);
  const unresolved = hearing.unresolved(change, compiler);
  const update = compiler.trial(change);
  const told = faultsOf([...update.diagnostics, ...unresolved], about.pointerOf);
  if (hasErrors(update.diagnostics)) throw invalidDefinitions(told);
  // Envoy judges while the database works: nothing is kept of the release when it refuses.
  const verdict = hearing.judge(update, change, compiler);
  verdict.catch(() => {});
  const { message, rollbackOf } = about;
  const number = await tx.release(selection.upserts, selection.removals, {
    message,
    groupReleases: update.groupReleases,
    ...(rollbackOf === undefined ? {} : { rollbackOf }),
  });
  await removeHeads(tx, await goneFor(tx, selection.removals));
  const { diagnostics, judgement } = await verdict;
  const faults = [...told, ...faultsOf(diagnostics, about.pointerOf)];
  if (hasErrors(diagnostics)) throw invalidDefinitions(faults);
  return { number, change, warnings: faults, ...(judgement && { judgement }) };
}

/** What compiler and Envoy say of `own`: Envoy is asked when the compiler finds no error. @throws Adjourned. */
export async function judged(
  own: Change,
  compiler: Compiler,
  hearing: Hearing,
): Promise<{ diagnostics: Diagnostic[]; judgement?: Judgement }> {
  const change = onTop(own, hearing.owed);
  const unresolved = hearing.unresolved(change, compiler);
  const update = compiler.trial(change);
  const told = [...update.diagnostics, ...unresolved];
  if (hasErrors(told)) return { diagnostics: told };
  const { diagnostics, judgement } = await hearing.judge(update, change, compiler);
  return { diagnostics: [...told, ...diagnostics], ...(judgement && { judgement }) };
}

/** Of what left force, the heads that were deleted: nothing holds them any more. */
async function goneFor(tx: WorkspaceTransaction, removals: readonly Ref[]): Promise<Ref[]> {
  return [...(await tx.heads(removals)).values()].filter((head) => head.state === 'deleted');
}
