import pg from 'pg';

/** The database cannot be asked right now. The message says what was tried and why it failed, without the password. */
export class StoreUnavailable extends Error {
  constructor(
    readonly where: string,
    readonly reason: string,
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

/** Why `error` means that the database is away, or undefined when it is an answer of a database that works. */
export function outage(error: unknown): string | undefined {
  const original = (error as { driverError?: unknown }).driverError ?? error;
  const code = (original as { code?: unknown }).code;
  const message = original instanceof Error ? original.message || String(code) : String(original);
  if (original instanceof AggregateError) return original.errors.map((e) => (e as Error).message).join('; ');
  // Connections, resources, operator intervention, system errors; and a server that became read-only (PostgreSQL, appendix A).
  if (original instanceof pg.DatabaseError)
    return /^(08|53|57|58|XX|25006)/.test(original.code ?? '') ? message : undefined;
  if (typeof code === 'string' && /^E[A-Z]+$/.test(code)) return message;
  if (/terminated|timeout|not queryable|Cannot use a pool|DataSource is not|already released/i.test(message))
    return message;
  return undefined;
}
