import type pg from 'pg';
import type { EntityManager } from 'typeorm';

/** A statement that each connection parses, and plans, once. */
export interface Statement {
  /** Unique among statements. */
  readonly name: string;
  readonly text: string;
}

/** The driver's connection of the transaction that `manager` belongs to. */
export async function connectionOf(manager: EntityManager): Promise<pg.ClientBase> {
  if (!manager.queryRunner) throw new Error('the entity manager belongs to no transaction');
  return (await manager.queryRunner.connect()) as pg.ClientBase;
}

/** Longer lists are planned for what they hold: a plan for any list takes them for short. */
const FEW = 100;

/** Runs a statement; returns its rows. */
export async function run<Row extends object>(
  connection: pg.ClientBase,
  statement: Statement,
  values: readonly unknown[],
): Promise<Row[]> {
  const few = !values.some((value) => Array.isArray(value) && value.length > FEW);
  const query = few ? { ...statement, values: [...values] } : { text: statement.text, values: [...values] };
  return (await connection.query<Row>(query)).rows;
}

/** Runs a statement in the transaction of `manager`; returns its rows. */
export async function inTransaction<Row extends object>(
  manager: EntityManager,
  statement: Statement,
  values: readonly unknown[],
): Promise<Row[]> {
  return run(await connectionOf(manager), statement, values);
}
