import type { Item } from './agenda.js';
import { ORDER } from './order.js';
import { type Resource, TYPE, type TypeUrl } from './resource.js';
import { type Outgoing, type RequestOutcome, Session, type Settled } from './session.js';
import { emptyRoute } from './synthetic.js';

/** A decoded DeltaDiscoveryRequest, without its node. */
export interface DeltaRequest {
  readonly type: string;
  readonly subscribe: readonly string[];
  readonly unsubscribe: readonly string[];
  /** Name to version; looked at in the first request of a type only. */
  readonly initialVersions: ReadonlyMap<string, string>;
  /** Nonce of the response this answers; empty = it answers none. */
  readonly nonce: string;
  /** Present = the response is refused. */
  readonly error?: string;
}

/**
 * Types that go many to a response. Of the others each response holds one, because Envoy drops a random part of a refused
 * response of route tables or endpoints: what is refused must be alone.
 */
const BATCHED: ReadonlySet<string> = new Set([TYPE.policy, TYPE.app, TYPE.serviceKey, TYPE.cluster, TYPE.listener]);
/** Size at which a batch is closed, in bytes; below the 4 MiB that gRPC clients take by default. */
const BATCH_BYTES = 3 << 20;

/** Names of a type that one stream may want; the largest proxies want some 60 000. */
const MOST_NAMES = 200_000;

const NO_BYTES = new Uint8Array();

/** A stream of DeltaAggregatedResources. */
export class DeltaSession extends Session {
  /** Types first asked for with `*` of which not all was said yet; an empty response will tell that it was. */
  readonly #begun = new Set<TypeUrl>();

  /** Takes a request. Call `next` afterwards. Unknown types are left unanswered. */
  request(request: DeltaRequest, now: number): RequestOutcome {
    const opened = this.open(request.type);
    if (!opened) return { settled: [] };
    if ('code' in opened) return { settled: [], refusal: opened };
    const { subscription, type, first } = opened;
    const settled = this.#settle(type, request, now);
    const change = subscription.delta(request.subscribe, request.unsubscribe);
    if (subscription.names.size > MOST_NAMES) {
      const message = `The stream wants more than ${MOST_NAMES} names of ${type}.`;
      return { settled, refusal: { code: 'RESOURCE_EXHAUSTED', message } };
    }
    this.leave(type, change);
    if (first && request.initialVersions.size === 0) this.triedAgain.add(type);
    if (first) this.#bring(type, request.initialVersions, now);
    if (change.gainedAll) {
      this.owe(type, now);
      if (!first || request.initialVersions.size === 0) this.owed.add(type);
      if (first && request.initialVersions.size === 0 && this.options.knownNode) this.#bury(type, now);
    }
    if (first && this.alwaysAnswered(type)) this.owed.add(type);
    if (first && request.subscribe.includes('*')) this.#begun.add(type);
    for (const name of change.asked) {
      if (first && request.initialVersions.has(name) && this.#inStep(type, name)) continue;
      // What the client holds and the table has lost may still be in use at the client: that is a removal.
      const gone = !this.desired(type, name) && this.holdings.has(type, name);
      this.agenda.add(type, name, gone ? 'removal' : 'upsert', now, { answer: true });
    }
    for (const name of change.restated) this.agenda.add(type, name, 'upsert', now, { answer: true });
    if (first) this.agenda.touch(type, '');
    return { settled };
  }

  next(now: number): Outgoing | undefined {
    for (const type of ORDER) {
      const response = this.#upserts(type, now);
      if (response) return response;
    }
    // Before removals: a client that is only told what is gone may still wait for its first answer.
    const unanswered = this.#settledOf(this.owed);
    if (unanswered) return this.#respond(unanswered, [], [], now);
    for (const type of ORDER.toReversed()) {
      const response = this.#removals(type, now);
      if (response) return response;
    }
    const complete = this.#settledOf(this.#begun);
    return complete && this.#respond(complete, [], [], now);
  }

  /** The first of `types` of which nothing is to be sent any more. */
  #settledOf(types: Iterable<TypeUrl>): TypeUrl | undefined {
    for (const type of types) if (!this.agenda.mentions(type)) return type;
    return undefined;
  }

  protected override desired(type: TypeUrl, name: string): Resource | undefined {
    const desired = super.desired(type, name);
    if (desired || type !== TYPE.route) return desired;
    return this.subscriptions.get(type)?.names.has(name) ? emptyRoute(name) : undefined;
  }

  #settle(type: TypeUrl, request: DeltaRequest, now: number): Settled[] {
    const response = request.nonce === '' ? undefined : this.holdings.take(Number(request.nonce));
    if (response?.type !== type) return [];
    if (request.error === undefined) {
      this.holdings.accept(response, (name) => this.view.covers(type, name));
    } else {
      const single = response.resources.length === 1 && response.removed.length === 0;
      this.holdings.refuse(response, request.error, single);
      // It has nothing of this name: what it had before it was started anew will do.
      for (const { name } of single ? response.resources : []) {
        const had = this.holdings.latest(type, name) ? undefined : this.options.quarantine?.get(type, name)?.good;
        if (had) this.agenda.add(type, name, 'upsert', now, { force: true });
      }
      // Which of a batch is bad only shows when each is alone.
      if (!single) {
        for (const { name } of response.resources) {
          if (this.desired(type, name)) this.agenda.add(type, name, 'upsert', now, { force: true, alone: true });
          else this.agenda.add(type, name, 'removal', now);
        }
      }
    }
    this.settled(type, now);
    return [this.report(request.error === undefined ? 'ack' : 'nack', response, request.error)];
  }

  /** Whether a name the client brought may be passed over in silence. */
  #inStep(type: TypeUrl, name: string): boolean {
    // Its cluster was changed on this stream before the client came to ask for endpoints: it waits for them.
    if (type === TYPE.endpoint && (this.holdings.statement(TYPE.cluster, name)?.nonce ?? 0) > 0) return false;
    return this.holdings.latest(type, name)?.version === this.desired(type, name)?.version;
  }

  /** What the client holds from an earlier stream. */
  #bring(type: TypeUrl, versions: ReadonlyMap<string, string>, now: number): void {
    for (const [name, version] of versions) {
      if (!this.view.covers(type, name)) continue;
      const desired = this.desired(type, name);
      const same = desired?.version === version;
      this.holdings.brought(same && desired ? desired : { type, name, version, bytes: NO_BYTES }, !same);
      if (same) continue;
      // An unknown route table is answered with an empty one; as a removal it waits for the scopes that may use it.
      this.agenda.add(type, name, this.options.table.get(type, name) ? 'upsert' : 'removal', now);
    }
  }

  /** Tells a node that may hold them of the names removed lately. */
  #bury(type: TypeUrl, now: number): void {
    for (const name of this.options.table.tombstones(type))
      this.agenda.add(type, name, 'removal', now, { answer: true });
  }

  #upserts(type: TypeUrl, now: number): Outgoing | undefined {
    const news: Resource[] = [];
    const absent: string[] = [];
    let bytes = 0;
    let byEndpoints: boolean | undefined;
    for (const item of this.agenda.upserts(type)) {
      const decision = this.decide(item, now);
      if (!decision) continue;
      if (decision === 'absent') {
        absent.push(item.name);
        this.agenda.done(type, item.name);
        continue;
      }
      if (item.alone) {
        if (news.length === 0) return this.#respond(type, [decision], absent, now);
        continue;
      }
      if (type === TYPE.cluster) {
        // Apart from those that resolve names: the acknowledgement of a batch waits for its slowest.
        const own = this.options.table.get(TYPE.endpoint, item.name) !== undefined;
        byEndpoints ??= own;
        if (byEndpoints !== own) continue;
      }
      news.push(decision);
      bytes += decision.bytes.length;
      if (!BATCHED.has(type) || bytes >= BATCH_BYTES) break;
    }
    return news.length + absent.length > 0 ? this.#respond(type, news, absent, now) : undefined;
  }

  #removals(type: TypeUrl, now: number): Outgoing | undefined {
    const removed: string[] = [];
    let bytes = 0;
    for (const item of this.agenda.removals(type)) {
      if (!this.decideRemoval(item, now)) continue;
      const instead = this.#instead(item);
      if (instead) return this.#respond(type, [instead], [], now);
      removed.push(item.name);
      this.agenda.done(type, item.name);
      bytes += item.name.length;
      if (bytes >= BATCH_BYTES) break;
    }
    return removed.length > 0 ? this.#respond(type, [], removed, now) : undefined;
  }

  /** Envoy ignores the removal of a route table it uses; an empty one says what is meant. */
  #instead(item: Item): Resource | undefined {
    if (item.type !== TYPE.route) return undefined;
    return this.desired(item.type, item.name);
  }

  #respond(type: TypeUrl, resources: readonly Resource[], removed: readonly string[], now: number): Outgoing {
    if (resources.length + removed.length === 0) this.#begun.delete(type);
    const { nonce } = this.say(type, resources, removed, now);
    return { type, nonce: String(nonce), version: '', resources, removed, news: resources };
  }
}
