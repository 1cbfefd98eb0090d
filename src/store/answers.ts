import type { EntityManager } from 'typeorm';
import type { AnsweredAddress, Question } from '../core/ir/answer.js';
import { inTransaction } from './statement.js';
import type { WorkspaceTransaction } from './transaction.js';

/** What is known of one question to DNS. */
export interface AnswerRow extends Question {
  /** Of the last good answer; empty: there never was one. */
  readonly addresses: readonly AnsweredAddress[];
  /** How many more there were than are used. */
  readonly omitted: number;
  readonly changedAt: Date | null;
  /** Since when there is no good answer, and why; null: the last one was good. */
  readonly failingSince: Date | null;
  readonly failure: string | null;
}

export type NewAnswer = Pick<AnswerRow, 'type' | 'name' | 'addresses' | 'omitted'> & {
  /** Why it is not good, or not wholly; its addresses count all the same. */
  readonly failure: string | null;
};

const COLUMNS = `type, name, addresses, omitted, changed_at as "changedAt", failing_since as "failingSince", failure`;

/** What is known of these questions; never asked ones are left out. */
export function answersTo(
  manager: EntityManager,
  workspace: string,
  questions: readonly Question[],
): Promise<AnswerRow[]> {
  return manager.query(
    `select ${COLUMNS} from dns_answer where workspace = $1
       and (type, name) in (select * from unnest($2::text[], $3::text[])) order by type, name`,
    [workspace, questions.map(({ type }) => type), questions.map(({ name }) => name)],
  );
}

/** All questions of a workspace, for who begins to ask them. */
export function allAnswers(manager: EntityManager, workspace: string): Promise<AnswerRow[]> {
  return manager.query(`select ${COLUMNS} from dns_answer where workspace = $1 order by type, name`, [workspace]);
}

/** Names without a good answer, over all workspaces, the latest `limit` first. */
export function failingAnswers(
  manager: EntityManager,
  limit: number,
): Promise<(AnswerRow & { readonly workspace: string })[]> {
  return manager.query(
    `select workspace, ${COLUMNS} from dns_answer where failing_since is not null order by failing_since desc, workspace, type, name
     limit $1`,
    [limit],
  );
}

/**
 * Stores what DNS told and, where addresses changed, counts that with the workspace's credentials and tells the replicas at
 * commit. Empty addresses make an answer forgotten. Equal addresses change nothing at any node.
 */
export async function putAnswers(tx: WorkspaceTransaction, answers: readonly NewAnswer[]): Promise<void> {
  await inTransaction(tx.manager, PUT, [tx.workspace.name, JSON.stringify(answers)]);
}

/** Notes that a question has no good answer, or has one again; what was answered before stays. No lock: nodes see nothing of it. */
export async function noteFailure(
  manager: EntityManager,
  workspace: string,
  { type, name }: Question,
  failure: string | null,
): Promise<void> {
  await manager.query(
    `insert into dns_answer (workspace, type, name, addresses, omitted, revision, failing_since, failure)
     values ($1, $2, $3, '[]', 0, 0, case when $4::text is not null then now() end, $4)
     on conflict (workspace, type, name) do update set failure = excluded.failure,
       failing_since = case when excluded.failure is not null then coalesce(dns_answer.failing_since, now()) end`,
    [workspace, type, name, failure],
  );
}

/** The answers whose addresses changed after `since`. Cost: those. */
export function answersSince(
  manager: EntityManager,
  workspace: string,
  since: number,
): Promise<(Pick<AnswerRow, 'type' | 'name' | 'addresses'> & { readonly revision: number })[]> {
  return manager.query(
    'select type, name, addresses, revision from dns_answer where workspace = $1 and revision > $2 order by type, name',
    [workspace, since],
  );
}

const PUT = {
  name: 'put-answers',
  text: `
with given as (
  select * from jsonb_to_recordset($2::jsonb) as g(type text, name text, addresses jsonb, omitted integer, failure text)),
other as (
  select g.type, g.name from given g left join dns_answer a on a.workspace = $1 and a.type = g.type and a.name = g.name
  where coalesce(a.addresses, '[]') <> g.addresses),
counted as (
  update workspace set credentials_revision = credentials_revision + 1 where name = $1 and exists (select 1 from other)
  returning credentials_revision as revision),
noted as (
  insert into dns_answer as a (workspace, type, name, addresses, omitted, revision, changed_at, failing_since, failure)
  select $1, g.type, g.name, g.addresses, g.omitted, coalesce(c.revision, 0), case when o.name is not null then now() end,
    case when g.failure is not null then now() end, g.failure
  from given g left join other o using (type, name) left join counted c on o.name is not null
  on conflict (workspace, type, name) do update set addresses = excluded.addresses, omitted = excluded.omitted,
    revision = case when excluded.revision > 0 then excluded.revision else a.revision end,
    changed_at = coalesce(excluded.changed_at, a.changed_at), failure = excluded.failure,
    failing_since = case when excluded.failure is not null then coalesce(a.failing_since, now()) end)
select pg_notify('paifang_credential', json_build_object('workspace', $1::text, 'revision', revision)::text) from counted`,
};
