import { type Resource, TYPE, type TypeUrl } from '../../src/core/ads/resource.js';
import { ResourceTable } from '../../src/core/ads/table.js';
import { EnvoyModel, isBad, made } from './ads-envoy-model.js';

const NAMES = ['a', 'b', 'c', 'd'];

/** Changes and messages in an order that a tape of numbers decides. */
export class Run {
  readonly table = new ResourceTable();
  readonly client: EnvoyModel;
  now = 0;
  #i = 0;

  constructor(
    private readonly choices: readonly number[],
    variant: 'delta' | 'sotw',
    private readonly hostile: boolean,
    /** The server forgets with each stream what the client had; only what a client says itself is known then. */
    private readonly forgets = false,
  ) {
    this.client = new EnvoyModel(this.table, variant, 0, variant === 'delta' || !forgets);
  }

  get over(): boolean {
    return this.#i >= this.choices.length;
  }

  pick(n: number): number {
    return (this.choices[this.#i++] ?? 0) % n;
  }

  name(): string {
    return NAMES[this.pick(NAMES.length)] as string;
  }

  step(): void {
    this.now += this.pick(20);
    switch (this.pick(8)) {
      case 0:
      case 1:
        this.publish();
        return;
      case 2:
      case 3:
        this.client.write(this.now);
        return;
      case 4:
      case 5:
        this.client.deliverResponse();
        return;
      case 6:
        this.client.deliverRequest(this.now);
        return;
      default:
        if (this.hostile && this.pick(12) === 0) this.client.reconnect(this.now, this.forgets);
    }
  }

  /** One consistent change: what refers to something refers to what is there, as the compiler promises. */
  publish(): void {
    const upserts = new Map<string, Resource>();
    const removals = new Map<string, { type: TypeUrl; name: string }>();
    const put = (r: Resource) => upserts.set(`${r.type}/${r.name}`, r);
    const text = () => `${this.hostile && this.pick(6) === 0 ? 'bad' : 'good'} ${this.pick(5)}`;
    const cluster = (name: string) => {
      put(made(TYPE.cluster, name, text()));
      put(made(TYPE.endpoint, name, text()));
    };
    const route = (name: string) => {
      const uses = [this.name(), this.name()].map((used) => ({ type: TYPE.cluster, name: used }));
      for (const used of uses) if (!this.table.get(TYPE.cluster, used.name)) cluster(used.name);
      put(made(TYPE.route, name, `${text()} ${uses.map((u) => u.name)}`, uses));
    };
    const name = this.name();
    switch (this.pick(6)) {
      case 0:
        cluster(name);
        break;
      case 1:
        route(name);
        break;
      case 2: {
        const group = this.name();
        if (!this.table.get(TYPE.route, group)) route(group);
        put(made(TYPE.scope, name, `good ${group}`, [{ type: TYPE.route, name: group }]));
        break;
      }
      case 3:
        put(made(TYPE.listener, name, text()));
        break;
      case 4:
        removals.set(name, { type: this.pick(2) ? TYPE.scope : TYPE.listener, name });
        break;
      default:
        this.#removeUnused(removals);
    }
    const delta = { upserts: [...upserts.values()], removals: [...removals.values()] };
    this.client.changed(this.table.apply(delta), this.now);
  }

  #removeUnused(removals: Map<string, { type: TypeUrl; name: string }>): void {
    const used = (type: TypeUrl, name: string) =>
      [...this.table.list(TYPE.route), ...this.table.list(TYPE.scope)].some((r) =>
        r.needs?.some((n) => n.type === type && n.name === name),
      );
    for (const name of NAMES) {
      if (!used(TYPE.cluster, name)) {
        removals.set(`c${name}`, { type: TYPE.cluster, name });
        removals.set(`e${name}`, { type: TYPE.endpoint, name });
      }
      if (!used(TYPE.route, name)) removals.set(`r${name}`, { type: TYPE.route, name });
    }
  }

  /** Lets everything travel until nothing does. Returns how many messages that took. */
  settle(): number {
    const before = this.client.exchanged;
    for (let idle = 0; idle < 12; ) {
      const busy = this.client.write(this.now) || this.client.toClient.length > 0 || this.client.toServer.length > 0;
      this.client.deliverResponse();
      this.client.deliverRequest(this.now);
      if (busy) idle = 0;
      else idle++;
      if (!busy) {
        if (idle > 1) this.client.strict = false; // from here on bounds in time may expire
        this.now += 3_000;
        if (idle > 5) this.client.timeOut();
        this.client.session.tick(this.now);
      }
      if (this.client.exchanged - before > 2_000) throw new Error('endless exchange');
    }
    return this.client.exchanged - before;
  }

  /** What differs between client and table and should not. */
  differences(): string[] {
    const found: string[] = [];
    for (const type of [TYPE.cluster, TYPE.listener, TYPE.scope, TYPE.endpoint, TYPE.route]) {
      const has = this.client.has.get(type) as Map<string, Resource>;
      for (const r of this.table.list(type)) {
        if (!this.client.wants(type, r.name) || isBad(r)) continue;
        if (has.get(r.name)?.version !== r.version && !this.#excused(r))
          found.push(`${type} ${r.name} is not the table's`);
      }
      for (const name of has.keys()) {
        if (this.table.get(type, name) || type === TYPE.route || type === TYPE.endpoint) continue;
        if (!this.#keptBack(type, name)) found.push(`${type} ${name} should be gone`);
      }
    }
    return found;
  }

  /** A route whose new content needs what the client refused stays at its last good content, and its scopes where they were. */
  #excused(r: Resource): boolean {
    return (r.needs ?? []).some(({ type, name }) => {
      const need = this.table.get(type, name);
      const endpoints = type === TYPE.cluster ? this.table.get(TYPE.endpoint, name) : undefined;
      return !need || isBad(need) || (endpoints && isBad(endpoints)) || this.#excused(need);
    });
  }

  /** Last good content that stays, because what was to follow it was refused, keeps what it uses. */
  #keptBack(type: TypeUrl, name: string): boolean {
    const held = this.client.session.held();
    return (
      held.some(({ item }) => item.type === type && item.name === name) ||
      (held.length > 0 && name.startsWith('paifang/helper/'))
    );
  }
}
