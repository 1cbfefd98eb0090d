import type { Possession, Unanswered } from './holdings.js';
import { ORDER } from './order.js';
import { type Resource, TYPE, type TypeUrl } from './resource.js';
import { type Outgoing, type RequestOutcome, Session, type SessionOptions, type Settled } from './session.js';
import type { Subscription } from './subscription.js';

/** A decoded DiscoveryRequest, without its node. */
export interface SotwRequest {
  readonly type: string;
  readonly names: readonly string[];
  /** `version_info`; empty or absent: the client has accepted nothing of the type since it was started. */
  readonly version?: string;
  /** Nonce of the response this answers; empty = it answers none. */
  readonly nonce: string;
  /** Present = the response is refused, whatever version the request names. */
  readonly error?: string;
}

/** What a client may have, by type. */
export type Possessions = ReadonlyMap<string, readonly Possession[]>;

export interface SotwOptions extends SessionOptions {
  /** What the node had when its last stream ended. A request tells only that it has something. Default: that is not known. */
  readonly last?: Possessions | undefined;
}

/** Types that are remembered for a node that comes back: those whose names refer to others, or are missing from a whole. */
const REMEMBERED: readonly TypeUrl[] = [TYPE.cluster, TYPE.listener, TYPE.route, TYPE.scope];

/** Types whose responses say all there is: what is missing is removed. Of the others a response may hold any part. */
const WHOLE: ReadonlySet<string> = new Set([TYPE.cluster, TYPE.listener, TYPE.scope]);

/**
 * A stream of StreamAggregatedResources (state of the world). Listeners, clusters and scopes are told whole; of the other
 * types each response holds one resource, and an unknown or removed name is met with silence: the protocol has no word for it.
 */
export class SotwSession extends Session {
  readonly #last: Possessions | undefined;
  /** Names of which the client brought one of several contents, until a response has told it one. */
  readonly #unsure = new Map<TypeUrl, Set<string>>();
  readonly #lastNonce = new Map<string, string>();
  /** Names missing in stale requests. If the client wants them now, it dropped them in between and has nothing of them. */
  readonly #droppedMeanwhile = new Map<string, Set<string>>();
  /** Names that the client took, as a stale request tells, though no other has asked for them yet. */
  readonly #takenAhead = new Map<string, Set<string>>();

  constructor(options: SotwOptions) {
    super(options);
    this.#last = options.last;
  }

  /** What the client may have now, for its next stream. */
  possessions(): Possessions {
    const known = (type: TypeUrl) =>
      this.asks(type) ? this.holdings.possessions(type) : (this.#last?.get(type) ?? []);
    return new Map(REMEMBERED.map((type) => [type, known(type)]));
  }

  /** Takes a request. Call `next` afterwards. Unknown types are left unanswered. */
  request(request: SotwRequest, now: number): RequestOutcome {
    const opened = this.open(request.type);
    if (!opened) return { settled: [] };
    if ('code' in opened) return { settled: [], refusal: opened };
    const { subscription, type, first } = opened;
    const settled = this.#settle(subscription, request, now);
    // Names in the answer to an old response are old too: the client repeats them when it answers the newest.
    const stale = request.nonce !== '' && request.nonce !== (this.#lastNonce.get(type) ?? request.nonce);
    if (stale) {
      this.#noteDropped(subscription, request.names);
      return { settled };
    }
    const change = subscription.whole(request.names);
    const again = [...(this.#droppedMeanwhile.get(type) ?? [])].filter((name) => subscription.names.has(name));
    this.#droppedMeanwhile.delete(type);
    this.leave(type, change);
    for (const name of this.#takenAhead.get(type) ?? [])
      if (!subscription.covers(name)) this.holdings.forget(type, name);
    this.#takenAhead.delete(type);
    if (first && request.version) this.#bring(type, now);
    if (change.gainedAll) {
      this.owe(type, now);
      this.owed.add(type);
    }
    for (const name of [...change.asked, ...again]) this.agenda.add(type, name, 'upsert', now, { answer: true });
    if (change.asked.length > 0 && WHOLE.has(type)) this.owed.add(type);
    if (first && this.alwaysAnswered(type)) this.owed.add(type);
    if (first) this.agenda.touch(type, '');
    return { settled };
  }

  next(now: number): Outgoing | undefined {
    for (const type of ORDER) {
      const response = WHOLE.has(type) ? this.#whole(type, now) : this.#part(type, now);
      if (response) return response;
    }
    return undefined;
  }

  /** What the client has from its last stream goes on serving until what takes its place is there. */
  #bring(type: TypeUrl, now: number): void {
    const unsure = new Set<string>();
    for (const possession of this.#last?.get(type) ?? []) {
      const [{ name } = { name: '' }] = possession.contents;
      if (!this.view.covers(type, name)) continue;
      this.holdings.mayHaveBrought(possession);
      const sure = possession.has && possession.contents.length === 1;
      if (!sure && WHOLE.has(type)) unsure.add(name);
      if (!this.desired(type, name)) this.agenda.add(type, name, 'removal', now);
      else if (!sure) this.agenda.add(type, name, 'upsert', now, { force: true });
    }
    if (unsure.size > 0) this.#unsure.set(type, unsure);
  }

  #noteDropped(subscription: Subscription, names: readonly string[]): void {
    const wanted = new Set(names);
    const missing = [...subscription.names].filter((name) => !wanted.has(name));
    if (missing.length === 0) return;
    for (const name of missing) {
      noted(this.#droppedMeanwhile, subscription.type).add(name);
      this.holdings.forget(subscription.type, name);
    }
  }

  #settle(subscription: Subscription, request: SotwRequest, now: number): Settled[] {
    const { type } = subscription;
    const response = request.nonce === '' ? undefined : this.holdings.take(Number(request.nonce));
    if (response?.type !== type) return [];
    const settled: Settled[] = [];
    // The first request with a nonce names what the client wanted as it took the response, also when that is old by now.
    const named = new Set(request.names);
    const wanted = (name: string) => named.has(name) || (subscription.wildcard && subscription.covers(name));
    if (request.error === undefined) {
      // A client that fell behind answers only the newest response, which stands for all before it.
      for (const earlier of this.holdings.earlier(type, response.nonce)) {
        this.holdings.take(earlier.nonce);
        this.holdings.accept(earlier, wanted);
        settled.push(this.report('ack', earlier));
      }
      this.holdings.accept(response, wanted);
      for (const { name } of response.resources)
        if (wanted(name) && !subscription.covers(name)) noted(this.#takenAhead, type).add(name);
    } else if (this.#isCulprit(response)) {
      this.holdings.refuse(response, request.error, true);
    }
    this.settled(type, now);
    settled.push(this.report(request.error === undefined ? 'ack' : 'nack', response, request.error));
    return settled;
  }

  /** Whether the one thing a response says anew must be what was refused, because the client took all the rest before. */
  #isCulprit({ type, nonce, resources, removed }: Unanswered): boolean {
    if (resources.length !== 1 || removed.length > 0) return false;
    if (!WHOLE.has(type)) return true;
    for (const name of this.holdings.names(type)) {
      const statement = this.holdings.statement(type, name);
      if (statement && !statement.acked && statement.nonce !== nonce) return false;
    }
    return true;
  }

  #whole(type: TypeUrl, now: number): Outgoing | undefined {
    const news: Resource[] = [];
    const removed: string[] = [];
    const moves = new Moves((name) => this.holdings.latest(type, name));
    for (const name of this.#unsure.get(type) ?? []) moves.mayJoin(this.holdings.latest(type, name));
    for (const item of this.agenda.upserts(type)) {
      const decision = this.decide(item, now);
      if (!decision) continue;
      if (decision !== 'absent') {
        if (!moves.takes(item.name, decision)) continue;
        news.push(decision);
      }
      this.agenda.done(type, item.name);
    }
    for (const item of this.agenda.removals(type)) {
      if (!this.decideRemoval(item, now) || !moves.takes(item.name, undefined)) continue;
      this.agenda.done(type, item.name);
      removed.push(item.name);
    }
    const owed = this.owed.has(type) && !this.agenda.mentions(type);
    if (news.length + removed.length === 0 && !owed && !this.#unsure.has(type)) return undefined;
    return this.#respond(type, news, removed, now);
  }

  #part(type: TypeUrl, now: number): Outgoing | undefined {
    for (const item of this.agenda.upserts(type)) {
      const decision = this.decide(item, now);
      if (decision === 'absent') this.agenda.done(type, item.name);
      else if (decision) return this.#respond(type, [decision], [], now);
    }
    for (const item of this.agenda.removals(type)) {
      if (this.decideRemoval(item, now)) this.agenda.done(type, item.name);
    }
    return this.owed.has(type) && !this.agenda.mentions(type) ? this.#respond(type, [], [], now) : undefined;
  }

  #respond(type: TypeUrl, said: readonly Resource[], removed: readonly string[], now: number): Outgoing {
    const unsure = this.#unsure.has(type) ? this.#repeatedUnsure(type, said, removed) : [];
    const news = [...said, ...unsure];
    const nonce = String(this.say(type, news, removed, now).nonce);
    for (const { name } of unsure) this.agenda.add(type, name, this.desired(type, name) ? 'upsert' : 'removal', now);
    this.#lastNonce.set(type, nonce);
    return {
      type,
      nonce,
      version: this.options.table.version(type),
      resources: this.#content(type, news),
      removed: [],
      news,
    };
  }

  /** Where it is not sure what the client brought, the first response settles it, whatever comes next. */
  #repeatedUnsure(type: TypeUrl, said: readonly Resource[], removed: readonly string[]): Resource[] {
    const names = new Set([...(this.#unsure.get(type) ?? [])]);
    this.#unsure.delete(type);
    for (const { name } of said) names.delete(name);
    for (const name of removed) names.delete(name);
    return [...names].flatMap((name) => this.holdings.latest(type, name) ?? []);
  }

  /** What a response must hold for its news to arrive: all the client is to have, where absence means removal. */
  #content(type: TypeUrl, news: readonly Resource[]): readonly Resource[] {
    if (!WHOLE.has(type)) return news;
    const all: Resource[] = [];
    for (const name of this.holdings.names(type)) {
      const resource = this.holdings.latest(type, name);
      if (resource) all.push(resource);
    }
    return all;
  }
}

/**
 * What one response may change about who needs what: nothing may begin to need what another ceases to need in the same
 * response. A client that takes the second first would let go of it, and then wait for it to come anew.
 */
class Moves {
  readonly #left = new Set<string>();
  readonly #joined = new Set<string>();

  constructor(private readonly before: (name: string) => Resource | undefined) {}

  /** The response says it in any case, and it may be news to the client. */
  mayJoin(resource: Resource | undefined): void {
    for (const route of routesOf(resource)) this.#joined.add(route);
  }

  /** Takes a change into the response; false: it must wait for the next one. */
  takes(name: string, after: Resource | undefined): boolean {
    const [had, needs] = [routesOf(this.before(name)), routesOf(after)];
    const leaves = had.filter((route) => !needs.includes(route));
    const joins = needs.filter((route) => !had.includes(route));
    if (leaves.some((route) => this.#joined.has(route)) || joins.some((route) => this.#left.has(route))) return false;
    for (const route of leaves) this.#left.add(route);
    for (const route of joins) this.#joined.add(route);
    return true;
  }
}

function noted(map: Map<string, Set<string>>, type: string): Set<string> {
  const names = map.get(type) ?? new Set<string>();
  map.set(type, names);
  return names;
}

function routesOf(resource: Resource | undefined): string[] {
  return (resource?.needs ?? []).flatMap(({ type, name }) => (type === TYPE.route ? [name] : []));
}
