import { Type } from 'typebox';
import type { Log } from '../logger.js';
import type { RefusedPeer } from '../wire/ads-server.js';

export const RefusedView = Type.Object(
  {
    peer: Type.String({ description: 'Address it came from, last.' }),
    at: Type.Enum(['handshake', 'unauthenticated', 'denied'], {
      description:
        'handshake: TLS. unauthenticated: it did not prove who it is. denied: it claimed to be what its proof is not for.',
    }),
    node: Type.Union([Type.String(), Type.Null()], { description: 'As it said, if it came to that.' }),
    fleet: Type.Union([Type.String(), Type.Null()]),
    message: Type.String({ description: 'What it was told, or why the handshake failed.' }),
    count: Type.Integer(),
    lastAt: Type.String({ format: 'date-time' }),
  },
  { title: 'RefusedPeer', additionalProperties: false },
);

interface Kept {
  readonly refused: RefusedPeer;
  readonly count: number;
  readonly lastAtMs: number;
  readonly loggedAtMs: number;
}

/** Refused peers that are told, at most; the one that came longest ago is forgotten first. */
const MOST_KEPT = 100;
const LONGEST_NAME = 256;
/** One that tries again and again is logged so often, in ms. */
const REMIND_MS = 60_000;
/** Lines in such a time, whoever tries. */
const MOST_LINES = 20;

/** Who was not let in lately, and why: for the log, and for whoever asks. Bounded whatever strangers send. */
export class RefusedPeers {
  readonly #kept = new Map<string, Kept>();
  #lines = 0;
  #linesSinceMs = 0;

  constructor(
    private readonly log: Log,
    private readonly now: () => number = Date.now,
  ) {}

  add(given: RefusedPeer): void {
    const refused = bounded(given);
    const now = this.now();
    // Ports change with every attempt.
    const key = JSON.stringify([refused.peer.replace(/:\d+$/, ''), refused.at, refused.node, refused.fleet]);
    const before = this.#kept.get(key);
    this.#kept.delete(key);
    const due = before === undefined || now - before.loggedAtMs >= REMIND_MS;
    const logged = due && this.#mayLog(now);
    const count = (before?.count ?? 0) + 1;
    this.#kept.set(key, { refused, count, lastAtMs: now, loggedAtMs: logged ? now : (before?.loggedAtMs ?? 0) });
    const [oldest] = this.#kept.keys();
    if (this.#kept.size > MOST_KEPT && oldest !== undefined) this.#kept.delete(oldest);
    if (logged) this.log.warn('a node was not let in', { ...refused, times: count });
  }

  /** The latest first. */
  view() {
    return [...this.#kept.values()].reverse().map(({ refused, count, lastAtMs }) => ({
      peer: refused.peer,
      at: refused.at,
      node: refused.node ?? null,
      fleet: refused.fleet ?? null,
      message: refused.message,
      count,
      lastAt: new Date(lastAtMs).toISOString(),
    }));
  }

  #mayLog(now: number): boolean {
    if (now - this.#linesSinceMs >= REMIND_MS) {
      this.#linesSinceMs = now;
      this.#lines = 0;
    }
    return ++this.#lines <= MOST_LINES;
  }
}

function bounded({ node, fleet, ...rest }: RefusedPeer): RefusedPeer {
  return {
    ...rest,
    ...(node !== undefined && { node: node.slice(0, LONGEST_NAME).toWellFormed() }),
    ...(fleet !== undefined && { fleet: fleet.slice(0, LONGEST_NAME).toWellFormed() }),
  };
}
