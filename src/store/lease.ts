import type { EntityManager } from 'typeorm';

/**
 * Takes, or goes on with, a piece of work that one replica does for all; returns whether it is this one's for the next `seconds`, by
 * the clock of the database. A replica that was killed, paused or cut off loses it by then.
 */
export async function holdLease(
  manager: EntityManager,
  name: string,
  holder: string,
  seconds: number,
): Promise<boolean> {
  const held: unknown[] = await manager.query(
    `insert into lease (name, holder, until) values ($1, $2, now() + make_interval(secs => $3))
     on conflict (name) do update set holder = excluded.holder, until = excluded.until
       where lease.holder = excluded.holder or lease.until < now()
     returning name`,
    [name, holder, seconds],
  );
  return held.length > 0;
}

/** Lets another replica have it at once. */
export async function dropLease(manager: EntityManager, name: string, holder: string): Promise<void> {
  await manager.query('delete from lease where name = $1 and holder = $2', [name, holder]);
}

/** Who does the work, as far as anyone does. */
export async function leaseHolder(manager: EntityManager, name: string): Promise<string | undefined> {
  const [row]: { holder: string }[] = await manager.query(
    'select holder from lease where name = $1 and until >= now()',
    [name],
  );
  return row?.holder;
}
