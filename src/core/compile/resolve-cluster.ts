import { createHash } from 'node:crypto';
import type { Answer } from '../ir/answer.js';
import type { ClusterIr, EndpointIr } from '../ir/cluster.js';
import { canonicalIp, ipVersion } from '../model/host.js';
import { questionKey, questionOf } from '../model/question.js';
import { LAST_TIER } from '../xds/priority.js';
import { byText, frozen } from './frozen.js';
import type { StoredObject } from './objects.js';
import { placeOf } from './resolve-fleet.js';

type Spec = StoredObject<'cluster'>['spec'];

/**
 * The cluster with everything defaulted. Its endpoints are all of one sort (a rule of the model).
 *
 * @param registered join those of the definition where these are IP addresses, as do the addresses that `answers` told for the
 *   names in discovery.dns. Of one address in several of them the registered one counts, then that of the definition.
 */
export function resolveCluster(
  { id, name, spec }: StoredObject<'cluster'>,
  registered: readonly EndpointIr[] = [],
  answers: readonly Answer[] = [],
): ClusterIr {
  const { healthCheck, outlierDetection, tls } = spec;
  const discovery = discoveryOf(spec);
  const transport = transportOf(spec);
  return frozen<ClusterIr>({
    id,
    name,
    ...(transport !== undefined && { transport }),
    protocol: spec.protocol ?? 'http1',
    discovery,
    endpoints: discovery === 'eds' ? joined(resolved(spec, answers), own(spec), registered) : joined(own(spec)),
    ...(isNamed(spec) && { named: true as const }),
    loadBalancing: spec.loadBalancing ?? 'round_robin',
    connectTimeoutMs: spec.connectTimeoutMs ?? 1000,
    circuitBreaker: {
      maxConnections: spec.circuitBreaker?.maxConnections ?? 1024,
      maxPendingRequests: spec.circuitBreaker?.maxPendingRequests ?? 1024,
      maxRequests: spec.circuitBreaker?.maxRequests ?? 1024,
      maxRetries: spec.circuitBreaker?.maxRetries ?? 3,
    },
    ...(healthCheck && {
      healthCheck: {
        path: healthCheck.path,
        intervalMs: healthCheck.intervalMs ?? 5000,
        timeoutMs: healthCheck.timeoutMs ?? 1000,
        healthyThreshold: healthCheck.healthyThreshold ?? 1,
        unhealthyThreshold: healthCheck.unhealthyThreshold ?? 3,
      },
    }),
    ...(outlierDetection && {
      outlierDetection: {
        consecutive5xx: outlierDetection.consecutive5xx ?? 5,
        intervalMs: outlierDetection.intervalMs ?? 10_000,
        baseEjectionTimeMs: outlierDetection.baseEjectionTimeMs ?? 30_000,
        maxEjectionPercent: outlierDetection.maxEjectionPercent ?? 10,
      },
    }),
    ...(tls && { tls: { ...tls } }),
  });
}

/**
 * Short hash of the protocol and the TLS settings; undefined for HTTP/1.1 in plain text. Endpoints inside the cluster change
 * with it at one stroke, and need none.
 */
export function transportOf(spec: Spec): string | undefined {
  const { protocol = 'http1', tls } = spec;
  if ((protocol === 'http1' && !tls) || discoveryOf(spec) === 'dns') return undefined;
  // What TLS verifies by the endpoints' own names must not meet endpoints that have none.
  const byName = tls && tls.sni === undefined && isNamed(spec) ? ['named'] : [];
  const told = JSON.stringify([protocol, tls && [tls.sni ?? null, tls.caPem ?? null], ...byName]);
  return createHash('sha256').update(told).digest('hex').slice(0, 8);
}

/** How Envoy learns of the endpoints: told by us, or by resolving their names. */
export function discoveryOf({ endpoints }: Spec): ClusterIr['discovery'] {
  return endpoints.every(({ host }) => ipVersion(host) !== undefined) ? 'eds' : 'dns';
}

/** Whether all endpoints of the definition come from names that the controller resolves. */
function isNamed({ endpoints, discovery }: Spec): boolean {
  return endpoints.length === 0 && (discovery?.dns.length ?? 0) > 0;
}

function own({ endpoints }: Spec): EndpointIr[] {
  return endpoints.map(({ host, port, weight, ...place }) => ({
    host: host.toLowerCase(),
    port,
    weight: weight ?? 1,
    ...at(place),
  }));
}

/** What the names led to; of an address that several led to, the first entry in the definition counts. */
function resolved({ discovery }: Spec, answers: readonly Answer[]): EndpointIr[] {
  const byQuestion = new Map(answers.map((answer) => [questionKey(answer), answer]));
  const found = (discovery?.dns ?? []).flatMap(({ type, name, port, weight, ...place }) => {
    const question = questionOf({ ...(type && { type }), name });
    return (byQuestion.get(questionKey(question))?.addresses ?? []).flatMap((address): EndpointIr[] => {
      const reached = address.port ?? port;
      if (reached === undefined) return [];
      const { host, tier = 0, target = question.name } = address;
      return [
        {
          host,
          port: reached,
          weight: address.weight ?? weight ?? 1,
          hostname: target,
          ...(tier > 0 && { tier: Math.min(tier, LAST_TIER) }),
          ...at(place),
        },
      ];
    });
  });
  return found.reverse();
}

function at(place: Parameters<typeof placeOf>[0]): Pick<EndpointIr, 'place'> {
  return place.region === undefined ? {} : { place: placeOf(place) };
}

/** All of them by address; a later one takes the place of an earlier. */
function joined(...lists: readonly (readonly EndpointIr[])[]): EndpointIr[] {
  const byAddress = new Map(lists.flat().map((e) => [`${canonicalIp(e.host)}\n${e.port}`, e]));
  return [...byAddress.values()].sort((a, b) => byText(a.host, b.host) || a.port - b.port);
}
