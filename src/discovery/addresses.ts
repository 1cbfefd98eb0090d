import type { AnsweredAddress } from '../core/ir/answer.js';
import { canonicalIp, ipVersion } from '../core/model/host.js';

/** Addresses of one name that are used; what is beyond is left out, and told. */
export const MOST_ADDRESSES = 1000;

/** An SRV record (RFC 2782). */
export interface Service {
  readonly name: string;
  readonly port: number;
  readonly priority: number;
  readonly weight: number;
}

/** IPv4 that nothing can be sent to: this network, multicast, reserved, broadcast (RFC 6890). */
const NO_HOST_4 = /^(?:0|22[4-9]|23\d|24\d|25[0-5])\./;
/** IPv6 likewise: unspecified, multicast, link-local (it needs a zone, which DNS cannot tell), IPv4 in IPv6 clothes. */
const NO_HOST_6 = /^(?:::$|ff[0-9a-f]{2}:|fe[89ab][0-9a-f]:|::ffff:)/;

/** Whether a request can be sent to `host`, an IP address. */
export function isUsable(host: string): boolean {
  const version = ipVersion(host);
  if (version === 4) return !NO_HOST_4.test(host);
  return version === 6 && !NO_HOST_6.test(canonicalIp(host));
}

/**
 * The addresses as they are kept: usable ones in canonical form, each (with its port) once, in one order whatever the order they came in,
 * {@link MOST_ADDRESSES} at most. Of equal ones the record counts that is asked first, and of those the heaviest.
 */
export function kept(found: readonly AnsweredAddress[]): { addresses: AnsweredAddress[]; omitted: number } {
  const best = new Map<string, AnsweredAddress>();
  for (const { host, ...rest } of found) {
    if (!isUsable(host)) continue;
    const address = { host: canonicalIp(host), ...rest };
    const key = `${address.host}\n${address.port}`;
    const known = best.get(key);
    if (!known || before(address, known)) best.set(key, address);
  }
  const all = [...best.values()].sort((a, b) => compare(a.host, b.host) || (a.port ?? 0) - (b.port ?? 0));
  return { addresses: all.slice(0, MOST_ADDRESSES), omitted: Math.max(0, all.length - MOST_ADDRESSES) };
}

/**
 * Where the records lead, given the addresses of their targets; targets without any are left out. A tier is the rank of a priority
 * among those of the name; a weight of 0, hardly any requests, is 1, the least that Envoy knows.
 */
export function serviceAddresses(
  services: readonly Service[],
  addressesOf: (target: string) => readonly string[],
): AnsweredAddress[] {
  const priorities = [...new Set(services.map(({ priority }) => priority))].sort((a, b) => a - b);
  return services.flatMap(({ name: target, port, priority, weight }) =>
    addressesOf(target).map((host) => ({
      host,
      port,
      weight: Math.max(1, weight),
      tier: priorities.indexOf(priority),
      target,
    })),
  );
}

function before(a: AnsweredAddress, b: AnsweredAddress): boolean {
  const [tierA, tierB] = [a.tier ?? 0, b.tier ?? 0];
  const [weightA, weightB] = [a.weight ?? 1, b.weight ?? 1];
  if (tierA !== tierB) return tierA < tierB;
  return weightA === weightB ? (a.target ?? '') < (b.target ?? '') : weightA > weightB;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
