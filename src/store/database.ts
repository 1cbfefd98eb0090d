import 'reflect-metadata';
import { DataSource } from 'typeorm';
import type { Log } from '../logger.js';
import { Connections } from './connections.js';
import type { MasterKey } from './master-key.js';
import { MIGRATIONS } from './migrations.js';
import { outage, StoreUnavailable, shown } from './outage.js';
import { TABLES } from './tables.js';

/** Longest a statement may take; a database that hangs then counts as gone. */
const STATEMENT_LIMIT_MS = 30_000;
/** Longest wait for another write of the same workspace. */
const LOCK_LIMIT_MS = 10_000;

/**
 * Connects, brings the tables up to date and runs `check`. `migrated`: names of the migrations that were run.
 * @throws StoreUnavailable when PostgreSQL cannot be reached; what `check` throws.
 */
export async function connect(
  url: string,
  log: Log,
  check: (source: DataSource) => Promise<void> = async () => {},
): Promise<{ source: DataSource; connections: Connections; migrated: string[] }> {
  const connections = new Connections();
  const source = new DataSource({
    type: 'postgres',
    url: url,
    entities: TABLES,
    migrations: MIGRATIONS,
    migrationsTableName: 'schema_migration',
    migrationsTransactionMode: 'each',
    synchronize: false,
    logging: false,
    applicationName: 'paifang',
    connectTimeoutMS: 5000,
    poolSize: 10,
    poolErrorHandler: (error: Error) => log.debug('an idle database connection ended', { reason: error.message }),
    extra: {
      statement_timeout: STATEMENT_LIMIT_MS,
      query_timeout: STATEMENT_LIMIT_MS + 1000,
      lock_timeout: LOCK_LIMIT_MS,
      idle_in_transaction_session_timeout: 60_000,
      keepAlive: true,
      // What is asked without waiting for the answer before goes out at once: a publication takes three exchanges.
      pipeline: true,
      onConnect: connections.add,
    },
  });
  try {
    await source.initialize();
    const migrated = await migrate(source);
    await check(source);
    return { source, connections, migrated };
  } catch (error) {
    if (source.isInitialized) await source.destroy().catch(() => {});
    const reason = outage(error) ?? refusal(error);
    throw reason === undefined ? error : new StoreUnavailable(shown(url), reason);
  }
}

async function migrate(source: DataSource): Promise<string[]> {
  const lock = source.createQueryRunner();
  await lock.connect();
  try {
    await lock.query('select pg_advisory_lock($1)', [MIGRATION_LOCK]);
    return (await source.runMigrations()).map(({ name }) => name);
  } finally {
    await lock.query('select pg_advisory_unlock($1)', [MIGRATION_LOCK]).catch(() => {});
    await lock.release();
  }
}
/** Any number that nothing else in the database locks; these are the letters "paif". */
const MIGRATION_LOCK = 0x70616966;

/** @throws Error that says what to do when the stored secrets were made with another key. */
export async function checkKey(source: DataSource, key: MasterKey): Promise<void> {
  await source.query(`insert into setting (key, value) values ('master-key', $1) on conflict (key) do nothing`, [
    key.id,
  ]);
  const [row]: { value: string }[] = await source.query(`select value from setting where key = 'master-key'`);
  if (row?.value === key.id) return;
  throw new Error(
    `the master key is not the one this database's secrets were encrypted with (this key: ${key.id}, the database's: ${row?.value}). ` +
      'Give the right key by PAIFANG_MASTER_KEY or restore its file; without it the stored secrets cannot be read.',
  );
}

/** Answers of a database that works, but will not let us in: told like outages, for the remedy is the URL. */
function refusal(error: unknown): string | undefined {
  const { code, message } = ((error as { driverError?: unknown }).driverError ?? error) as {
    code?: string;
    message?: string;
  };
  return code !== undefined && /^(28|3D|42501)/.test(code) ? message : undefined;
}
