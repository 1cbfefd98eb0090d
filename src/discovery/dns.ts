import { Resolver } from 'node:dns/promises';
import type { AnsweredAddress, Question } from '../core/ir/answer.js';
import { isUsable, kept, MOST_ADDRESSES, type Service, serviceAddresses } from './addresses.js';
import { Gate } from './gate.js';

export interface DnsOptions {
  /** `address` or `address:port`; none: those of the system. */
  readonly servers: readonly string[];
  /** Longest wait for one server's answer, in ms; a server is asked twice. */
  readonly timeoutMs: number;
}

/** What came of a question. `ttlSeconds`: how long it may be believed; undefined where DNS does not tell it. */
export type Found =
  | {
      readonly kind: 'found';
      readonly addresses: readonly AnsweredAddress[];
      readonly omitted: number;
      readonly ttlSeconds?: number;
      /** Targets of SRV records whose addresses could not be had, and why. */
      readonly missing?: { readonly targets: readonly string[]; readonly reason: string };
    }
  | { readonly kind: 'failed'; readonly reason: string };

/** Queries on their way at a time, over all names. */
const MOST_QUERIES = 64;

/** What went wrong, by the code Node tells (c-ares). */
const REASONS: Readonly<Record<string, string>> = {
  ENOTFOUND: 'there is no such name (NXDOMAIN)',
  ENODATA: 'the name has no record of this type',
  ESERVFAIL: 'the DNS server failed (SERVFAIL)',
  EREFUSED: 'the DNS server refused to answer',
  ENOTIMP: 'the DNS server does not know such questions',
  EFORMERR: 'the DNS server did not understand the question',
  EBADRESP: 'the answer of the DNS server cannot be read',
  ETIMEOUT: 'the DNS server did not answer in time',
  ECONNREFUSED: 'no DNS server can be reached',
};

/** Asks DNS. Never throws for what DNS says; keeps nothing. */
export class Dns {
  readonly #gate = new Gate(MOST_QUERIES);

  /** @throws Error that names a server that is no address. */
  constructor(private readonly options: DnsOptions) {
    try {
      new Resolver().setServers(options.servers);
    } catch (error) {
      throw new Error(`PAIFANG_DNS_SERVERS cannot be used: ${(error as Error).message}`, { cause: error });
    }
  }

  ask({ type, name }: Question): Promise<Found> {
    return type === 'srv' ? this.#services(name) : this.#addresses(name);
  }

  /** A record first; AAAA only of names that say they have none: a name of both families is one host. */
  async #addresses(name: string): Promise<Found> {
    const found = await this.#lookUp(name);
    if (typeof found === 'string') return { kind: 'failed', reason: found };
    const { addresses, omitted } = kept(found.map(({ address: host }) => ({ host })));
    if (addresses.length === 0) return { kind: 'failed', reason: unusable(found.map(({ address }) => address)) };
    return { kind: 'found', addresses, omitted, ttlSeconds: Math.min(...found.map(({ ttl }) => ttl)) };
  }

  async #services(name: string): Promise<Found> {
    const records = await this.#query((resolver) => resolver.resolveSrv(name));
    if (typeof records === 'string') return { kind: 'failed', reason: records };
    const services = records.map(({ name: target, ...rest }): Service => ({ ...rest, name: plain(target) }));
    const real = services.filter(({ name: target, port }) => target !== '' && port > 0);
    if (real.length === 0)
      return { kind: 'failed', reason: 'the name says that there is no such service (SRV with target ".")' };
    const targets = [...new Set(real.map(({ name: target }) => target))].sort();
    const asked = targets.slice(0, MOST_ADDRESSES);
    const byTarget = new Map(
      await Promise.all(asked.map(async (target) => [target, await this.#lookUp(target)] as const)),
    );
    const without = asked.filter((target) => typeof byTarget.get(target) === 'string');
    const reason = `${without.length} of ${asked.length} targets: ${without[0]}: ${byTarget.get(without[0] ?? '')}`;
    const addressesOf = (target: string) => {
      const found = byTarget.get(target);
      return Array.isArray(found) ? found.map(({ address }) => address) : [];
    };
    const { addresses, omitted } = kept(serviceAddresses(real, addressesOf));
    if (addresses.length === 0)
      return { kind: 'failed', reason: without.length > 0 ? reason : unusable(asked.flatMap(addressesOf)) };
    return {
      kind: 'found',
      addresses,
      omitted: omitted + targets.length - asked.length,
      ...(without.length > 0 && { missing: { targets: without, reason } }),
    };
  }

  /** Addresses with their seconds to live, or what went wrong. */
  async #lookUp(name: string): Promise<{ address: string; ttl: number }[] | string> {
    const four = await this.#query((resolver) => resolver.resolve4(name, { ttl: true }));
    if (four !== REASONS.ENODATA && four.length > 0) return four;
    const six = await this.#query((resolver) => resolver.resolve6(name, { ttl: true }));
    if (six === REASONS.ENODATA || six.length === 0) return 'the name has no address';
    return six;
  }

  /** A resolver for each question: it takes what the system's settings are now, and a source port of its own. */
  #query<T>(ask: (resolver: Resolver) => Promise<T>): Promise<T | string> {
    return this.#gate.run(async () => {
      const resolver = new Resolver({ timeout: this.options.timeoutMs, tries: 2 });
      if (this.options.servers.length > 0) resolver.setServers(this.options.servers);
      try {
        return await ask(resolver);
      } catch (error) {
        const code = (error as { code?: string }).code ?? '';
        return REASONS[code] ?? `DNS failed (${code || (error as Error).message})`;
      }
    });
  }
}

function unusable(addresses: readonly string[]): string {
  const shown = addresses.filter((address) => !isUsable(address)).slice(0, 3);
  return `nothing can be sent to the addresses it has (${shown.join(', ')})`;
}

const plain = (name: string): string => name.toLowerCase().replace(/\.$/, '');
