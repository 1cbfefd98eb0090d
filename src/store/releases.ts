import type { EntityManager } from 'typeorm';
import type { Kind } from '../core/model/kind.js';
import type { Page } from './objects.js';
import { type ReleaseRow, Releases } from './tables.js';

/** A version of an object, valid in releases `fromRelease <= N < toRelease`. */
export interface Version {
  readonly kind: Kind;
  readonly name: string;
  readonly id: string;
  readonly revision: number;
  readonly spec: Record<string, unknown>;
  readonly fromRelease: number;
  readonly toRelease: number | null;
}

/** What one release changed. */
export interface ReleaseChange {
  readonly number: number;
  readonly upserts: Version[];
  readonly removals: { kind: Kind; name: string }[];
}

const VERSION = `kind, name, id, revision, spec, from_release as "fromRelease", to_release as "toRelease"`;

/** Every version valid in release `number`, in the order of kind and name. Cost: what is valid then. */
export function versionsAt(manager: EntityManager, workspace: string, number: number): Promise<Version[]> {
  return manager.query(
    `select ${VERSION} from object_version
     where workspace = $1 and from_release <= $2 and (to_release is null or to_release > $2) order by kind, name`,
    [workspace, number],
  );
}

/** What each release after `after` up to `upTo` changed, oldest first. Cost: what they changed. */
export async function changesBetween(
  manager: EntityManager,
  workspace: string,
  after: number,
  upTo: number,
): Promise<ReleaseChange[]> {
  const rows: Version[] = await manager.query(
    `select ${VERSION} from object_version where workspace = $1 and from_release > $2 and from_release <= $3
     union
     select ${VERSION} from object_version where workspace = $1 and to_release > $2 and to_release <= $3
     order by kind, name`,
    [workspace, after, upTo],
  );
  const changes: ReleaseChange[] = [];
  for (let number = after + 1; number <= upTo; number++) {
    const upserts = rows.filter((row) => row.fromRelease === number);
    const renewed = new Set(upserts.map((row) => `${row.kind}/${row.name}`));
    const removals = rows.filter((row) => row.toRelease === number && !renewed.has(`${row.kind}/${row.name}`));
    changes.push({ number, upserts, removals: removals.map(({ kind, name }) => ({ kind, name })) });
  }
  return changes;
}

/** For each object that differs between releases `a` and `b`: its version in either. Cost: what changed in between. */
export async function differing(
  manager: EntityManager,
  workspace: string,
  a: number,
  b: number,
): Promise<{ kind: Kind; name: string; a?: Version; b?: Version }[]> {
  const [low, high] = a < b ? [a, b] : [b, a];
  const rows: Version[] = await manager.query(
    `with touched as (
       select distinct kind, name from object_version
       where workspace = $1 and ((from_release > $2 and from_release <= $3) or (to_release > $2 and to_release <= $3)))
     select ${VERSION} from object_version v join touched using (kind, name)
     where workspace = $1 and ((from_release <= $2 and (to_release is null or to_release > $2))
                            or (from_release <= $3 and (to_release is null or to_release > $3)))
     order by kind, name`,
    [workspace, low, high],
  );
  const found = new Map<string, { kind: Kind; name: string; a?: Version; b?: Version }>();
  const holds = (row: Version, number: number) =>
    row.fromRelease <= number && (row.toRelease === null || row.toRelease > number);
  for (const row of rows) {
    const key = `${row.kind}/${row.name}`;
    const entry = found.get(key) ?? { kind: row.kind, name: row.name };
    if (holds(row, a)) entry.a = row;
    if (holds(row, b)) entry.b = row;
    found.set(key, entry);
  }
  return [...found.values()].filter((entry) => entry.a !== entry.b);
}

/** Release in which each group's output last changed. */
export async function groupReleases(manager: EntityManager, workspace: string): Promise<Record<string, number>> {
  const rows: { name: string; release: number }[] = await manager.query(
    'select name, release from group_release where workspace = $1',
    [workspace],
  );
  return Object.fromEntries(rows.map((row) => [row.name, row.release]));
}

export function findRelease(manager: EntityManager, workspace: string, number: number): Promise<ReleaseRow | null> {
  return manager.findOneBy(Releases, { workspace, number });
}

/** Releases, newest first; `before` is the `next` of the page before. */
export async function listReleases(
  manager: EntityManager,
  workspace: string,
  limit: number,
  before?: number,
): Promise<Page<ReleaseRow>> {
  const query = manager.createQueryBuilder(Releases, 'r').where('r.workspace = :workspace', { workspace });
  const total = await query.getCount();
  if (before !== undefined) query.andWhere('r.number < :before', { before });
  const items = await query
    .orderBy('r.number', 'DESC')
    .limit(limit + 1)
    .getMany();
  const more = items.length > limit;
  if (more) items.pop();
  const last = items.at(-1);
  return more && last ? { items, total, next: String(last.number) } : { items, total };
}
