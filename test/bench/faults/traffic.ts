import { Agent, request } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { signRequest } from '../../../src/core/decision/sign-request.js';
import type { Ledger } from './publisher.js';
import { oneOf } from './random.js';
import { hostOf, MOCKS, type Node, PLAINS, SIGNED, type World } from './world.js';

/** How long a client waits before it takes an attempt for lost, in ms. */
const ATTEMPT_MS = 10_000;
const RETRIED = new Set([500, 502, 503, 504]);
const KEPT_WORDS = 30;
/** An Envoy that was paused takes the time for its own: limits of what it holds have passed when it goes on. */
const OUT_OF_TIME = new Set(['6305', '7777', '4002']);
const FOLLOW_MS = 60_000;
const FOLLOW_PAUSE_MS = 25;

type Kind = 'mock' | 'plain' | 'signed' | 'forged';
type Answer = { readonly status: number; readonly code: string; readonly body: string };
type Outcome = Answer | { readonly error: string };

/** Marks an Envoy has answered with, by API: in this life, and ever. */
interface SeenMarks {
  life: number;
  readonly marks: number[];
  readonly best: number[];
}

export interface Counts {
  readonly sent: Record<Kind, number>;
  readonly retried: number;
  readonly lost: number;
  readonly wrong: number;
  readonly olderAfterRestart: number;
  readonly words: readonly string[];
}

/**
 * Clients behind a load balancer: requests at a steady rate, in turn to both nodes, whatever becomes of the earlier ones. One
 * that cannot be delivered, or is answered with 5xx, is sent once more, to the other node.
 *
 * Lost by our fault: a request that failed at both nodes; and an attempt that failed, even if the second went well, unless
 *   - it had no answer (refused, reset, silent) while the Envoy of that node was dead or paused on purpose,
 *   - a time limit passed while that Envoy was paused on purpose,
 *   - it needs the edge, and the edge of that node was dead or paused on purpose.
 * Wrong: an answer that was never the content of that API; one older than this Envoy had given before in the same life; a
 * forged signature let through.
 */
export class Traffic {
  readonly #agents: readonly Agent[];
  readonly #open = new Set<Promise<void>>();
  readonly #timer: NodeJS.Timeout;
  readonly #seen: readonly SeenMarks[];
  readonly #sent: Record<Kind, number> = { mock: 0, plain: 0, signed: 0, forged: 0 };
  readonly #words: string[] = [];
  #retried = 0;
  #lost = 0;
  #wrong = 0;
  #older = 0;

  constructor(
    private readonly world: World,
    private readonly ledger: Ledger,
    rate: number,
    private readonly next: () => number,
  ) {
    this.#agents = world.nodes.map(() => new Agent({ keepAlive: true, maxSockets: 64 }));
    this.#seen = world.nodes.map(() => ({ life: 0, marks: Array(MOCKS).fill(0), best: Array(MOCKS).fill(0) }));
    const began = performance.now();
    let sent = 0;
    this.#timer = setInterval(() => {
      for (const due = ((performance.now() - began) / 1000) * rate; sent < due; sent++) this.#begin(sent);
    }, 4);
  }

  counts(): Counts {
    return {
      sent: this.#sent,
      retried: this.#retried,
      lost: this.#lost,
      wrong: this.#wrong,
      olderAfterRestart: this.#older,
      words: this.#words,
    };
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#open);
    for (const agent of this.#agents) agent.destroy();
  }

  /** Asks both nodes for a mock until each has answered with `mark` or a later one; like other requests, but it is in a hurry. */
  follow(number: number, mark: number): void {
    this.world.nodes.forEach((node, at) => {
      const done = this.#follow(number, mark, at, node).finally(() => this.#open.delete(done));
      this.#open.add(done);
    });
  }

  async #follow(number: number, mark: number, at: number, node: Node): Promise<void> {
    const end = performance.now() + FOLLOW_MS;
    while (!this.ledger.isInForce(node.name, number, mark) && performance.now() < end) {
      this.#sent.mock++;
      await this.#attempt('mock', number, at);
      await delay(FOLLOW_PAUSE_MS);
    }
  }

  /** Whether the node answers a request of this kind as it should, over a new connection. */
  async works(node: Node, kind: 'mock' | 'signed'): Promise<boolean> {
    const { path, headers } = this.#request(kind, 0);
    const outcome = await send(node.port, path, headers, undefined, 1000);
    return 'status' in outcome && outcome.status === 200;
  }

  #begin(n: number): void {
    const kind = n % 20 === 19 ? 'forged' : ((['mock', 'plain', 'signed'] as const)[n % 3] as Kind);
    this.#sent[kind]++;
    const done = this.#run(kind, n % 2).finally(() => this.#open.delete(done));
    this.#open.add(done);
  }

  async #run(kind: Kind, first: number): Promise<void> {
    const number = Math.floor(this.next() * (kind === 'mock' ? MOCKS : kind === 'plain' ? PLAINS : SIGNED));
    if (await this.#attempt(kind, number, first)) return;
    this.#retried++;
    if (await this.#attempt(kind, number, 1 - first)) return;
    this.#lost++;
    this.#say(`LOST  ${kind} ${number}: failed at both nodes`);
  }

  /** One attempt; whether it need not be repeated. */
  async #attempt(kind: Kind, number: number, at: number): Promise<boolean> {
    const node = this.world.nodes[at] as Node;
    const { path, headers } = this.#request(kind, number);
    const from = performance.now();
    const seen = this.#seen[at] as SeenMarks;
    const life = node.envoyDown.ends;
    const atLeast = seen.life === life ? (seen.marks[number] ?? 0) : 0;
    const outcome = await send(node.port, path, headers, this.#agents[at], ATTEMPT_MS);
    const to = performance.now();
    if ('status' in outcome && !RETRIED.has(outcome.status)) {
      if (this.#isRight(kind, number, node, outcome) && kind === 'mock')
        this.#order(number, node, outcome.body, { atLeast, life, seen });
      return true;
    }
    const silent = 'error' in outcome;
    const needsEdge = kind === 'signed' || kind === 'forged';
    const excused =
      (silent && node.envoyDown.overlap(from, to)) ||
      (!silent && OUT_OF_TIME.has(outcome.code) && node.envoyDown.paused(from, to)) ||
      (needsEdge && node.edgeDown.overlap(from, to));
    if (!excused) {
      this.#lost++;
      const what = silent ? outcome.error : `${outcome.status} ${outcome.code}`;
      this.#say(`LOST  ${kind} ${number} at ${node.name}: ${what} after ${(to - from).toFixed(0)} ms`);
    }
    return false;
  }

  #isRight(kind: Kind, number: number, node: Node, { status, code, body }: Answer): boolean {
    const lost = kind !== 'forged' && status !== 200;
    const wrong =
      kind === 'forged'
        ? status < 400 || code !== '2102'
        : kind === 'mock'
          ? !body.startsWith(`mock ${number} mark `) || !this.ledger.wasEver(number, markIn(body))
          : !/^b[01] /.test(body) || body.slice(3) !== `/${kind}/${number}`;
    if (lost) this.#lost++;
    else if (wrong) this.#wrong++;
    if (lost || wrong)
      this.#say(
        `${lost ? 'LOST ' : 'WRONG'} ${kind} ${number} at ${node.name}: ${status} ${code} ${body.slice(0, 80)}`,
      );
    return !lost && !wrong;
  }

  /** What an Envoy answered before it may not become older in the same life. */
  #order(number: number, node: Node, body: string, before: { atLeast: number; life: number; seen: SeenMarks }): void {
    const { atLeast, life, seen } = before;
    const given = markIn(body);
    if (given < atLeast) {
      this.#wrong++;
      this.#say(`WRONG mock ${number} at ${node.name}: mark ${given} after mark ${atLeast}`);
    }
    // An answer that came while one life ended and the next began tells nothing.
    if (node.envoyDown.ends !== life) return;
    if (seen.life !== life) {
      seen.life = life;
      seen.marks.fill(0);
    }
    const best = seen.best[number] ?? 0;
    if (given < best) this.#older++;
    seen.marks[number] = Math.max(seen.marks[number] ?? 0, given);
    seen.best[number] = Math.max(best, given);
    this.ledger.saw(node.name, number, given);
  }

  #request(kind: Kind, number: number): { path: string; headers: Record<string, string> } {
    const path = `/${kind === 'forged' ? 'signed' : kind}/${number}`;
    const host = hostOf(number);
    if (kind === 'mock' || kind === 'plain') return { path, headers: { host } };
    const { accessKey, secret } = this.world.key;
    const made = signRequest({
      method: 'GET',
      target: path,
      headers: [['host', host]],
      accessKey,
      secret: kind === 'forged' ? oneOf(['wrong', 'guess'], this.next) : secret,
      nowMs: Date.now(),
    });
    return { path, headers: { host, ...Object.fromEntries(made.headers) } };
  }

  #say(words: string): void {
    const kind = words.slice(0, 5);
    const known = this.#words.filter((line) => line.includes(` ${kind} `)).length;
    if (known < KEPT_WORDS) this.#words.push(`${new Date().toISOString().slice(11, 23)} ${words}`);
  }
}

function send(
  port: number,
  path: string,
  headers: Record<string, string>,
  agent: Agent | undefined,
  withinMs: number,
): Promise<Outcome> {
  return new Promise((resolve) => {
    const call = request({ host: '127.0.0.1', port, path, headers, ...(agent && { agent }) }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        body += chunk;
      });
      response.on('end', () => {
        clearTimeout(timer);
        const code = String(response.headers['x-gateway-result-code'] ?? '');
        resolve({ status: response.statusCode ?? 0, code, body });
      });
      response.on('error', (error) => resolve({ error: error.message }));
    });
    const timer = setTimeout(() => call.destroy(new Error(`no answer in ${withinMs} ms`)), withinMs);
    call.on('error', (error) => {
      clearTimeout(timer);
      resolve({ error: error.message });
    });
    call.end();
  });
}

const markIn = (body: string) => Number(/ mark (\d+)$/.exec(body)?.[1] ?? Number.NaN);
