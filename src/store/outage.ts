import pg from 'pg';
import { TypeORMError } from 'typeorm';

/** The database cannot be asked right now. The message says what was tried and why it failed, without the password. */
export class StoreUnavailable extends Error {
  constructor(
    readonly where: string,
    readonly reason: string,
    /** What became of a change that was asked for: surely nothing, or nobody knows. */
    readonly stored: 'nothing' | 'unknown' = 'unknown',
  ) {
    super(`PostgreSQL at ${where} cannot be used: ${reason}`);
    this.name = 'StoreUnavailable';
  }
}

/** `url` as it may be shown: the password is left out. */
export function shown(url: string): string {
  try {
    const { username, host, pathname } = new URL(url);
    return `${username ? `${username}@` : ''}${host || 'localhost'}${pathname}`;
  } catch {
    return 'the database URL (it is not a URL: postgres://user:password@host:port/name is expected)';
  }
}

/** Why `error` means that the database is away, or undefined when it is an answer of a database that works, or none of its. */
export function outage(error: unknown): string | undefined {
  const original = (error as { driverError?: unknown }).driverError ?? error;
  if (original instanceof AggregateError) return original.errors.map((e) => (e as Error).message).join('; ');
  // Connections, resources, operator intervention, system errors (PostgreSQL, appendix A); and a server that became read-only.
  if (original instanceof pg.DatabaseError) {
    return /^(08|53|57|58|25006)/.test(original.code ?? '') ? original.message : undefined;
  }
  if (!(original instanceof Error)) return undefined;
  const { code, message } = original as { code?: unknown; message: string };
  if (typeof code === 'string' && /^E[A-Z]+$/.test(code)) return message || code;
  // What is left has no class of its own in pg. An error of ours does, whatever its text happens to say.
  if (!(original instanceof TypeORMError) && original.name !== 'Error') return undefined;
  return /terminated|timeout|not queryable|Cannot use a pool|DataSource is not|not connected|already released/i.test(
    message,
  )
    ? message
    : undefined;
}
