import { type Resource, resource, TYPE, type TypeUrl } from '../../src/core/ads/resource.js';
import type { Outgoing } from '../../src/core/ads/session.js';
import { DeltaSession } from '../../src/core/ads/session-delta.js';
import { SotwSession } from '../../src/core/ads/session-sotw.js';
import type { EffectiveChange, ResourceTable } from '../../src/core/ads/table.js';

/** A resource whose content is `text`; content that begins with "bad" is refused by the model. */
export function made(
  type: TypeUrl,
  name: string,
  text: string,
  needs: { type: TypeUrl; name: string }[] = [],
): Resource {
  return resource(type, name, Buffer.from(text), needs);
}

export function isBad(r: Resource): boolean {
  return Buffer.from(r.bytes).toString().startsWith('bad');
}

interface Message {
  type: TypeUrl;
  nonce: string;
  subscribe: string[];
  unsubscribe: string[];
  names: string[];
  version: string;
  initial: Map<string, string>;
  error?: string;
}

interface Withheld {
  answer: Partial<Message>;
  warming: string[];
}

const WHOLE: ReadonlySet<TypeUrl> = new Set([TYPE.cluster, TYPE.listener, TYPE.scope]);

/**
 * An Envoy in so far as ADS is concerned: wildcard for clusters, listeners and scopes; follows clusters to endpoints and
 * scopes to route tables; refuses what is bad; and notices when something breaks before it is made. Messages travel in two
 * queues whose pace the test decides.
 */
export class EnvoyModel {
  readonly has = new Map<TypeUrl, Map<string, Resource>>();
  readonly faults: string[] = [];
  readonly toServer: Message[] = [];
  readonly toClient: Outgoing[] = [];
  session: DeltaSession | SotwSession;
  exchanged = 0;
  #hellos = 0;
  readonly #wants = new Map<TypeUrl, Set<string>>([
    [TYPE.endpoint, new Set()],
    [TYPE.route, new Set()],
  ]);
  readonly #nonces = new Map<TypeUrl, string>();
  /** Clusters that wait for their endpoints. */
  readonly #cold = new Set<string>();
  readonly #withheld: Withheld[] = [];
  /** Clusters of which something was refused: they may be missing rightly. */
  readonly #spoiled = new Set<string>();

  constructor(
    readonly table: ResourceTable,
    readonly variant: 'delta' | 'sotw',
    now: number,
    /** Make-before-break is watched; off once the test lets bounds in time expire. */
    public strict = true,
  ) {
    for (const type of [TYPE.cluster, TYPE.endpoint, TYPE.listener, TYPE.route, TYPE.scope])
      this.has.set(type, new Map());
    this.session = this.#open(now);
    this.#hello();
  }

  /** A new stream; `forgets`: as after a restart of the server. */
  reconnect(now: number, forgets: boolean): void {
    this.toServer.length = 0;
    this.toClient.length = 0;
    this.#withheld.length = 0;
    this.#nonces.clear();
    this.session = this.#open(now, forgets ? undefined : this.session);
    this.#hello();
  }

  wants(type: TypeUrl, name: string): boolean {
    return WHOLE.has(type) || (this.#wants.get(type)?.has(name) ?? false);
  }

  /** The server takes the oldest request. */
  deliverRequest(now: number): void {
    const message = this.toServer.shift();
    if (!message) return;
    this.exchanged++;
    const { type, nonce, error } = message;
    const common = { type, nonce, ...(error !== undefined && { error }) };
    const { subscribe, unsubscribe, names, version, initial } = message;
    if (this.session instanceof DeltaSession)
      this.session.request({ ...common, subscribe, unsubscribe, initialVersions: initial }, now);
    else this.session.request({ ...common, names, version }, now);
  }

  /** The server writes one response, if it has one. Returns whether it had. */
  write(now: number): boolean {
    const response = this.session.next(now);
    if (response) this.toClient.push(response);
    return response !== undefined;
  }

  changed(change: EffectiveChange, now: number): void {
    this.session.changed(change, now);
  }

  /** The client takes the oldest response and answers it. */
  deliverResponse(): void {
    const response = this.toClient.shift();
    if (!response) return;
    this.exchanged++;
    const { type, resources, removed } = response;
    const names = [...resources.map((r) => r.name), ...removed];
    if (new Set(names).size < names.length) this.faults.push(`a name twice in one response: ${names}`);
    if (resources.some((r) => r.type !== type)) this.faults.push('a resource of another type');
    if (this.variant === 'delta' && !WHOLE.has(type) && resources.length > 1) this.faults.push(`${type} in a batch`);
    const bad = resources.filter(isBad);
    for (const { name } of bad) if (type === TYPE.cluster || type === TYPE.endpoint) this.#spoiled.add(name);
    for (const r of resources) if (!isBad(r) && this.wants(type, r.name)) this.#apply(r);
    const gone = this.variant === 'delta' ? removed : WHOLE.has(type) ? this.#missing(type, resources) : [];
    for (const name of gone) this.#remove(type, name);
    if (type === TYPE.endpoint) for (const name of names) this.#cold.delete(name);
    this.#nonces.set(type, response.nonce);
    const answer = { nonce: response.nonce, ...(bad.length > 0 && { error: `bad: ${bad.map((r) => r.name)}` }) };
    if (type === TYPE.cluster) this.#withheld.push({ answer, warming: names.filter((name) => this.#cold.has(name)) });
    else this.#send(type, answer);
    this.#answerClusters();
  }

  /** Envoy's initial_fetch_timeout: clusters that got no endpoints are used without. */
  timeOut(): void {
    this.#cold.clear();
    this.#answerClusters();
  }

  /** The answer to clusters waits until all of the response are warm. */
  #answerClusters(): void {
    while (this.#withheld[0]?.warming.every((name) => !this.#cold.has(name))) {
      const { answer } = this.#withheld.shift() as Withheld;
      this.#send(TYPE.cluster, answer);
    }
  }

  #open(now: number, before?: DeltaSession | SotwSession) {
    const options = { table: this.table, authorised: false, knownNode: false, now };
    if (this.variant === 'delta') return new DeltaSession(options);
    return new SotwSession({ ...options, last: before instanceof SotwSession ? before.possessions() : undefined });
  }

  /** Envoy names its types in the order in which it first came to them; route tables and scopes in either. */
  #hello(): void {
    const last = this.#hellos++ % 2 === 0 ? [TYPE.scope, TYPE.route] : [TYPE.route, TYPE.scope];
    for (const type of [TYPE.cluster, TYPE.endpoint, TYPE.listener, ...last]) {
      const names = [...(this.#wants.get(type) ?? [])];
      if (!WHOLE.has(type) && names.length === 0) continue;
      const initial = new Map([...(this.has.get(type) ?? [])].map(([name, r]) => [name, r.version]));
      this.#send(type, { subscribe: names, initial });
    }
  }

  #send(type: TypeUrl, message: Partial<Message>): void {
    const names = [...(this.#wants.get(type) ?? [])];
    const nonce = this.variant === 'sotw' ? (this.#nonces.get(type) ?? '') : '';
    const version = (this.has.get(type)?.size ?? 0) > 0 ? 'some' : '';
    this.toServer.push({ type, nonce, subscribe: [], unsubscribe: [], names, version, initial: new Map(), ...message });
  }

  #apply(r: Resource): void {
    const { type, name } = r;
    const before = this.has.get(type)?.get(name);
    if (type === TYPE.route) this.#checkClusters(r);
    if (type === TYPE.scope) this.#checkScope(r, before);
    this.has.get(type)?.set(name, r);
    if (type === TYPE.cluster && before?.version !== r.version) this.#cold.add(name);
    if (type === TYPE.cluster) this.#want(TYPE.endpoint, [name], []);
    if (type === TYPE.scope) {
      const old = before?.needs?.map((n) => n.name) ?? [];
      const wanted = r.needs?.map((n) => n.name) ?? [];
      this.#want(
        TYPE.route,
        wanted,
        old.filter((route) => !wanted.includes(route) && !this.#scopesOf(route)),
      );
    }
  }

  #remove(type: TypeUrl, name: string): void {
    // What it never took, because it was bad, cannot be missed.
    if (type === TYPE.cluster && this.strict && this.has.get(type)?.has(name)) {
      for (const [route, r] of this.has.get(TYPE.route) ?? [])
        if (r.needs?.some((n) => n.name === name))
          this.faults.push(`cluster ${name} removed while route ${route} uses it`);
    }
    const before = this.has.get(type)?.get(name);
    if (type === TYPE.route || type === TYPE.endpoint) return; // ignored by Envoy
    this.has.get(type)?.delete(name);
    if (type === TYPE.cluster) {
      this.#cold.delete(name);
      this.#want(TYPE.endpoint, [], [name]);
    }
    for (const need of before?.needs ?? [])
      if (need.type === TYPE.route && !this.#scopesOf(need.name)) this.#want(TYPE.route, [], [need.name]);
  }

  #scopesOf(route: string): boolean {
    return [...(this.has.get(TYPE.scope)?.values() ?? [])].some((s) => s.needs?.some((n) => n.name === route));
  }

  #want(type: TypeUrl, add: readonly string[], drop: readonly string[]): void {
    const wants = this.#wants.get(type) ?? new Set();
    const subscribe = add.filter((name) => !wants.has(name));
    const unsubscribe = drop.filter((name) => wants.has(name));
    for (const name of subscribe) wants.add(name);
    for (const name of unsubscribe) {
      wants.delete(name);
      this.has.get(type)?.delete(name);
    }
    if (subscribe.length + unsubscribe.length > 0) this.#send(type, { subscribe, unsubscribe });
  }

  #missing(type: TypeUrl, resources: readonly Resource[]): string[] {
    const named = new Set(resources.map((r) => r.name));
    return [...(this.has.get(type)?.keys() ?? [])].filter((name) => !named.has(name));
  }

  /** A route table may come only when each cluster it uses, if there is one, is here with its endpoints. */
  #checkClusters(route: Resource): void {
    if (!this.strict) return;
    for (const { type, name } of route.needs ?? []) {
      const desired = this.table.get(type, name);
      if (!desired || this.#spoiled.has(name)) continue;
      if (!this.has.get(type)?.has(name)) this.faults.push(`route ${route.name} before cluster ${name}`);
      else if (this.#cold.has(name) && !this.has.get(TYPE.endpoint)?.has(name))
        this.faults.push(`route ${route.name} before endpoints of ${name}`);
    }
  }

  #checkScope(scope: Resource, before: Resource | undefined): void {
    // Where nothing served yet, nothing is lost.
    if (!this.strict || !before?.needs?.some((n) => this.has.get(TYPE.route)?.has(n.name))) return;
    for (const { name } of scope.needs ?? []) {
      if (this.table.get(TYPE.route, name) && !this.has.get(TYPE.route)?.has(name))
        this.faults.push(`scope ${scope.name} moved to ${name} before that was here`);
    }
  }
}
