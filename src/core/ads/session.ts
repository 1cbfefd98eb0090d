import { Agenda, type Held, type HoldReason, type Item } from './agenda.js';
import { Holdings, type Refusal, type Unanswered } from './holdings.js';
import { isServed, LATE_MS, mayRemove, mayUpsert, type StreamView, type Verdict } from './order.js';
import type { NodeQuarantine } from './quarantine.js';
import { type Resource, SECRET_TYPES, TYPE, type TypeUrl } from './resource.js';
import { Subscription, type SubscriptionChange } from './subscription.js';
import { helperScope, helperScopeName } from './synthetic.js';
import type { EffectiveChange, ResourceTable } from './table.js';

/** A response to write to the stream. */
export interface Outgoing {
  readonly type: TypeUrl;
  readonly nonce: string;
  /** State of the world: `version_info`. Empty in delta, where each resource has its own. */
  readonly version: string;
  readonly resources: readonly Resource[];
  readonly removed: readonly string[];
  /** What of `resources` is said anew; in a state-of-the-world response the rest repeats what the client has. */
  readonly news: readonly Resource[];
}

/** The client's answer to a response. */
export interface Settled {
  readonly kind: 'ack' | 'nack';
  readonly type: TypeUrl;
  readonly nonce: string;
  /** What the response said anew. */
  readonly resources: readonly Resource[];
  readonly removed: readonly string[];
  /** What the client says was wrong; with `nack`. */
  readonly error?: string;
}

/** Why the stream must end. */
export interface Ending {
  readonly code: 'INVALID_ARGUMENT' | 'PERMISSION_DENIED' | 'RESOURCE_EXHAUSTED';
  readonly message: string;
}

export interface RequestOutcome {
  readonly settled: readonly Settled[];
  readonly refusal?: Ending;
}

/** What a stream knows about one resource. */
export interface ResourceStatus {
  /** Version the table holds. */
  readonly desired?: string;
  /** Version sent last. */
  readonly sent?: string;
  /** Version in force at the client. */
  readonly acked?: string;
  readonly refused?: { readonly version: string; readonly error: string };
  readonly held?: HoldReason;
}

export interface SessionOptions {
  readonly table: ResourceTable;
  /** The client may have {@link SECRET_TYPES}. */
  readonly authorised: boolean;
  /**
   * The node had streams here before. If it then comes without `initial_resource_versions` (it had turned to a failover
   * server), it may hold what has been removed since, so it is told of removals too.
   */
  readonly knownNode: boolean;
  /** When the stream began, in ms. */
  readonly now: number;
  /** Whether another stream still needs a resource, as the routes of an Envoy need the policies of its edge. Default: no. */
  readonly usedElsewhere?: (type: string, name: string) => boolean;
  /** What the node refused on earlier streams. Default: nothing. */
  readonly quarantine?: NodeQuarantine;
}

/** Types whose first request is answered even if there is nothing to say, so that a client knows that it is in step. */
const ALWAYS_ANSWERED: ReadonlySet<string> = new Set([TYPE.policy, TYPE.app, TYPE.serviceKey]);
/** How long after its removal from the table a policy stays at edges: requests that name it may be on their way. */
const POLICY_LINGER_MS = 10_000;

/**
 * One ADS stream as a state machine without clock and network: requests and changes go in, `next` gives the responses one by
 * one. The caller asks for the next response when the stream can take it; until then only names pile up, so a client that
 * does not read gets the newest state in the end.
 */
export abstract class Session {
  protected readonly subscriptions = new Map<string, Subscription>();
  protected readonly agenda = new Agenda();
  protected readonly holdings: Holdings;
  /** Types that are owed a response, an empty one if need be. */
  protected readonly owed = new Set<TypeUrl>();
  /** Types of which the client came with nothing: it was started anew, and may take what it refused before. */
  protected readonly triedAgain = new Set<string>();
  protected readonly view: StreamView;
  readonly #helpers = new Map<string, Set<string>>();
  #nonce = 0;
  #late: Held[] = [];

  constructor(protected readonly options: SessionOptions) {
    this.holdings = new Holdings(
      (type, name) => this.#touch(type, name),
      (type, name) => {
        const entry = this.triedAgain.has(type) ? undefined : options.quarantine?.get(type, name);
        return entry && { version: entry.resource.version, error: entry.error };
      },
    );
    this.view = {
      table: options.table,
      holdings: this.holdings,
      connectedAt: options.now,
      covers: (type, name) => this.subscriptions.get(type)?.covers(name) ?? false,
      asked: (type) => this.subscriptions.has(type),
    };
  }

  /** The next response to write, or nothing for now. Marks it as sent. */
  abstract next(now: number): Outgoing | undefined;

  /** The table has changed. Costs what the change holds. */
  changed(change: EffectiveChange, now: number): void {
    for (const { type, name } of change.upserts) {
      this.#touch(type, name);
      if (this.view.covers(type, name)) this.agenda.add(type, name, 'upsert', now);
    }
    for (const { type, name } of change.removals) {
      this.#touch(type, name);
      if (this.view.covers(type, name) || this.holdings.has(type, name)) this.agenda.add(type, name, 'removal', now);
    }
    this.#retireHelpers(now);
  }

  /** Lets time pass: what was held until now is looked at again. Returns whether `next` may have something. */
  tick(now: number): boolean {
    return this.agenda.tick(now);
  }

  /** What is held back, and why. */
  held(): Held[] {
    return [...this.agenda.held()];
  }

  get heldCount(): number {
    return this.agenda.heldCount;
  }

  /** Names that are still to be said; 0 = the client was sent everything it should have. */
  get backlog(): number {
    return this.agenda.size;
  }

  /** Responses that wait for their answer. */
  get unanswered(): number {
    return this.holdings.unanswered;
  }

  /** Whether the client has asked for this type. */
  asks(type: string): boolean {
    return this.subscriptions.has(type);
  }

  /** Whether something the client has in force needs this resource. */
  uses(type: string, name: string): boolean {
    return this.holdings.used(type, name);
  }

  /** Items that have become late since the last call. */
  takeLate(): Held[] {
    const late = this.#late;
    this.#late = [];
    return late;
  }

  /** What the client refused, on this stream or before, and still lacks, by type and name. */
  refusals(): Refusal[] {
    return this.holdings.refusals(this.options.quarantine);
  }

  /** What the client has in force under a name, if its content is known. */
  good(type: string, name: string): Resource | undefined {
    const inForce = this.holdings.inForce(type, name);
    return inForce?.opaque ? undefined : inForce?.resource;
  }

  /** Whether the client has subscribed to this name. */
  covers(type: string, name: string): boolean {
    return this.subscriptions.get(type)?.covers(name) ?? false;
  }

  /** Names the client asked for one by one. */
  names(type: string): Iterable<string> {
    return this.subscriptions.get(type)?.names ?? [];
  }

  /** Version in force at the client, as far as its answers tell. */
  acked(type: string, name: string): string | undefined {
    return this.holdings.inForce(type, name)?.resource?.version;
  }

  /** Version the client refused and has not got past. */
  refused(type: string, name: string): { readonly version: string; readonly error: string } | undefined {
    return this.holdings.refused(type, name);
  }

  /** Where one resource stands on this stream. */
  status(type: string, name: string): ResourceStatus {
    const desired = this.options.table.get(type, name)?.version;
    const sent = this.holdings.latest(type, name)?.version;
    const acked = this.holdings.inForce(type, name)?.resource?.version;
    const refused = this.holdings.refused(type, name);
    const held = this.held().find(({ item }) => item.type === type && item.name === name)?.why;
    return {
      ...(desired !== undefined && { desired }),
      ...(sent !== undefined && { sent }),
      ...(acked !== undefined && { acked }),
      ...(refused && { refused }),
      ...(held && { held }),
    };
  }

  /** The subscription a request is about, made if it is the type's first; or why the request cannot be served. */
  protected open(type: string): { subscription: Subscription; type: TypeUrl; first: boolean } | Ending | undefined {
    if (type === '') {
      return {
        code: 'INVALID_ARGUMENT',
        message: 'type_url is empty; on an aggregated stream each request must name its type.',
      };
    }
    if (SECRET_TYPES.has(type) && !this.options.authorised) {
      return {
        code: 'PERMISSION_DENIED',
        message: `${type} holds secrets. Send the node token as "authorization: Bearer <token>" metadata to get it.`,
      };
    }
    if (!isServed(type)) return undefined;
    const existing = this.subscriptions.get(type);
    if (existing) return { subscription: existing, type, first: false };
    const subscription = new Subscription(type);
    this.subscriptions.set(type, subscription);
    return { subscription, type, first: true };
  }

  /** Forgets what the client no longer wants. */
  protected leave(type: TypeUrl, change: SubscriptionChange): void {
    const subscription = this.subscriptions.get(type);
    const gone = new Set(change.dropped);
    if (change.lostAll) for (const name of this.holdings.names(type)) if (!subscription?.covers(name)) gone.add(name);
    for (const name of gone) {
      this.agenda.done(type, name);
      this.holdings.forget(type, name);
    }
  }

  /** Puts all of a type on the agenda that the client does not have. */
  protected owe(type: TypeUrl, now: number): void {
    for (const resource of this.options.table.list(type)) {
      if (this.holdings.latest(type, resource.name)?.version !== resource.version)
        this.agenda.add(type, resource.name, 'upsert', now);
    }
  }

  protected alwaysAnswered(type: string): boolean {
    return ALWAYS_ANSWERED.has(type);
  }

  /** What a client should have under this name. */
  protected desired(type: TypeUrl, name: string): Resource | undefined {
    const inTable = this.options.table.get(type, name);
    if (inTable || type !== TYPE.scope) return inTable;
    for (const route of this.#helpers.keys()) if (helperScopeName(route) === name) return helperScope(route);
    return undefined;
  }

  /** Decides on an item: what to send; that the name is absent; or nothing, when it is settled or held. */
  protected decide(item: Item, now: number): Resource | 'absent' | undefined {
    const { type, name } = item;
    if (!this.view.covers(type, name)) return this.drop(item);
    let desired = this.desired(type, name);
    // That there is no such secret, Envoy would take for "go on without".
    if (!desired) return item.answer && type !== TYPE.secret ? 'absent' : this.drop(item);
    // After a refused batch nobody knows which of its content the client took: what was in force before may be gone.
    const asked = item.force || item.answer || this.holdings.inDoubt(type, name);
    if (!asked && this.holdings.latest(type, name)?.version === desired.version) return this.drop(item);
    if (this.holdings.refused(type, name)?.version === desired.version) {
      // Asked for again on the stream that refused it: the client means it.
      const meant = item.answer && this.holdings.refusedHere(type, name) !== undefined;
      desired = meant ? desired : this.#lastGood(item);
      if (!desired) return this.drop(item);
    }
    const verdict = mayUpsert(this.view, desired, item, now);
    if (verdict.kind === 'introduce') this.#introduce(verdict.on.name, name, now);
    return this.#held(item, 'upsert', verdict, now) ? undefined : desired;
  }

  /** What to say of a name whose content the client refused: what it has, when it asks; what it had, when it has nothing. */
  #lastGood({ type, name, force, answer }: Item): Resource | undefined {
    if (this.holdings.latest(type, name)) return force || answer ? this.good(type, name) : undefined;
    return this.options.quarantine?.get(type, name)?.good;
  }

  /** Whether an item may be removed at the client now; if not, it is held or settled. */
  protected decideRemoval(item: Item, now: number): boolean {
    const { type, name } = item;
    if (this.options.table.get(type, name)) {
      this.agenda.add(type, name, 'upsert', now);
      return false;
    }
    if (!this.view.covers(type, name) || (!item.answer && !this.holdings.mayHave(type, name))) {
      this.agenda.done(type, name);
      return false;
    }
    if (type === TYPE.policy) {
      const until = item.since + POLICY_LINGER_MS;
      const on = { type, name };
      if (now < until || this.options.usedElsewhere?.(type, name)) {
        this.agenda.hold(item, 'removal', on, 'in-use', now < until ? until : now + 1_000);
        return false;
      }
    }
    return !this.#held(item, 'removal', mayRemove(this.view, type, name, now), now);
  }

  protected drop(item: Item): undefined {
    this.agenda.done(item.type, item.name);
  }

  /** Makes a response and notes it as sent. `repeated`: what it holds besides the news. */
  protected say(type: TypeUrl, news: readonly Resource[], removed: readonly string[], now: number): { nonce: number } {
    const nonce = ++this.#nonce;
    this.holdings.sent({ nonce, type, resources: news, removed }, now);
    for (const { name } of news) this.agenda.done(type, name);
    for (const name of removed) this.agenda.done(type, name);
    this.owed.delete(type);
    if (type === TYPE.cluster) {
      // A changed cluster waits for its endpoints, and does not ask for names it is already subscribed to.
      for (const { name } of news) {
        if (this.view.covers(TYPE.endpoint, name) && this.options.table.get(TYPE.endpoint, name))
          this.agenda.add(TYPE.endpoint, name, 'upsert', now, { force: true });
      }
    }
    if (type === TYPE.scope) {
      // The helper has just made the client want the table, perhaps again: what it had before does not count.
      for (const [route] of this.#helpers) {
        if (news.some(({ name }) => name === helperScopeName(route)) && this.view.covers(TYPE.route, route))
          this.agenda.add(TYPE.route, route, 'upsert', now, { force: true });
      }
    }
    return { nonce };
  }

  /** Looks again at what an answer may have let go. */
  protected settled(type: TypeUrl, now: number): void {
    if (type === TYPE.scope) this.#retireHelpers(now);
  }

  protected report(kind: 'ack' | 'nack', response: Unanswered, error?: string): Settled {
    const { type, nonce, resources, removed } = response;
    return { kind, type, nonce: String(nonce), resources, removed, ...(error !== undefined && { error }) };
  }

  #held(item: Item, kind: 'upsert' | 'removal', verdict: Verdict, now: number): boolean {
    if (verdict.kind === 'go') return false;
    const why = verdict.kind === 'introduce' ? 'route' : verdict.why;
    const becomesLate = item.since + LATE_MS;
    const newlyLate = !item.late && now >= becomesLate;
    if (newlyLate) item.late = true;
    const until = item.late ? verdict.until : Math.min(verdict.until ?? Number.POSITIVE_INFINITY, becomesLate);
    this.agenda.hold(item, kind, verdict.on, why, until);
    if (newlyLate) this.#late.push({ item, kind, on: verdict.on, why, until });
    return true;
  }

  #introduce(route: string, scope: string, now: number): void {
    const users = this.#helpers.get(route);
    if (users) {
      users.add(scope);
      return;
    }
    this.#helpers.set(route, new Set([scope]));
    this.agenda.add(TYPE.scope, helperScopeName(route), 'upsert', now);
  }

  /** Takes back helper scopes that nobody waits for any more: the scope has moved, or is no longer to move there. */
  #retireHelpers(now: number): void {
    for (const [route, scopes] of this.#helpers) {
      for (const scope of scopes) {
        const points = (r: Resource | undefined) => r?.needs?.some((n) => n.type === TYPE.route && n.name === route);
        const moved = points(this.holdings.inForce(TYPE.scope, scope)?.resource);
        if (moved || !points(this.options.table.get(TYPE.scope, scope))) scopes.delete(scope);
      }
      if (scopes.size > 0) continue;
      this.#helpers.delete(route);
      this.agenda.add(TYPE.scope, helperScopeName(route), 'removal', now);
    }
  }

  #touch(type: string, name: string): void {
    this.agenda.touch(type, name);
    if (type === TYPE.endpoint) this.agenda.touch(TYPE.cluster, name);
    // What waits for a cluster may in truth wait for its secret.
    if (type === TYPE.secret) this.agenda.touchAll(TYPE.cluster);
  }
}
