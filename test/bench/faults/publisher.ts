import { setTimeout as delay } from 'node:timers/promises';
import { MOCKS, mark, WORKSPACE, type World } from './world.js';

const TRY_MS = 5_000;
const PAUSE_MS = 200;
const GIVE_UP_MS = 120_000;

interface Edit {
  readonly n: number;
  readonly acceptedAt: number;
  readonly release: number | undefined;
}

/** What was written, and what each node answered with. */
export class Ledger {
  /** Highest mark sent for each API, whether it was accepted or not. */
  readonly tried = Array<number>(MOCKS).fill(0);
  /** Newest accepted edit of each API. */
  readonly accepted = new Map<number, Edit>();
  readonly effectiveMs: number[] = [];
  readonly #waiting = new Map<string, Edit[]>();

  /** Whether the API ever had, or may have had, the mark. */
  wasEver(api: number, n: number): boolean {
    return n >= 0 && n <= (this.tried[api] ?? 0);
  }

  accept(api: number, edit: Edit, nodes: readonly string[]): void {
    this.accepted.set(api, edit);
    for (const node of nodes) {
      const key = `${node} ${api}`;
      const waiting = this.#waiting.get(key) ?? [];
      waiting.push(edit);
      this.#waiting.set(key, waiting);
    }
  }

  /** A node answered with this mark: every edit up to it is in force there. */
  saw(node: string, api: number, n: number): void {
    const waiting = this.#waiting.get(`${node} ${api}`);
    while (waiting?.[0] !== undefined && waiting[0].n <= n) {
      this.effectiveMs.push(performance.now() - (waiting.shift() as Edit).acceptedAt);
    }
  }

  isInForce(node: string, api: number, n: number): boolean {
    return !this.#waiting.get(`${node} ${api}`)?.some((edit) => edit.n <= n);
  }

  /** Accepted edits that a node has not answered with yet. */
  notInForce(): string[] {
    return [...this.#waiting].flatMap(([where, edits]) => edits.map(({ n }) => `${where} mark ${n}`));
  }
}

/**
 * Edits mocks one after the other, each through either controller, each with a higher mark, and keeps at it: an edit that
 * could not be sent or was refused with 503 is read again and sent to the other controller. `If-Match` keeps a late earlier
 * try from overwriting a later edit.
 */
export class Publisher {
  readonly faults: string[] = [];
  readonly releases: number[] = [];
  retried = 0;
  unsure = 0;
  /** Answers 503. */
  refused = 0;
  #running = true;
  readonly #loop: Promise<void>;

  constructor(
    private readonly world: World,
    private readonly ledger: Ledger,
    private readonly everyMs: number,
    private readonly next: () => number,
    private readonly onAccepted: (api: number, n: number) => void,
  ) {
    this.#loop = this.#run();
  }

  async stop(): Promise<void> {
    this.#running = false;
    await this.#loop;
  }

  /** All releases there are, by number. */
  async stored(): Promise<Set<number>> {
    const found = new Set<number>();
    for (let cursor: string | undefined; ; ) {
      const page = cursor === undefined ? '' : `&cursor=${encodeURIComponent(cursor)}`;
      const { body } = await this.#call(0, 'GET', `${WORKSPACE}/releases?limit=200${page}`);
      for (const { number } of body.items as { number: number }[]) found.add(number);
      cursor = body.next as string | undefined;
      if (cursor === undefined) return found;
    }
  }

  async contentOf(api: number): Promise<number> {
    const { body } = await this.#call(0, 'GET', `${WORKSPACE}/apis/mock-${api}`);
    return markOf(body);
  }

  async #run(): Promise<void> {
    while (this.#running) {
      const began = performance.now();
      const api = Math.floor(this.next() * MOCKS);
      await this.#edit(api).catch((error: Error) => this.faults.push(`mock-${api}: ${error.message}`));
      await delay(Math.max(0, this.everyMs - (performance.now() - began)));
    }
  }

  async #edit(api: number): Promise<void> {
    const n = (this.ledger.tried[api] ?? 0) + 1;
    this.ledger.tried[api] = n;
    const path = `${WORKSPACE}/apis/mock-${api}`;
    let turn = Math.floor(this.next() * 2);
    let last = '';
    for (const end = performance.now() + GIVE_UP_MS; performance.now() < end; turn++) {
      try {
        const read = await this.#call(turn, 'GET', path);
        if (read.status === 200) {
          if (markOf(read.body) === n) return this.#accepted(api, n, undefined);
          const answer = await this.#call(turn, 'PATCH', `${path}?publish=true`, { upstream: mark(api, n) }, read.etag);
          if (answer.status === 200) return this.#accepted(api, n, answer.body.outcome?.release as number | undefined);
          if (answer.status !== 503 && answer.status !== 412)
            throw new Refusal(`${answer.status} ${JSON.stringify(answer.body)}`);
          last = `${answer.status} ${JSON.stringify(answer.body)}`;
        } else if (read.status !== 503) throw new Refusal(`reading: ${read.status} ${JSON.stringify(read.body)}`);
        else last = `${read.status} ${JSON.stringify(read.body)}`;
      } catch (error) {
        if (error instanceof Refusal) throw error;
        last = String(error);
      }
      this.retried++;
      await delay(PAUSE_MS);
    }
    throw new Error(`mark ${n} was not accepted in ${GIVE_UP_MS / 1000} s; last: ${last}`);
  }

  #accepted(api: number, n: number, release: number | undefined): void {
    if (release === undefined) this.unsure++;
    else this.releases.push(release);
    const nodes = this.world.nodes.map(({ name }) => name);
    this.ledger.accept(api, { n, acceptedAt: performance.now(), release }, nodes);
    this.onAccepted(api, n);
  }

  async #call(turn: number, method: string, path: string, body?: object, etag?: string) {
    const { url } = this.world.controllers[turn % this.world.controllers.length] as World['controllers'][number];
    const response = await fetch(url + path, {
      method,
      headers: {
        authorization: `Bearer ${this.world.adminToken}`,
        ...(body && { 'content-type': 'application/merge-patch+json' }),
        ...(etag && { 'if-match': etag }),
      },
      ...(body && { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(TRY_MS),
    });
    const text = await response.text();
    if (response.status === 503) this.refused++;
    return {
      status: response.status,
      etag: response.headers.get('etag') ?? '',
      // biome-ignore lint/suspicious/noExplicitAny: answers are looked into freely.
      body: (text === '' ? undefined : JSON.parse(text)) as any,
    };
  }
}

/** An answer that no retry would mend: a fault of the product. */
class Refusal extends Error {}

function markOf(body: { spec?: { upstream?: { body?: string } } }): number {
  return Number(/mark (\d+)$/.exec(body.spec?.upstream?.body ?? '')?.[1] ?? Number.NaN);
}
