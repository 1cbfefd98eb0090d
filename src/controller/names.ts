import type { AnsweredAddress, Question } from '../core/ir/answer.js';
import { questionKey, questionOfKey } from '../core/model/question.js';
import { MOST_ADDRESSES } from '../discovery/addresses.js';
import type { Dns, Found } from '../discovery/dns.js';
import { type Pace, pauseMs } from '../discovery/schedule.js';
import type { Log } from '../logger.js';
import {
  type AnswerRow,
  allAnswers,
  failingAnswers,
  type NewAnswer,
  noteFailure,
  putAnswers,
} from '../store/answers.js';
import { dropLease, holdLease, leaseHolder } from '../store/lease.js';
import type { Actor } from '../store/transaction.js';
import type { FirstAnswers } from './judgement.js';
import type { Live } from './live.js';

const LEASE = 'dns';
/** For how long a replica has the work; it says every second that it still does it. */
const LEASE_SECONDS = 3;
const RENEW_MS = 1000;
/** How often it is looked for names that are due. */
const LOOK_MS = 100;
/** Names nobody wants asked any more are remembered for so long: a rollback has their addresses at once. */
const FORGET_MS = 600_000;
/** How long a publication waits for the first answer to its names. */
const FIRST_ANSWER_MS = 2000;
/** Failing names that are listed. */
const MOST_LISTED = 100;
const ACTOR: Actor = { name: 'paifang', requestId: 'dns' };

/** A name that is asked for from time to time. */
interface Watched {
  readonly workspace: string;
  readonly question: Question;
  dueAt: number;
  asking: boolean;
  failures: number;
  /** What is stored of the last answer beside its addresses. */
  failure: string | null;
  omitted: number;
  unwantedSince?: number | undefined;
}

export interface NamesParts {
  readonly live: Live;
  readonly dns: Dns;
  readonly pace: Pace;
  /** Name of this controller among all. */
  readonly replica: string;
  readonly log: Log;
  /** How long what is no longer asked for is remembered. Default 10 min. */
  readonly forgetMs?: number | undefined;
}

export interface NamesState {
  /** Replica that asks for all; undefined: none does, as far as is known. */
  readonly holder: string | undefined;
  /** Names that clusters in force leave to the controller. */
  readonly names: number;
  /** Those without a good answer, the latest first, 100 at most. */
  readonly failing: readonly (AnswerRow & { readonly workspace: string })[];
}

/**
 * Asks DNS for the names that clusters in force leave to the controller. One replica does it for all, by a lease in the database;
 * what changes is stored and reaches every replica and Envoy as registered endpoints do. When DNS has no good answer, the last one
 * stays; when the database is away, all stays.
 */
export class Names implements FirstAnswers {
  readonly #watched = new Map<string, Watched>();
  /** What each workspace wanted asked at the last look: the compiler's own list, which is another one when it changes. */
  readonly #seen = new Map<string, readonly string[]>();
  /** Answers to be stored, by workspace. */
  readonly #writes = new Map<string, Map<string, NewAnswer>>();
  readonly #running = new Set<Promise<unknown>>();
  /** Until when, by the monotonic clock, this replica asks for all. */
  #heldUntil = 0;
  #holder: string | undefined;
  #failing: NamesState['failing'] = [];
  #renewing = false;
  #looking = false;
  #closed = false;
  readonly #timers: NodeJS.Timeout[];

  private constructor(
    private readonly live: Live,
    private readonly dns: Dns,
    private readonly pace: Pace,
    private readonly replica: string,
    private readonly log: Log,
    private readonly forgetMs: number,
  ) {
    this.#timers = [
      setInterval(() => this.#once('renewing', () => this.#renew()), RENEW_MS),
      setInterval(() => this.#once('looking', () => this.#look()), LOOK_MS),
    ];
    for (const timer of this.#timers) timer.unref();
  }

  static start(parts: NamesParts): Names {
    const { live, dns, pace, replica, log, forgetMs = FORGET_MS } = parts;
    const names = new Names(live, dns, pace, replica, log, forgetMs);
    names.#once('renewing', () => names.#renew());
    return names;
  }

  /** From memory; of other replicas' work as of a second ago. */
  state(): NamesState {
    const wanted = new Set([...this.#wanted()].map(({ workspace, question }) => keyOf(workspace, question)));
    const failing = this.#failing.filter((row) => wanted.has(keyOf(row.workspace, row)));
    return { holder: this.#holder, names: wanted.size, failing };
  }

  /** Asks once, so that a cluster that is published has its endpoints from the start. */
  async learn(workspace: string, questions: readonly Question[], keep: boolean): Promise<Map<string, string>> {
    const failed = new Map(questions.map((question) => [questionKey(question), 'DNS has not answered yet']));
    const good: NewAnswer[] = [];
    const asked = questions.map(async (question) => {
      const found = await this.dns.ask(question);
      if (found.kind === 'failed') failed.set(questionKey(question), found.reason);
      else {
        failed.delete(questionKey(question));
        good.push(answerOf(question, found, []));
      }
    });
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, FIRST_ANSWER_MS);
    });
    await Promise.race([Promise.all(asked), late]);
    clearTimeout(timer);
    const answers = good.splice(0);
    if (keep && answers.length > 0) await this.live.changeAtOnce(workspace, ACTOR, (tx) => putAnswers(tx, answers));
    return failed;
  }

  /** Resolves when nothing of it is under way any more, and another replica may go on at once. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const timer of this.#timers) clearInterval(timer);
    const held = this.#holds();
    this.#heldUntil = 0;
    await Promise.allSettled(this.#running);
    if (held) await this.live.store.read((manager) => dropLease(manager, LEASE, this.replica)).catch(() => {});
  }

  #holds(): boolean {
    return performance.now() < this.#heldUntil;
  }

  /** Runs `work` unless it still runs. */
  #once(what: 'renewing' | 'looking', work: () => Promise<void>): void {
    const busy = what === 'renewing' ? this.#renewing : this.#looking;
    if (busy || this.#closed) return;
    const mark = (value: boolean) => {
      if (what === 'renewing') this.#renewing = value;
      else this.#looking = value;
    };
    mark(true);
    this.#track(work().finally(() => mark(false)));
  }

  #track(work: Promise<unknown>): void {
    // Live tells of an outage of the database; all that is done here is tried again.
    const done = work.catch((error: unknown) => this.log.debug('names wait', { reason: String(error) }));
    this.#running.add(done);
    void done.finally(() => this.#running.delete(done));
  }

  *#wanted(): Iterable<{ workspace: string; question: Question }> {
    for (const { workspace } of this.live.states())
      for (const key of this.live.compiler(workspace)?.questions() ?? [])
        yield { workspace, question: questionOfKey(key) };
  }

  /** Takes or keeps the lease, as long as there is anything to ask. */
  async #renew(): Promise<void> {
    if (this.#wanted()[Symbol.iterator]().next().done && !this.#holds()) {
      this.#failing = [];
      return;
    }
    const began = performance.now();
    const before = this.#holds();
    await this.live.store.read(async (manager) => {
      const held = await holdLease(manager, LEASE, this.replica, LEASE_SECONDS);
      this.#heldUntil = held ? began + LEASE_SECONDS * 1000 : 0;
      this.#holder = held ? this.replica : await leaseHolder(manager, LEASE);
      this.#failing = await failingAnswers(manager, MOST_LISTED);
    });
    if (this.#holds() === before) return;
    this.#watched.clear();
    this.#seen.clear();
    if (!before) this.log.info('this controller asks DNS for all', { replica: this.replica });
  }

  /** Asks for what is due. What is wanted is looked through where it has changed. */
  async #look(): Promise<void> {
    if (!this.#holds()) return;
    const now = performance.now();
    for (const { workspace } of this.live.states()) {
      const questions = this.live.compiler(workspace)?.questions();
      const seen = this.#seen.get(workspace);
      if (!questions || seen === questions) continue;
      if (!seen) await this.#adopt(workspace);
      this.#want(workspace, questions.map(questionOfKey), now);
      this.#seen.set(workspace, questions);
    }
    for (const [key, watched] of this.#watched) {
      const { workspace, question, unwantedSince } = watched;
      if (watched.asking) continue;
      if (!this.live.compiler(workspace)) {
        this.#watched.delete(key);
        this.#seen.delete(workspace);
      } else if (unwantedSince === undefined) {
        if (watched.dueAt <= now) this.#track(this.#ask(watched));
      } else if (now - unwantedSince >= this.forgetMs) {
        this.#watched.delete(key);
        this.#store(workspace, { ...question, addresses: [], omitted: 0, failure: null });
      }
    }
  }

  #want(workspace: string, questions: readonly Question[], now: number): void {
    const wanted = new Set(questions.map((question) => keyOf(workspace, question)));
    for (const [key, watched] of this.#watched) {
      if (watched.workspace === workspace)
        watched.unwantedSince = wanted.has(key) ? undefined : (watched.unwantedSince ?? now);
    }
    for (const question of questions) {
      const key = keyOf(workspace, question);
      if (!this.#watched.has(key)) this.#watched.set(key, fresh(workspace, question, now));
    }
  }

  /** Goes on with what another replica knew of a workspace's names. */
  async #adopt(workspace: string): Promise<void> {
    const rows = await this.live.store.read((manager) => allAnswers(manager, workspace));
    const now = performance.now();
    for (const { type, name, failure, omitted, addresses } of rows) {
      if (addresses.length === 0 && failure === null) continue;
      const key = keyOf(workspace, { type, name });
      this.#watched.set(key, { ...fresh(workspace, { type, name }, now), failure, omitted });
    }
  }

  async #ask(watched: Watched): Promise<void> {
    watched.asking = true;
    try {
      const found = await this.dns.ask(watched.question);
      if (!this.#holds()) return;
      watched.failures = found.kind === 'failed' ? watched.failures + 1 : 0;
      const ttlSeconds = found.kind === 'found' ? found.ttlSeconds : undefined;
      const pause = pauseMs(this.pace, { ttlSeconds, failures: watched.failures }, Math.random());
      watched.dueAt = performance.now() + pause;
      await this.#take(watched, found);
    } finally {
      watched.asking = false;
    }
  }

  async #take(watched: Watched, found: Found): Promise<void> {
    const { workspace, question } = watched;
    const last = this.live.compiler(workspace)?.answer(question)?.addresses ?? [];
    if (found.kind === 'failed') return this.#note(watched, found.reason);
    const answer = answerOf(question, found, last);
    if (text(answer.addresses) === text(last) && answer.omitted === watched.omitted) {
      return this.#note(watched, answer.failure);
    }
    watched.omitted = answer.omitted;
    this.#tell(watched, answer.failure);
    this.log.info('a name leads elsewhere', { workspace, ...question, addresses: answer.addresses.length });
    this.#store(workspace, answer);
  }

  /** Stores what is wrong with the answer to a question, if that is another thing than before. */
  async #note(watched: Watched, failure: string | null): Promise<void> {
    if (watched.failure === failure) return;
    const { workspace, question } = watched;
    await this.live.store.read((manager) => noteFailure(manager, workspace, question, failure));
    this.#tell(watched, failure);
  }

  #tell(watched: Watched, failure: string | null): void {
    if (watched.failure === failure) return;
    watched.failure = failure;
    const about = { workspace: watched.workspace, ...watched.question };
    if (failure === null) this.log.info('a name has a good answer again', about);
    else this.log.warn('a name has no good answer; the last one stays', { ...about, reason: failure });
  }

  /** Stores an answer together with others of the workspace that came while the last ones were stored. */
  #store(workspace: string, answer: NewAnswer): void {
    const waiting = this.#writes.get(workspace);
    if (waiting) {
      waiting.set(questionKey(answer), answer);
      return;
    }
    const writes = new Map([[questionKey(answer), answer]]);
    this.#writes.set(workspace, writes);
    this.#track(this.#flush(workspace, writes));
  }

  async #flush(workspace: string, writes: Map<string, NewAnswer>): Promise<void> {
    try {
      while (writes.size > 0) {
        const answers = [...writes.values()];
        writes.clear();
        await this.live.changeAtOnce(workspace, ACTOR, async (tx) => {
          // Between question and write the work may have become another's.
          if ((await leaseHolder(tx.manager, LEASE)) === this.replica) await putAnswers(tx, answers);
        });
      }
    } finally {
      this.#writes.delete(workspace);
    }
  }
}

function fresh(workspace: string, question: Question, now: number): Watched {
  return { workspace, question, dueAt: now, asking: false, failures: 0, failure: null, omitted: 0 };
}

/** What is stored of `found`; targets that cannot be reached now keep the addresses of the `last` answer. */
function answerOf(question: Question, found: Found & { kind: 'found' }, last: readonly AnsweredAddress[]): NewAnswer {
  const { addresses, omitted, missing } = found;
  const gone = new Set(missing?.targets);
  const here = new Set(addresses.map(addressKey));
  const stale = last.filter((a) => a.target !== undefined && gone.has(a.target) && !here.has(addressKey(a)));
  const all = [...addresses, ...stale.slice(0, MOST_ADDRESSES - addresses.length)].sort(byAddress);
  return { ...question, addresses: stale.length > 0 ? all : addresses, omitted, failure: missing?.reason ?? null };
}

const byAddress = (a: AnsweredAddress, b: AnsweredAddress) => (addressKey(a) < addressKey(b) ? -1 : 1);
const addressKey = ({ host, port }: AnsweredAddress): string => `${host}\n${String(port ?? 0).padStart(5, '0')}`;
const keyOf = (workspace: string, question: Question): string => `${workspace}\n${questionKey(question)}`;

/** Equal texts for equal lists, whatever the order of fields in which the database returns them. */
function text(addresses: readonly AnsweredAddress[]): string {
  return JSON.stringify(addresses.map(({ host, port, weight, tier, target }) => [host, port, weight, tier, target]));
}
