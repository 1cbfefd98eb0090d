import type { NodeQuarantine } from './quarantine.js';
import type { Resource, TypeUrl } from './resource.js';

/** One thing said about a name: a version sent, or its removal (`resource` absent). */
export interface Statement {
  /** Position in the stream's sequence of responses; 0 = held since before the stream. */
  readonly nonce: number;
  readonly resource: Resource | undefined;
  /** When it was said, in ms. */
  readonly at: number;
  /** Acknowledged, hence in force at the client. */
  acked: boolean;
  /** What the client holds is known by version only: what it needs cannot be known. */
  readonly opaque: boolean;
}

/** How many statements about one name may be unanswered before the oldest of them is forgotten. */
const UNANSWERED_PER_NAME = 4;
/** How many responses of a stream may be unanswered before the oldest is forgotten. Bounds a client that never answers. */
const UNANSWERED = 8192;

const NO_BYTES = new Uint8Array();

/** A version the client refused, and what it said. */
export interface Refused {
  readonly version: string;
  readonly error: string;
}

/** A refusal with the name it is about. */
export interface Refusal extends Refused {
  readonly type: string;
  readonly name: string;
}

/** A response that waits for its answer. */
export interface Unanswered {
  readonly nonce: number;
  readonly type: TypeUrl;
  readonly resources: readonly Resource[];
  readonly removed: readonly string[];
}

/** What a client may have under one name when its stream ends: each content that its answers leave possible, oldest first. */
export interface Possession {
  readonly contents: readonly Resource[];
  /** It has at least the oldest of them. */
  readonly has: boolean;
}

/**
 * What one client holds, as far as its answers tell: per name the version in force and what was sent after it. From this
 * follows what need not be sent, what a route still uses, and what came of each response.
 */
export class Holdings {
  readonly #names = new Map<string, Map<string, Statement[]>>();
  readonly #refused = new Map<string, Refused>();
  readonly #users = new Map<string, number>();
  /** Of what the client will hold in the end: how many need a resource, and since which response somebody has. */
  readonly #keepers = new Map<string, { count: number; since: number }>();
  /** Names in refused batches: the client may have taken them all the same. */
  readonly #doubtful = new Set<string>();
  readonly #unanswered = new Map<number, Unanswered>();
  readonly #opaque = new Map<string, number>();
  #cameBack = false;

  /**
   * `touched(type, name)` is called whenever something that could wait for this name may go on; `before(type, name)` tells
   * what the client refused on an earlier stream.
   */
  constructor(
    private readonly touched: (type: string, name: string) => void,
    private readonly before: (type: string, name: string) => Refused | undefined = () => undefined,
  ) {}

  /** What the client will hold once it has answered everything; absent = nothing. */
  latest(type: string, name: string): Resource | undefined {
    return this.#names.get(type)?.get(name)?.at(-1)?.resource;
  }

  /** The latest statement about a name, also when it is a removal. */
  statement(type: string, name: string): Statement | undefined {
    return this.#names.get(type)?.get(name)?.at(-1);
  }

  /** What the client acknowledged and still uses. */
  inForce(type: string, name: string): Statement | undefined {
    const first = this.#names.get(type)?.get(name)?.[0];
    return first?.acked && first.resource ? first : undefined;
  }

  /** Whether anything is known to be, or to be about to be, at the client under this name. */
  has(type: string, name: string): boolean {
    return this.#names.get(type)?.has(name) ?? false;
  }

  /** Whether the client may hold something under this name once it has answered everything. */
  mayHave(type: string, name: string): boolean {
    const latest = this.statement(type, name);
    return latest ? latest.resource !== undefined : this.#doubtful.has(key(type, name));
  }

  /** Names with a statement. */
  names(type: string): Iterable<string> {
    return this.#names.get(type)?.keys() ?? [];
  }

  /** The version of this name the client refused last, unless it has since acknowledged or dropped the name. */
  refused(type: string, name: string): Refused | undefined {
    return this.refusedHere(type, name) ?? this.before(type, name);
  }

  /** As {@link refused}, of this stream alone. */
  refusedHere(type: string, name: string): Refused | undefined {
    return this.#refused.get(key(type, name));
  }

  /** Whether the client refused a batch with this name in it, and has not answered for the name since. */
  inDoubt(type: string, name: string): boolean {
    return this.#doubtful.has(key(type, name));
  }

  /** What the client refused on this stream, or before as `quarantine` tells, and still lacks. */
  refusals(quarantine?: NodeQuarantine): Refusal[] {
    const found = new Map<string, Refusal>();
    for (const { resource, error } of quarantine?.all() ?? []) {
      const { type, name, version } = resource;
      if (this.refused(type, name)?.version === version) found.set(key(type, name), { type, name, version, error });
    }
    for (const [id, refused] of this.#refused) {
      const split = id.indexOf('\n');
      found.set(id, { type: id.slice(0, split), name: id.slice(split + 1), ...refused });
    }
    return [...found.values()];
  }

  /** Whether something the client has, or may get into force from what is under way, needs this resource. */
  used(type: string, name: string): boolean {
    return (this.#users.get(key(type, name)) ?? 0) > 0;
  }

  /**
   * Whether the client has this resource in force and will keep it, whatever of what is under way arrives: something it
   * will hold in the end needs it, and it came after the client began to want it for that.
   */
  keeps(type: string, name: string): boolean {
    const keeper = this.#keepers.get(key(type, name));
    const inForce = this.inForce(type, name);
    return keeper !== undefined && inForce !== undefined && inForce.nonce >= keeper.since;
  }

  /** Whether the client holds something of this type whose needs are unknown, because it came from another stream. */
  hasOpaque(type: string): boolean {
    return (this.#opaque.get(type) ?? 0) > 0;
  }

  get unanswered(): number {
    return this.#unanswered.size;
  }

  /** What the client may have of a type. Cost: its names. */
  possessions(type: string): Possession[] {
    const found: Possession[] = [];
    for (const statements of this.#names.get(type)?.values() ?? []) {
      const contents = statements.flatMap(({ resource, opaque }) => (resource && !opaque ? [resource] : []));
      const removed = statements.some(({ resource }) => !resource);
      if (contents.length > 0) found.push({ contents, has: statements[0]?.acked === true && !removed });
    }
    return found;
  }

  /** Notes that the client brought `resource` with it. `opaque`: only name and version are known. */
  brought(resource: Resource, opaque: boolean): void {
    this.#cameBack = true;
    this.#push(resource.type, resource.name, { nonce: 0, resource, at: 0, acked: true, opaque });
  }

  /** Notes what the client may have brought with it; it counts until the client has answered for the name. */
  mayHaveBrought({ contents, has }: Possession): void {
    this.#cameBack = true;
    for (const [i, resource] of contents.entries())
      this.#push(resource.type, resource.name, { nonce: 0, resource, at: 0, acked: has && i === 0, opaque: false });
  }

  /** Whether the client came with anything from before the stream. */
  get cameBack(): boolean {
    return this.#cameBack;
  }

  /** Notes a response. `resources` and `removed` are what it says anew, not what it repeats. */
  sent(response: Unanswered, now: number): void {
    const { nonce, type } = response;
    for (const resource of response.resources)
      this.#push(type, resource.name, { nonce, resource, at: now, acked: false, opaque: false });
    for (const name of response.removed)
      this.#push(type, name, { nonce, resource: undefined, at: now, acked: false, opaque: false });
    this.#unanswered.set(nonce, response);
    const [oldest] = this.#unanswered.keys();
    if (this.#unanswered.size > UNANSWERED && oldest !== undefined) this.#unanswered.delete(oldest);
  }

  /** The response of this nonce, if it still waits for its answer; it then no longer does. */
  take(nonce: number): Unanswered | undefined {
    const response = this.#unanswered.get(nonce);
    this.#unanswered.delete(nonce);
    return response;
  }

  /** Responses of a type up to `nonce` that wait for an answer, oldest first. */
  earlier(type: string, nonce: number): Unanswered[] {
    const found: Unanswered[] = [];
    for (const response of this.#unanswered.values()) {
      if (response.nonce >= nonce) break;
      if (response.type === type) found.push(response);
    }
    return found;
  }

  /** The client has put this response in force, as far as it still wants the names: `wanted`. */
  accept(response: Unanswered, wanted: (name: string) => boolean): void {
    for (const name of mentioned(response)) {
      this.#accept(response.type, name, response.nonce);
      if (!wanted(name)) this.forget(response.type, name);
    }
  }

  /**
   * The client refused this response: what it said is not in force. With `blame`, the content of each name is remembered as
   * refused; without, because a batch does not tell which of its resources is bad.
   */
  refuse(response: Unanswered, error: string, blame: boolean): void {
    const { type, nonce } = response;
    for (const resource of response.resources) {
      if (blame) this.#refused.set(key(type, resource.name), { version: resource.version, error });
      else this.#doubtful.add(key(type, resource.name));
      this.#drop(type, resource.name, (statement) => statement.nonce === nonce);
      this.touched(type, resource.name);
    }
    for (const name of response.removed) this.#drop(type, name, (statement) => statement.nonce === nonce);
  }

  /**
   * The client no longer wants this name, so it holds nothing of it; except that what is under way may still reach a
   * client that meanwhile wants it again. Forget the name once more when that is answered and still nobody wants it.
   */
  forget(type: string, name: string): void {
    this.#drop(type, name, (statement) => statement.acked || statement.nonce === 0);
    this.#refused.delete(key(type, name));
    this.#doubtful.delete(key(type, name));
    this.touched(type, name);
  }

  #accept(type: string, name: string, nonce: number): void {
    const statement = this.#names
      .get(type)
      ?.get(name)
      ?.find((s) => s.nonce === nonce);
    if (!statement) return;
    statement.acked = true;
    const gone = statement.resource === undefined;
    this.#drop(type, name, (s) => s.nonce < nonce || (gone && s.nonce === nonce));
    this.#refused.delete(key(type, name));
    this.#doubtful.delete(key(type, name));
    this.touched(type, name);
  }

  #push(type: TypeUrl, name: string, statement: Statement): void {
    const names = this.#names.get(type) ?? new Map<string, Statement[]>();
    this.#names.set(type, names);
    const statements = names.get(name);
    const before = statements?.at(-1);
    if (before && isUnsure(before)) {
      // It is not known that the client had it: what needs it both before and after is needed only from now on.
      this.#keep(before, undefined, 0);
      this.#keep(undefined, statement, statement.nonce);
    } else this.#keep(before, statement, isUnsure(statement) ? Number.POSITIVE_INFINITY : statement.nonce);
    if (!statements) {
      names.set(name, [statement]);
    } else {
      statements.push(statement);
      // Not the first if it is in force: routes of it still run.
      if (statements.length > UNANSWERED_PER_NAME) {
        const forgotten = statements.splice(statements[0]?.acked ? 1 : 0, 1);
        this.#release(type, forgotten);
        for (const { nonce } of forgotten) this.#lighten(nonce, name);
      }
    }
    if (statement.opaque) this.#opaque.set(type, (this.#opaque.get(type) ?? 0) + 1);
    for (const need of statement.resource?.needs ?? []) {
      const user = key(need.type, need.name);
      this.#users.set(user, (this.#users.get(user) ?? 0) + 1);
    }
  }

  /** A response whose content was overtaken long ago keeps its names and versions only: a silent client costs no old bytes. */
  #lighten(nonce: number, name: string): void {
    const response = this.#unanswered.get(nonce);
    if (!response) return;
    const light = (r: Resource): Resource =>
      r.name === name ? { type: r.type, name, version: r.version, bytes: NO_BYTES } : r;
    this.#unanswered.set(nonce, { ...response, resources: response.resources.map(light) });
  }

  #drop(type: string, name: string, which: (statement: Statement) => boolean): void {
    const statements = this.#names.get(type)?.get(name);
    if (!statements) return;
    const kept = statements.filter((statement) => !which(statement));
    if (kept.length === statements.length) return;
    if (kept.at(-1) !== statements.at(-1)) this.#keep(statements.at(-1), kept.at(-1), kept.at(-1)?.nonce ?? 0);
    if (kept.length === 0) this.#names.get(type)?.delete(name);
    else this.#names.get(type)?.set(name, kept);
    this.#release(type, statements.filter(which));
  }

  #keep(before: Statement | undefined, after: Statement | undefined, since: number): void {
    // What comes first, so that a resource needed before and after is needed throughout.
    for (const need of after?.resource?.needs ?? []) {
      const id = key(need.type, need.name);
      const keeper = this.#keepers.get(id);
      if (keeper) keeper.count++;
      else this.#keepers.set(id, { count: 1, since });
    }
    for (const need of before?.resource?.needs ?? []) {
      const id = key(need.type, need.name);
      const keeper = this.#keepers.get(id);
      if (keeper && --keeper.count === 0) this.#keepers.delete(id);
    }
  }

  #release(type: string, statements: readonly Statement[]): void {
    for (const statement of statements) {
      if (statement.opaque) {
        const left = (this.#opaque.get(type) ?? 1) - 1;
        this.#opaque.set(type, left);
        if (left === 0) this.touched(type, '');
      }
      for (const need of statement.resource?.needs ?? []) {
        const user = key(need.type, need.name);
        const left = (this.#users.get(user) ?? 1) - 1;
        if (left > 0) {
          this.#users.set(user, left);
        } else {
          this.#users.delete(user);
          this.touched(need.type, need.name);
        }
      }
    }
  }
}

/** Of a client that came back: it may have this, or something else. */
function isUnsure({ nonce, acked }: Statement): boolean {
  return nonce === 0 && !acked;
}

/** Every name a response says something about. */
function* mentioned(response: Unanswered): Iterable<string> {
  for (const resource of response.resources) yield resource.name;
  yield* response.removed;
}

function key(type: string, name: string): string {
  return `${type}\n${name}`;
}
