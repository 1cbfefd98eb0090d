import type { Change, Compiler } from '../core/compile.js';
import { deriveId } from '../core/model/name.js';
import { keyOf, pendingHeads, type Ref, referrers } from '../store/objects.js';
import { removeHeads } from '../store/removal.js';
import type { Head } from '../store/tables.js';
import type { Actor, AuditEntry, HeadWrite, WorkspaceTransaction } from '../store/transaction.js';
import { difference } from './difference.js';
import type { Hearing } from './judgement.js';
import type { Live } from './live.js';
import type { ObjectChange, Outcome } from './outcome.js';
import { type Fault, faultsOf, invalidDefinitions, notFound, Problem } from './problem.js';
import { changeOf, judged, release, select } from './publication.js';
import { danglingReferences, referencesOf } from './references.js';

/** An object as it shall be stored; its spec has been checked by itself. */
export interface Put extends Ref {
  readonly spec: Record<string, unknown>;
  /** Where the spec stands in the request's body, for faults. */
  readonly pointer: string;
}

/** What a request wants. */
export interface Edit {
  readonly puts?: readonly Put[];
  readonly deletes?: readonly Ref[];
  /** What goes into force: what this edit writes, every head that differs from what is in force, these, or nothing (left out). */
  readonly publish?: 'written' | 'pending' | readonly Ref[] | undefined;
  /** APIs that leave force. */
  readonly offline?: readonly Ref[];
  readonly message?: string | undefined;
}

interface Written {
  readonly changes: ObjectChange[];
  readonly audit: AuditEntry[];
}

/** Every change of definitions goes through here: heads, release, audit and notification in one transaction, then live. */
export class Editor {
  constructor(private readonly live: Live) {}

  /**
   * Carries out what `plan` decides under the lock of the workspace. Nothing is stored when anything throws, or with `dryRun`.
   * `expected`: objects it will ask for, as far as they are known before.
   * @throws Problem; StoreUnavailable.
   */
  edit(
    workspace: string,
    actor: Actor,
    dryRun: boolean,
    plan: (tx: WorkspaceTransaction) => Promise<Edit>,
    expected: readonly Ref[] = [],
  ): Promise<Outcome> {
    const work = async (tx: WorkspaceTransaction, compiler: Compiler, hearing: Hearing) => {
      const edit = await plan(tx);
      const pointers = new Map((edit.puts ?? []).map((put) => [keyOf(put), put.pointer]));
      const pointerOf = (ref: { kind: string; name: string }) => pointers.get(`${ref.kind}/${ref.name}`) ?? '';
      const { changes, audit } = await this.write(tx, edit);
      const outcome: Outcome = {
        dryRun,
        release: null,
        changes,
        published: [],
        removed: [],
        alsoPublished: [],
        diagnostics: [],
      };
      let change: Change | undefined;
      if (edit.publish !== undefined || edit.offline !== undefined) {
        const selection = await select(tx, await this.wanted(tx, edit), await existing(tx, edit.offline ?? []));
        const made = await release(tx, this.live.store, compiler, hearing, selection, {
          message: edit.message ?? '',
          pointerOf,
        });
        change = made.change;
        Object.assign(outcome, {
          release: made.number,
          published: selection.upserts.map(({ kind, name }) => ({ kind, name })),
          removed: selection.removals,
          alsoPublished: selection.included,
          diagnostics: made.warnings,
          ...(made.judgement && { judgement: made.judgement }),
        });
        if (made.number !== null)
          audit.push({
            action: 'released',
            release: made.number,
            ...(edit.message ? { message: edit.message } : {}),
            changes: { published: outcome.published, removed: outcome.removed },
          });
      } else if (dryRun) {
        const heads = [...(await tx.heads(edit.puts ?? [])).values()];
        const would = await changeOf(tx, this.live.store, await select(tx, heads));
        const { diagnostics, judgement } = await judged(would, compiler, hearing);
        outcome.diagnostics = faultsOf(diagnostics, pointerOf);
        if (judgement) outcome.judgement = judgement;
      }
      await tx.audit(audit);
      return { outcome, change };
    };
    return this.live.change(workspace, actor, dryRun, work, expected);
  }

  /** Stores the heads. @throws Problem with all faults of all puts and deletes. */
  private async write(tx: WorkspaceTransaction, edit: Edit): Promise<Written> {
    const { puts = [], deletes = [] } = edit;
    const heads = await tx.heads([...puts, ...deletes]);
    const written: { write: HeadWrite; before: Head | undefined; put: Put }[] = [];
    const faults: Fault[] = [];
    const changes = new Map<string, ObjectChange>();
    for (const put of puts) {
      const before = heads.get(keyOf(put));
      const alive = before && before.state !== 'deleted' ? before : undefined;
      const id = typeof put.spec.id === 'string' ? put.spec.id : deriveId(tx.workspace.name, put.kind, put.name);
      if (before && before.id !== id && before.publishedRevision !== null) faults.push(idChanged(put, before.id, id));
      const fields = alive ? difference(alive.spec, put.spec) : [];
      const change = alive ? (fields.length > 0 || alive.id !== id ? 'changed' : 'unchanged') : 'created';
      changes.set(keyOf(put), {
        kind: put.kind,
        name: put.name,
        change,
        revision: alive?.revision ?? 0,
        fields: fields.slice(0, 200),
      });
      if (change === 'unchanged') continue;
      const state = alive ? alive.state : stateOf(before);
      written.push({
        put,
        before: alive,
        write: {
          kind: put.kind,
          name: put.name,
          id,
          spec: put.spec,
          state,
          action: change,
          references: referencesOf(put.kind, put.spec),
        },
      });
    }
    faults.push(
      ...(await this.takenIds(
        tx,
        written
          .filter(({ before, write }) => before?.id !== write.id)
          .map(({ write, put }) => ({ ...write, pointer: put.pointer })),
      )),
    );
    faults.push(
      ...(await this.dangling(
        tx,
        edit,
        written.map(({ put }) => put),
      )),
    );
    if (faults.length > 0) throw invalidDefinitions(faults);
    await this.refuseReferenced(tx, edit);
    const gone = deletes
      .map((ref) => heads.get(keyOf(ref)))
      .filter((head) => head !== undefined && head.state !== 'deleted') as Head[];
    const marked = gone
      .filter((head) => head.inForceRevision !== null)
      .map(
        ({ kind, name, id, spec }): HeadWrite => ({
          kind,
          name,
          id,
          spec,
          state: 'deleted',
          action: 'deleted',
          references: [],
        }),
      );
    const stored = await tx.putHeads([...written.map(({ write }) => write), ...marked]);
    await removeHeads(
      tx,
      gone.filter((head) => head.inForceRevision === null),
    );
    for (const head of gone)
      changes.set(keyOf(head), {
        kind: head.kind,
        name: head.name,
        change: 'deleted',
        revision: head.revision,
        fields: [],
      });
    for (const head of stored) {
      const change = changes.get(keyOf(head));
      if (change) change.revision = head.revision;
    }
    return {
      changes: [...changes.values()],
      audit: [...changes.values()].filter(({ change }) => change !== 'unchanged').map(auditOf),
    };
  }

  /** Heads that the edit wants in force. @throws Problem when it names one that does not exist. */
  private async wanted(tx: WorkspaceTransaction, edit: Edit): Promise<Head[]> {
    if (edit.publish === 'pending') return pendingHeads(tx.manager, tx.workspace.name);
    if (edit.publish === undefined) return [];
    if (edit.publish !== 'written') return existing(tx, edit.publish);
    return [...(await tx.heads([...(edit.puts ?? []), ...(edit.deletes ?? [])])).values()];
  }

  private async takenIds(
    tx: WorkspaceTransaction,
    writes: readonly (HeadWrite & { pointer: string })[],
  ): Promise<Fault[]> {
    if (writes.length === 0) return [];
    const taken: { kind: string; name: string; id: string }[] = await tx.manager.query(
      `select o.kind, o.name, o.id from object o where o.workspace = $1
         and (o.kind, o.id) in (select * from unnest($2::text[], $3::text[]))`,
      [tx.workspace.name, writes.map(({ kind }) => kind), writes.map(({ id }) => id)],
    );
    const owners = new Map(taken.map((row) => [`${row.kind}/${row.id}`, row.name]));
    return writes.flatMap(({ kind, name, id, pointer }) => {
      const owner = owners.get(`${kind}/${id}`);
      owners.set(`${kind}/${id}`, name);
      if (owner === undefined || owner === name) return [];
      const message = `The id "${id}" is already that of the ${kind} "${owner}".`;
      return [
        {
          code: 'duplicate-id',
          pointer: `${pointer}/id`,
          message,
          hint: 'Choose another id, or leave it out.',
          severity: 'error',
          object: { kind, name },
        } satisfies Fault,
      ];
    });
  }

  /** References of what is written to what will not be there. */
  private async dangling(tx: WorkspaceTransaction, edit: Edit, puts: readonly Put[]): Promise<Fault[]> {
    const deleted = new Set((edit.deletes ?? []).map(keyOf));
    const coming = new Set((edit.puts ?? []).map(keyOf));
    const outside = puts
      .filter((put) => put.kind !== 'app')
      .flatMap((put) => referencesOf(put.kind, put.spec))
      .filter((ref) => !coming.has(keyOf(ref)));
    const unique = [...new Map(outside.map((ref) => [keyOf(ref), ref])).values()];
    const heads = await tx.heads(unique);
    const exists = (key: string) =>
      coming.has(key) || (!deleted.has(key) && heads.get(key) !== undefined && heads.get(key)?.state !== 'deleted');
    // A grant may wait for its API; the compiler warns of it.
    return puts
      .filter((put) => put.kind !== 'app')
      .flatMap((put) => faultsOf(danglingReferences(put, referencesOf(put.kind, put.spec), exists), () => put.pointer));
  }

  private async refuseReferenced(tx: WorkspaceTransaction, edit: Edit): Promise<void> {
    const handled = new Set([...(edit.puts ?? []), ...(edit.deletes ?? [])].map(keyOf));
    const users = (await referrers(tx.manager, tx.workspace.name, edit.deletes ?? [])).filter(
      ({ user }) => !handled.has(keyOf(user)),
    );
    if (users.length === 0) return;
    throw new Problem(
      'still-referenced',
      `Still needed by: ${users
        .map(({ user }) => `${user.kind} "${user.name}"`)
        .slice(0, 10)
        .join(', ')}${users.length > 10 ? ' and others' : ''}. Nothing was changed.`,
      users.map(({ user, used }) => ({
        code: 'still-referenced',
        pointer: '',
        message: `The ${user.kind} "${user.name}" refers to the ${used.kind} "${used.name}".`,
        hint: `Change or delete the ${user.kind} first, or do both in one change set.`,
        object: { kind: user.kind, name: user.name },
      })),
    );
  }
}

async function existing(tx: WorkspaceTransaction, refs: readonly Ref[]): Promise<Head[]> {
  const heads = await tx.heads(refs);
  const missing = refs.filter((ref) => !heads.has(keyOf(ref)));
  if (missing.length > 0) throw notFound(missing.map(({ kind, name }) => `The ${kind} "${name}"`).join(', '));
  return [...heads.values()];
}

/** State of a head that is made anew: one whose deletion was never released is still in force. */
function stateOf(before: Head | undefined): Head['state'] {
  if (before === undefined || before.inForceRevision === null) return 'draft';
  return before.kind === 'api' ? 'online' : 'published';
}

function idChanged(put: Put, before: string, after: string): Fault {
  return {
    code: 'id-changed',
    pointer: `${put.pointer}/id`,
    message: `The id of the ${put.kind} "${put.name}" is "${before}" and has been in force; it cannot become "${after}".`,
    hint: `Logs and metrics know it by its id. Set "id": "${before}", or make a new ${put.kind} under another name.`,
    severity: 'error',
    object: { kind: put.kind, name: put.name },
  };
}

function auditOf({ kind, name, change, revision, fields }: ObjectChange): AuditEntry {
  return { action: change, ref: { kind, name }, revision, ...(fields.length > 0 ? { changes: fields } : {}) };
}
