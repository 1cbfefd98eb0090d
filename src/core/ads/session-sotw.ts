import type { Unanswered } from './holdings.js';
import { ORDER } from './order.js';
import { type Resource, TYPE, type TypeUrl } from './resource.js';
import { type Outgoing, type RequestOutcome, Session, type Settled } from './session.js';
import type { Subscription } from './subscription.js';

/** A decoded DiscoveryRequest, without its node. */
export interface SotwRequest {
  readonly type: string;
  readonly names: readonly string[];
  /** Nonce of the response this answers; empty = it answers none. */
  readonly nonce: string;
  /** Present = the response is refused, whatever version the request names. */
  readonly error?: string;
}

/** Types whose responses say all there is: what is missing is removed. Of the others a response may hold any part. */
const WHOLE: ReadonlySet<string> = new Set([TYPE.cluster, TYPE.listener, TYPE.scope]);

/**
 * A stream of StreamAggregatedResources (state of the world). Listeners, clusters and scopes are told whole; of the other
 * types each response holds one resource, and an unknown or removed name is met with silence: the protocol has no word for it.
 */
export class SotwSession extends Session {
  readonly #lastNonce = new Map<string, string>();
  /** Names missing in stale requests. If the client wants them now, it dropped them in between and has nothing of them. */
  readonly #droppedMeanwhile = new Map<string, Set<string>>();

  /** Takes a request. Call `next` afterwards. Unknown types are left unanswered. */
  request(request: SotwRequest, now: number): RequestOutcome {
    const opened = this.open(request.type);
    if (!opened) return { settled: [] };
    if ('code' in opened) return { settled: [], refusal: opened };
    const { subscription, type, first } = opened;
    const settled = this.#settle(type, request, now);
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

  #noteDropped(subscription: Subscription, names: readonly string[]): void {
    const wanted = new Set(names);
    const missing = [...subscription.names].filter((name) => !wanted.has(name));
    if (missing.length === 0) return;
    const dropped = this.#droppedMeanwhile.get(subscription.type) ?? new Set<string>();
    this.#droppedMeanwhile.set(subscription.type, dropped);
    for (const name of missing) dropped.add(name);
  }

  #settle(type: TypeUrl, request: SotwRequest, now: number): Settled[] {
    const response = request.nonce === '' ? undefined : this.holdings.take(Number(request.nonce));
    if (response?.type !== type) return [];
    const settled: Settled[] = [];
    const wanted = (name: string) => this.view.covers(type, name);
    if (request.error === undefined) {
      // A client that fell behind answers only the newest response, which stands for all before it.
      for (const earlier of this.holdings.earlier(type, response.nonce)) {
        this.holdings.take(earlier.nonce);
        this.holdings.accept(earlier, wanted);
        settled.push(this.report('ack', earlier));
      }
      this.holdings.accept(response, wanted);
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
    for (const item of this.agenda.upserts(type)) {
      const decision = this.decide(item, now);
      if (!decision) continue;
      this.agenda.done(type, item.name);
      if (decision !== 'absent') news.push(decision);
    }
    for (const item of this.agenda.removals(type)) {
      if (!this.decideRemoval(item, now)) continue;
      this.agenda.done(type, item.name);
      removed.push(item.name);
    }
    const owed = this.owed.has(type) && !this.agenda.mentions(type);
    if (news.length + removed.length === 0 && !owed) return undefined;
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

  #respond(type: TypeUrl, news: readonly Resource[], removed: readonly string[], now: number): Outgoing {
    const nonce = String(this.say(type, news, removed, now).nonce);
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
