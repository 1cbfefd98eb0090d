import type pg from 'pg';
import type { EntityManager } from 'typeorm';
import type { Kind } from '../core/model/kind.js';
import { columnsOf, HEAD_COLUMNS, HEADS_OF, keyOf, type Ref } from './objects.js';
import { run, type Statement } from './statement.js';
import type { Head, ReleaseSummary, State, WorkspaceRow } from './tables.js';

/** Who changes something, for history and audit. */
export interface Actor {
  readonly name: string;
  readonly requestId: string;
}

/** A head as it shall be; revision and times are set by the store. */
export interface HeadWrite {
  readonly kind: Kind;
  readonly name: string;
  readonly id: string;
  readonly spec: Record<string, unknown>;
  readonly state: State;
  /** What the spec names; every ref must be the name of a head in the same workspace for deletions to be judged. */
  readonly references: readonly Ref[];
  /** Word for the history: created, changed, deleted, rolled back. */
  readonly action: string;
}

export interface AuditEntry {
  readonly action: string;
  readonly ref?: Ref;
  readonly revision?: number;
  readonly release?: number;
  readonly message?: string;
  /** What changed, field by field; never a secret. Entries larger than 32 KiB keep only their size. */
  readonly changes?: unknown;
}

/** What goes into a release, beside its removals. */
export interface Publication extends Ref {
  readonly id: string;
  readonly revision: number;
  readonly spec: Record<string, unknown>;
}

const LARGEST_AUDIT_CHANGES = 32 * 1024;

/** Writes of one workspace under its lock: no other write of the workspace runs meanwhile, on any replica. */
export class WorkspaceTransaction {
  /** Objects written so far. */
  rows = 0;
  /** When the release was found good and its writing began, by the monotonic clock; undefined without a release. */
  releasedAt: number | undefined;
  /** Heads by key as they are now. Under the lock nobody else changes them, so each is asked for once. */
  readonly #heads = new Map<string, Head | undefined>();
  /** Statements on their way. Each takes effect after those sent before it; what fails, fails the commit. */
  readonly #sent: Promise<unknown>[] = [];

  constructor(
    /** For reads that must see what this transaction wrote. */
    readonly manager: EntityManager,
    readonly workspace: Readonly<WorkspaceRow>,
    readonly actor: Actor,
    readonly now: Date,
    private readonly connection: pg.ClientBase,
  ) {}

  /** Resolves when everything sent so far is done. @throws what the first statement that failed did. */
  async settled(): Promise<void> {
    await Promise.all(this.#sent.splice(0));
  }

  /** Takes over what {@link HEADS_OF} told of `refs`, asked under the lock: what is not `found` does not exist. */
  learn(refs: readonly Ref[], found: readonly Head[]): void {
    for (const ref of refs) this.#heads.set(keyOf(ref), undefined);
    for (const head of found) this.#heads.set(keyOf(head), head);
  }

  /** Does not wait for the answer: the commit will. */
  #send(statement: Statement, values: readonly unknown[], done: (rows: Head[]) => void = () => {}): void {
    const sent = run<Head>(this.connection, statement, values).then(done);
    sent.catch(() => {});
    this.#sent.push(sent);
  }

  /** The heads of `refs` that exist, deleted ones too, by {@link keyOf}. Cost: those not asked for before. */
  async heads(refs: readonly Ref[]): Promise<Map<string, Head>> {
    const unknown = refs.filter((ref) => !this.#heads.has(keyOf(ref)));
    if (unknown.length > 0) {
      const { kinds, names } = columnsOf(unknown);
      this.learn(unknown, await run<Head>(this.connection, HEADS_OF, [this.workspace.name, kinds, names]));
    }
    await this.settled();
    const heads = new Map<string, Head>();
    for (const ref of refs) {
      const head = this.#heads.get(keyOf(ref));
      if (head) heads.set(keyOf(ref), head);
    }
    return heads;
  }

  /** The head as this transaction left it, if it had to do with it; also after the commit. */
  known(ref: Ref): Head | undefined {
    return this.#heads.get(keyOf(ref));
  }

  /**
   * Stores heads, each with the next revision of its object, with their history and references. Returns them as stored, in
   * the same order. One statement: a publication waits for few answers of the database.
   */
  async putHeads(writes: readonly HeadWrite[]): Promise<Head[]> {
    if (writes.length === 0) return [];
    this.rows += writes.length;
    const pairs = writes.flatMap(({ kind, name, state, references }) =>
      state === 'deleted' ? [] : references.map((to) => ({ kind, name, to_kind: to.kind, to_name: to.name })),
    );
    const stored = await run<Head>(this.connection, PUT_HEADS, [
      this.workspace.name,
      writes.map(({ kind }) => kind),
      this.now,
      this.actor.name,
      writes.map(({ name }) => name),
      writes.map(({ id }) => id),
      writes.map(({ spec }) => JSON.stringify(spec)),
      writes.map(({ state }) => state),
      writes.map(({ action }) => action),
      pairs.map(({ kind }) => kind),
      pairs.map(({ name }) => name),
      pairs.map(({ to_kind }) => to_kind),
      pairs.map(({ to_name }) => to_name),
    ]);
    for (const head of stored) this.#heads.set(keyOf(head), head);
    const byKey = new Map(stored.map((head) => [keyOf(head), head]));
    return writes.map((write) => byKey.get(keyOf(write)) as Head);
  }

  /**
   * Inserts the next release: `upserts` come into force, `removals` leave it, states of the heads follow. Tells replicas when
   * the transaction commits.
   */
  async release(
    upserts: readonly Publication[],
    removals: readonly Ref[],
    about: { message: string; rollbackOf?: number; groupReleases: Readonly<Record<string, number>> },
  ): Promise<number> {
    this.rows += upserts.length + removals.length;
    this.releasedAt = performance.now();
    const workspace = this.workspace.name;
    const number = this.workspace.release + 1;
    const named = (refs: readonly Ref[]) => refs.slice(0, 100).map(keyOf);
    const summary: ReleaseSummary = {
      published: upserts.length,
      removed: removals.length,
      objects: { published: named(upserts), removed: named(removals) },
    };
    const { kinds, names: all } = columnsOf([...upserts, ...removals]);
    const values = [
      workspace,
      number,
      kinds,
      this.actor.name,
      about.message,
      this.now,
      about.rollbackOf ?? null,
      JSON.stringify(summary),
      JSON.stringify(about.groupReleases),
      all,
      [...upserts.map(({ revision }) => revision), ...removals.map(() => null)],
      [...upserts.map(({ id }) => id), ...removals.map(() => null)],
      [...upserts.map(({ spec }) => JSON.stringify(spec)), ...removals.map(() => null)],
      JSON.stringify({ workspace, number }),
    ];
    this.#send(RELEASE, values, (standing) => {
      for (const head of standing) this.#heads.set(keyOf(head), head);
    });
    return number;
  }

  async audit(entries: readonly AuditEntry[]): Promise<void> {
    if (entries.length === 0) return;
    const rows = entries.map((entry) => ({
      action: entry.action,
      kind: entry.ref?.kind,
      name: entry.ref?.name,
      revision: entry.revision,
      release: entry.release,
      message: entry.message,
      changes: bounded(entry.changes),
    }));
    this.#send(AUDIT, [this.workspace.name, JSON.stringify(rows), this.now, this.actor.name, this.actor.requestId]);
  }

  /** Payloads hold names and numbers only: they are limited to 8,000 bytes. Delivered at commit, once. */
  notify(channel: 'paifang_release' | 'paifang_credential', payload: Record<string, unknown>): Promise<unknown> {
    return this.manager.query('select pg_notify($1, $2)', [channel, JSON.stringify(payload)]);
  }
}

function bounded(changes: unknown): unknown {
  if (changes === undefined) return undefined;
  const size = JSON.stringify(changes).length;
  return size <= LARGEST_AUDIT_CHANGES ? changes : { omitted: true, bytes: size };
}

// One statement each: a publication waits for few answers of the database. Prepared: planning them costs more than running.

/**
 * The history outlives objects, so that an object made again under an old name continues the old count. References that stay
 * are left alone: parts of one statement do not see each other, so none may be deleted and inserted again.
 */
const PUT_HEADS = {
  name: 'put-heads',
  text: `
with given as (select * from unnest($2::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[]) as w(kind, name, id, spec, state, action)),
   pairs as (select distinct * from unnest($10::text[], $11::text[], $12::text[], $13::text[]) as p(kind, name, to_kind, to_name)),
   written as (
     insert into object (workspace, kind, name, id, revision, spec, state, created_at, created_by, updated_at, updated_by)
     select $1, w.kind, w.name, w.id,
       1 + coalesce((select max(revision) from object_revision h where h.workspace = $1 and h.kind = w.kind and h.name = w.name), 0),
       w.spec::jsonb, w.state, $3, $4, $3, $4 from given w
     on conflict (workspace, kind, name) do update set id = excluded.id, revision = excluded.revision, spec = excluded.spec,
       state = excluded.state, updated_at = excluded.updated_at, updated_by = excluded.updated_by
     returning *),
   history as (
     insert into object_revision (workspace, kind, name, revision, action, spec, at, author)
     select $1, o.kind, o.name, o.revision, w.action, o.spec, $3, $4 from written o join given w using (kind, name)),
   cleared as (
     delete from object_reference r using given w
     where r.workspace = $1 and r.kind = w.kind and r.name = w.name
       and not exists (select 1 from pairs p where p.kind = r.kind and p.name = r.name and p.to_kind = r.to_kind and p.to_name = r.to_name)),
   referring as (
     insert into object_reference (workspace, kind, name, to_kind, to_name)
     select $1, kind, name, to_kind, to_name from pairs on conflict do nothing)
   select ${HEAD_COLUMNS} from written o`,
};

/** The versions that end go first: there is at most one in force of each object, and the index that says so is not deferred. */
const RELEASE = {
  name: 'release',
  text: `
with given as (select * from unnest($3::text[], $10::text[], $11::integer[], $12::text[], $13::text[]) as w(kind, name, revision, id, spec)),
ended as (
  update object_version v set to_release = $2 from given w
  where v.workspace = $1 and v.to_release is null and v.kind = w.kind and v.name = w.name
  returning 1),
begun as (
  insert into object_version (workspace, kind, name, id, revision, spec, from_release)
  select $1, kind, name, id, revision, spec::jsonb, $2 from given
  where revision is not null and (select count(*) from ended) >= 0),
made as (
  insert into release (workspace, number, author, message, created_at, rollback_of, summary)
  values ($1, $2, $4, $5, $6, $7, $8::jsonb)),
stamped as (
  insert into group_release (workspace, name, release) select $1, key, value::integer from jsonb_each_text($9::jsonb)
  on conflict (workspace, name) do update set release = excluded.release),
numbered as (update workspace set release = $2 where name = $1),
told as (select pg_notify('paifang_release', $14)),
standing as (
  update object o set in_force_revision = w.revision,
    in_force_release = case when w.revision is not null then $2::integer end,
    published_revision = coalesce(w.revision, o.published_revision),
    state = case when o.state = 'deleted' then o.state
      when w.revision is null then case when o.kind = 'api' then 'offline' else 'draft' end
      when o.kind = 'api' then 'online' else 'published' end
  from given w where o.workspace = $1 and o.kind = w.kind and o.name = w.name
  returning o.*)
select ${HEAD_COLUMNS} from standing o where (select count(*) from told) >= 0`,
};

const AUDIT = {
  name: 'audit',
  text: `
insert into audit (at, author, action, workspace, kind, name, revision, release, message, changes, request_id)
select $3, $4, action, $1, kind, name, revision, release, message, changes, $5
from jsonb_to_recordset($2::jsonb) as w(action text, kind text, name text, revision integer, release integer, message text, changes jsonb)`,
};
