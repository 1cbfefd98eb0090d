import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import pg from 'pg';
import type { DataSource, EntityManager } from 'typeorm';
import type { Log } from '../logger.js';
import { type Connections, cut } from './connections.js';
import { checkKey, connect } from './database.js';
import type { MasterKey } from './master-key.js';
import { type Notice, Notifications } from './notifications.js';
import { columnsOf, HEADS_OF, type Page, type Ref } from './objects.js';
import { outage, StoreUnavailable, shown } from './outage.js';
import { connectionOf, run } from './statement.js';
import { Audit, type AuditRow, type Head, type WorkspaceRow, Workspaces } from './tables.js';
import { type Actor, WorkspaceTransaction } from './transaction.js';

export interface StoreOptions {
  /** postgres://user:password@host:port/name */
  readonly url: string;
  readonly masterKey: MasterKey;
  readonly log: Log;
}

/** Rows of one write after which the statistics of the tables are wrong. */
const MANY_ROWS = 500;

/**
 * Connects, brings the tables up to date (replicas that start together do it one after the other) and checks that the master
 * key is the one the stored secrets were made with.
 *
 * @throws StoreUnavailable when PostgreSQL cannot be reached; Error that says what to do when the key is another one.
 */
export async function openStore(options: StoreOptions): Promise<Store> {
  const { source, connections } = await connect(options.url, options.log, (connected) =>
    checkKey(connected, options.masterKey),
  );
  return new Store(source, connections, options.masterKey, options.url, shown(options.url));
}

/**
 * Brings the tables of a database up to date, as every start of a controller does. Returns the names of the migrations that
 * were run, in order; none when there was nothing to do.
 *
 * @throws StoreUnavailable when PostgreSQL cannot be reached.
 */
export async function migrateStore(url: string, log: Log): Promise<string[]> {
  const { source, migrated } = await connect(url, log);
  await source.destroy();
  return migrated;
}

/**
 * Makes an admin token straight in the database, for those who lost theirs; returned this once. Controllers accept it within
 * their polling interval.
 *
 * @throws StoreUnavailable when PostgreSQL cannot be reached.
 */
export async function makeAdminToken(url: string, name: string, log: Log): Promise<string> {
  const { source } = await connect(url, log);
  try {
    return await insertToken(source.manager, name, freshToken());
  } finally {
    await source.destroy();
  }
}

function freshToken(): string {
  return `pf_${randomBytes(32).toString('base64url')}`;
}

async function insertToken(manager: EntityManager, name: string, token: string): Promise<string> {
  await manager.query('insert into admin_token (hash, name) values ($1, $2) on conflict (hash) do nothing', [
    hashOf(token),
    name,
  ]);
  return token;
}

/** Definitions, releases, secrets and audit in PostgreSQL. Reads go through {@link read}, changes through {@link write}. */
export class Store {
  #notifications: Notifications | undefined;

  constructor(
    private readonly source: DataSource,
    private readonly connections: Connections,
    readonly masterKey: MasterKey,
    private readonly url: string,
    /** Where the database is, without the password. */
    readonly where: string,
  ) {}

  /** @throws StoreUnavailable when the database is away; what `work` throws. */
  async read<T>(work: (manager: EntityManager) => Promise<T>): Promise<T> {
    return this.reached(() => work(this.source.manager));
  }

  /** Like {@link read}, with all of `work` seeing the same state. */
  async snapshot<T>(work: (manager: EntityManager) => Promise<T>): Promise<T> {
    return this.reached(() => this.source.transaction('REPEATABLE READ', work));
  }

  /**
   * Runs `work` under the lock of `workspace` and commits, unless `keep` says of its result that nothing is to be kept. All
   * or nothing: what `work` throws undoes everything. Undefined when there is no such workspace. `expected` are objects whose
   * heads `work` will ask for; they come together with the lock.
   *
   * @throws StoreUnavailable when the database is away; it tells whether the commit was sent by then.
   */
  async write<T>(
    workspace: string,
    actor: Actor,
    work: (tx: WorkspaceTransaction) => Promise<T>,
    keep: (result: T) => boolean = () => true,
    expected: readonly Ref[] = [],
  ): Promise<{ result: T } | undefined> {
    let committing = false;
    const attempt = async () => {
      const runner = this.source.createQueryRunner();
      const connection = await connectionOf(runner.manager);
      let open = true;
      try {
        const lock = locked(connection, workspace);
        const { kinds, names } = columnsOf(expected);
        const heads = expected.length > 0 ? run<Head>(connection, HEADS_OF, [workspace, kinds, names]) : undefined;
        heads?.catch(() => {}); // told by the lock, or below
        const row = await lock;
        if (row === undefined) {
          await connection.query('rollback');
          return undefined;
        }
        const tx = new WorkspaceTransaction(runner.manager, row, actor, new Date(), connection);
        if (heads) tx.learn(expected, await heads);
        const result = await work(tx);
        if (!keep(result)) {
          await tx.settled();
          await connection.query('rollback');
          return { result };
        }
        committing = true;
        await commit(connection, tx);
        open = false;
        // Without it, every look-up goes by statistics of the small tables there were, until autovacuum comes by.
        if (tx.rows >= MANY_ROWS)
          await runner.query('analyze object, object_version, object_reference, object_revision').catch(() => {});
        return { result };
      } catch (error) {
        const reason = outage(error);
        // A server that does not answer would not answer that either.
        if (reason !== undefined) cut(connection, reason);
        else if (open) await connection.query('rollback').catch(() => {});
        throw error;
      } finally {
        await runner.release();
      }
    };
    return this.reached(attempt, () => (committing ? 'unknown' : 'nothing'));
  }

  /** False when there is one of that name. */
  async createWorkspace(name: string, description: string | null, actor: Actor): Promise<boolean> {
    return this.reached(() =>
      this.source.transaction(async (manager) => {
        const made: unknown[] = await manager.query(
          'insert into workspace (name, description, created_by) values ($1, $2, $3) on conflict (name) do nothing returning name',
          [name, description, actor.name],
        );
        if (made.length === 0) return false;
        const row = await manager.findOneByOrFail(Workspaces, { name });
        const tx = new WorkspaceTransaction(manager, row, actor, new Date(), await connectionOf(manager));
        await tx.audit([{ action: 'workspace created' }]);
        await tx.notify('paifang_release', { workspace: name, number: 0 });
        await tx.settled();
        return true;
      }),
    );
  }

  /** Deletes a workspace that holds no object; its releases and history go with it, its audit stays. */
  async deleteWorkspace(name: string, actor: Actor): Promise<'deleted' | 'missing' | 'not empty'> {
    const outcome = await this.write(name, actor, async (tx) => {
      const [{ count }]: [{ count: number }] = await tx.manager.query(
        'select count(*)::integer as count from object where workspace = $1',
        [name],
      );
      if (count > 0) return 'not empty' as const;
      await tx.audit([{ action: 'workspace deleted' }]);
      for (const table of ['release_receipt', 'release_timeline', 'node'])
        await tx.manager.query(`delete from ${table} where workspace = $1`, [name]);
      await tx.manager.query('delete from workspace where name = $1', [name]);
      await tx.notify('paifang_release', { workspace: name, number: 0 });
      return 'deleted' as const;
    });
    return outcome?.result ?? 'missing';
  }

  workspaces(): Promise<WorkspaceRow[]> {
    return this.read((manager) => manager.find(Workspaces, { order: { name: 'ASC' } }));
  }

  findWorkspace(name: string): Promise<WorkspaceRow | null> {
    return this.read((manager) => manager.findOneBy(Workspaces, { name }));
  }

  /** Audit entries, newest first; `before` is an id. Text filters compare whole values. */
  async auditOf(
    filter: {
      workspace: string;
      author?: string;
      action?: string;
      kind?: string;
      name?: string;
      requestId?: string;
      from?: Date;
      to?: Date;
    },
    limit: number,
    before?: string,
  ): Promise<Page<AuditRow>> {
    return this.read(async (manager) => {
      const { from, to, ...equal } = filter;
      const query = manager.createQueryBuilder(Audit, 'a').where('true');
      for (const [column, value] of Object.entries(equal)) {
        if (value !== undefined) query.andWhere(`a.${column} = :${column}`, { [column]: value });
      }
      if (from) query.andWhere('a.at >= :from', { from });
      if (to) query.andWhere('a.at < :to', { to });
      const total = await query.getCount();
      if (before !== undefined) query.andWhere('a.id < :before', { before });
      const items = await query
        .orderBy('a.id', 'DESC')
        .limit(limit + 1)
        .getMany();
      const more = items.length > limit;
      if (more) items.pop();
      const last = items.at(-1);
      return more && last ? { items, total, next: last.id } : { items, total };
    });
  }

  /** Makes an admin token and stores its hash; the token itself is returned this once. */
  addAdminToken(name: string, token = freshToken()): Promise<string> {
    return this.read((manager) => insertToken(manager, name, token));
  }

  /** Makes the first admin token if there is none yet, once over all replicas. */
  async firstAdminToken(): Promise<string | undefined> {
    const token = freshToken();
    const made: unknown[] = await this.reached(() =>
      this.source.transaction(async (manager) => {
        await manager.query('lock table admin_token in exclusive mode');
        return manager.query(
          `insert into admin_token (hash, name) select $1, 'admin' where not exists (select 1 from admin_token) returning name`,
          [hashOf(token)],
        );
      }),
    );
    return made.length > 0 ? token : undefined;
  }

  adminTokens(): Promise<{ hash: Buffer; name: string }[]> {
    return this.read((manager) => manager.query('select hash, name from admin_token order by created_at, name'));
  }

  /** @throws StoreUnavailable when the database does not answer. */
  async ping(): Promise<void> {
    await this.read((manager) => manager.query('select 1'));
  }

  /** Tells of commits of all replicas until the returned listener is closed. */
  listen(onNotice: (notice: Notice) => void): Notifications {
    const onSilent = (reason: string) => this.connections.cutAll(reason);
    this.#notifications = new Notifications({ url: this.url, onNotice, onSilent });
    this.#notifications.start();
    return this.#notifications;
  }

  /** Why the database seems to be away, from memory; known only while somebody listens. */
  get fault(): string | undefined {
    return this.#notifications?.fault;
  }

  async close(): Promise<void> {
    if (this.source.isInitialized) await this.source.destroy();
  }

  /** While the database is known to be away nothing is begun: each would wait in vain, and all that queue behind it too. */
  private async reached<T>(
    work: () => Promise<T>,
    stored: () => StoreUnavailable['stored'] = () => 'unknown',
  ): Promise<T> {
    const away = await this.#notifications?.tried();
    if (away !== undefined) throw new StoreUnavailable(this.where, away, stored());
    try {
      return await work();
    } catch (error) {
      if (error instanceof StoreUnavailable) throw error;
      const reason = outage(error);
      throw reason === undefined ? error : new StoreUnavailable(this.where, this.fault ?? reason, stored());
    }
  }
}

/** SHA-256 is enough for tokens of 256 random bits: there is nothing to guess. */
export function hashOf(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}

/** Which of `tokens` is `token`; takes as long for a wrong one as for a right one. */
export function tokenName(tokens: readonly { hash: Buffer; name: string }[], token: string): string | undefined {
  const hash = hashOf(token);
  let found: string | undefined;
  for (const row of tokens) if (row.hash.length === hash.length && timingSafeEqual(row.hash, hash)) found = row.name;
  return found;
}

/** Begins a transaction and locks the workspace in it, in one exchange; undefined when there is none of that name. */
async function locked(connection: pg.ClientBase, workspace: string): Promise<WorkspaceRow | undefined> {
  // Statements that come together take no parameters. The lock comes alone: what reads must begin after it is had.
  const results = (await connection.query(
    `begin; select name, description, release, credentials_revision as "credentialsRevision", created_at as "createdAt",
       created_by as "createdBy" from workspace where name = ${pg.escapeLiteral(workspace)} for update`,
  )) as unknown as pg.QueryResult<WorkspaceRow>[];
  return results[1]?.rows[0];
}

/** Sent behind what is still on its way: of a transaction in which a statement failed, a commit is a rollback. */
async function commit(connection: pg.ClientBase, tx: WorkspaceTransaction): Promise<void> {
  const done = connection.query('commit');
  done.catch(() => {});
  await tx.settled();
  if ((await done).command !== 'COMMIT') throw new Error('a statement of the transaction had failed unnoticed');
}
