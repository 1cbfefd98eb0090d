import type { EntityManager } from 'typeorm';
import type { Kind } from '../core/model/kind.js';
import { type Head, Heads, type RevisionRow, Revisions, type State } from './tables.js';

/** An object by name, in a workspace that is told beside it. */
export interface Ref {
  readonly kind: Kind;
  readonly name: string;
}

export interface HeadFilter {
  readonly kind?: Kind;
  readonly state?: State;
  /** Beginning of the name. */
  readonly prefix?: string;
  /** Only objects that refer to each of these. */
  readonly refersTo?: readonly Ref[];
  /** Text in name, id, description, path or hosts; without case. */
  readonly text?: string;
  /** Only objects whose head is not what is in force. */
  readonly pending?: boolean;
}

export interface Page<T> {
  readonly items: T[];
  /** How many there are in all pages. */
  readonly total: number;
  /** Where the next page begins; undefined on the last. */
  readonly next?: string;
}

/** Key of an object in maps; kinds hold no slash. */
export function keyOf(ref: Ref): string {
  return `${ref.kind}/${ref.name}`;
}

/**
 * Refs as two parameters for `unnest(kinds::text[], names::text[])`. Arrays, since the planner sees how long they are: it takes
 * a set made from JSON for 100 rows, and then reads the whole table to find one.
 */
export function columnsOf(refs: readonly Ref[]): { kinds: string[]; names: string[] } {
  return { kinds: refs.map(({ kind }) => kind), names: refs.map(({ name }) => name) };
}

/** Columns of `object o` as a {@link Head}. */
export const HEAD_COLUMNS = `o.workspace, o.kind, o.name, o.id, o.revision, o.spec, o.state, o.in_force_revision as "inForceRevision",
  o.in_force_release as "inForceRelease", o.published_revision as "publishedRevision", o.created_at as "createdAt",
  o.created_by as "createdBy", o.updated_at as "updatedAt", o.updated_by as "updatedBy"`;

/** Heads by workspace and {@link columnsOf}. Cost: the number of refs. */
export const HEADS_OF = {
  name: 'heads-of',
  text: `select ${HEAD_COLUMNS} from object o where o.workspace = $1 and (o.kind, o.name) in (select * from unnest($2::text[], $3::text[]))`,
};

/** The head with this name, or else with this id; undefined when there is none or it is deleted. */
export async function findHead(
  manager: EntityManager,
  workspace: string,
  kind: Kind,
  nameOrId: string,
): Promise<Head | undefined> {
  const found = await manager
    .createQueryBuilder(Heads, 'o')
    .where("o.workspace = :workspace and o.kind = :kind and o.state <> 'deleted'", { workspace, kind })
    .andWhere('(o.name = :nameOrId or o.id = :nameOrId)', { nameOrId })
    .getMany();
  return found.find((head) => head.name === nameOrId) ?? found[0];
}

/** A page of heads in the order of kind and name. `after` is the `next` of the page before. Deleted ones only when asked for. */
export async function listHeads(
  manager: EntityManager,
  workspace: string,
  filter: HeadFilter,
  limit: number,
  after?: string,
): Promise<Page<Head>> {
  const query = manager.createQueryBuilder(Heads, 'o').where('o.workspace = :workspace', { workspace });
  if (filter.kind) query.andWhere('o.kind = :kind', { kind: filter.kind });
  if (filter.state) query.andWhere('o.state = :state', { state: filter.state });
  else query.andWhere("o.state <> 'deleted'");
  if (filter.prefix) query.andWhere('o.name like :prefix', { prefix: `${literally(filter.prefix)}%` });
  if (filter.pending) query.andWhere("o.in_force_revision is distinct from o.revision and o.state <> 'offline'");
  for (const [i, to] of (filter.refersTo ?? []).entries()) {
    query.andWhere(
      `exists (select 1 from object_reference r where r.workspace = o.workspace and r.kind = o.kind and r.name = o.name
        and r.to_kind = :toKind${i} and r.to_name = :toName${i})`,
      { [`toKind${i}`]: to.kind, [`toName${i}`]: to.name },
    );
  }
  if (filter.text) {
    query.andWhere(
      `concat_ws(' ', o.name, o.id, o.spec->>'description', o.spec->'match'->>'path', o.spec->>'hosts') ilike :text`,
      { text: `%${literally(filter.text)}%` },
    );
  }
  const total = await query.getCount();
  if (after !== undefined) query.andWhere('o.name > :after', { after });
  const items = await query
    .orderBy('o.name')
    .limit(limit + 1)
    .getMany();
  const more = items.length > limit;
  if (more) items.pop();
  const last = items.at(-1);
  return more && last ? { items, total, next: last.name } : { items, total };
}

/** Every head of the workspace, without deleted ones; for dumps and for pruning. */
export function allHeads(manager: EntityManager, workspace: string): Promise<Head[]> {
  return manager
    .createQueryBuilder(Heads, 'o')
    .where("o.workspace = :workspace and o.state <> 'deleted'", { workspace })
    .orderBy('o.kind')
    .addOrderBy('o.name')
    .getMany();
}

/** Heads that differ from what is in force and would go with a release of everything: drafts, edits, deletions. */
export function pendingHeads(manager: EntityManager, workspace: string): Promise<Head[]> {
  return manager
    .createQueryBuilder(Heads, 'o')
    .where('o.workspace = :workspace and o.in_force_revision is distinct from o.revision', { workspace })
    .andWhere("o.state <> 'offline'")
    .getMany();
}

/** Who refers to any of `refs`, as pairs of user and used; at most `limit`. */
export async function referrers(
  manager: EntityManager,
  workspace: string,
  refs: readonly Ref[],
  limit = 50,
): Promise<{ user: Ref; used: Ref }[]> {
  if (refs.length === 0) return [];
  const { kinds, names } = columnsOf(refs);
  const rows: { kind: Kind; name: string; to_kind: Kind; to_name: string }[] = await manager.query(
    `select r.kind, r.name, r.to_kind, r.to_name from object_reference r
     where r.workspace = $1
       and (r.to_kind, r.to_name) in (select * from unnest($2::text[], $3::text[]))
     order by 1, 2 limit $4`,
    [workspace, kinds, names, limit],
  );
  return rows.map((row) => ({
    user: { kind: row.kind, name: row.name },
    used: { kind: row.to_kind, name: row.to_name },
  }));
}

/** Revisions of an object, newest first; `before` is a revision number. */
export async function listRevisions(
  manager: EntityManager,
  workspace: string,
  ref: Ref,
  limit: number,
  before?: number,
): Promise<Page<RevisionRow>> {
  const query = manager
    .createQueryBuilder(Revisions, 'r')
    .where('r.workspace = :workspace and r.kind = :kind and r.name = :name', { workspace, ...ref });
  const total = await query.getCount();
  if (before !== undefined) query.andWhere('r.revision < :before', { before });
  const items = await query
    .orderBy('r.revision', 'DESC')
    .limit(limit + 1)
    .getMany();
  const more = items.length > limit;
  if (more) items.pop();
  const last = items.at(-1);
  return more && last ? { items, total, next: String(last.revision) } : { items, total };
}

/** `text` for use in a LIKE pattern, where it stands for itself. */
function literally(text: string): string {
  return text.replace(/[\\%_]/g, '\\$&');
}
