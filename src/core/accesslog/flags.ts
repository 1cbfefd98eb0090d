import type { FlagMeaning } from './record.js';

interface FlagRow extends FlagMeaning {
  /** Status Envoy answers with by itself; absent where there is none or several. */
  readonly status?: number;
}

/**
 * The 30 response flags of Envoy 1.40 (accesslog.proto, ResponseFlagFilter), in words of our own. They say what happened
 * to the request; they do not give the result code by themselves: one UAEX stands for every refusal of the edge.
 */
export const FLAGS: readonly FlagRow[] = [
  {
    flag: 'LH',
    name: 'FailedLocalHealthCheck',
    status: 503,
    meaning: 'The gateway node reports itself unhealthy and refused the request.',
  },
  { flag: 'UH', name: 'NoHealthyUpstream', status: 503, meaning: 'The system cluster has no healthy host.' },
  {
    flag: 'UT',
    name: 'UpstreamRequestTimeout',
    status: 504,
    meaning: 'The backend did not answer within the time-out.',
  },
  { flag: 'LR', name: 'LocalReset', status: 503, meaning: 'The gateway reset the connection to the backend.' },
  { flag: 'UR', name: 'UpstreamRemoteReset', status: 503, meaning: 'The backend reset the request.' },
  {
    flag: 'UF',
    name: 'UpstreamConnectionFailure',
    status: 503,
    meaning: 'No connection to the backend could be made.',
  },
  {
    flag: 'UC',
    name: 'UpstreamConnectionTermination',
    status: 503,
    meaning: 'The backend closed the connection before it answered.',
  },
  {
    flag: 'UO',
    name: 'UpstreamOverflow',
    status: 503,
    meaning: 'A circuit breaker of the system cluster is open; the backend was not asked.',
  },
  { flag: 'NR', name: 'NoRouteFound', status: 404, meaning: 'No route, or no filter chain, fits the request.' },
  { flag: 'DI', name: 'DelayInjected', meaning: 'The request was delayed on purpose by fault injection.' },
  { flag: 'FI', name: 'FaultInjected', meaning: 'The request was stopped on purpose by fault injection.' },
  { flag: 'RL', name: 'RateLimited', status: 429, meaning: 'The gateway refused the request because of a rate limit.' },
  {
    flag: 'UAEX',
    name: 'UnauthorizedExternalService',
    meaning: 'The edge or an external authorization service refused the request, or could not be asked.',
  },
  {
    flag: 'RLSE',
    name: 'RateLimitServiceError',
    meaning: 'The rate-limit service failed and the API says to refuse then.',
  },
  {
    flag: 'DC',
    name: 'DownstreamConnectionTermination',
    meaning: 'The client closed the connection before the response was complete.',
  },
  { flag: 'URX', name: 'UpstreamRetryLimitExceeded', meaning: 'All tries allowed at the backend were used up.' },
  {
    flag: 'SI',
    name: 'StreamIdleTimeout',
    meaning: 'Nothing moved in either direction for the idle time-out (408 or 504).',
  },
  {
    flag: 'IH',
    name: 'InvalidEnvoyRequestHeaders',
    status: 400,
    meaning: 'A header that the gateway checks strictly has an invalid value.',
  },
  { flag: 'DPE', name: 'DownstreamProtocolError', meaning: 'The client sent what is not valid HTTP.' },
  {
    flag: 'UMSDR',
    name: 'UpstreamMaxStreamDurationReached',
    status: 504,
    meaning: 'The request reached the longest duration its system cluster allows.',
  },
  { flag: 'RFCF', name: 'ResponseFromCacheFilter', meaning: 'The response came from the cache of the gateway.' },
  {
    flag: 'NFCF',
    name: 'NoFilterConfigFound',
    status: 500,
    meaning: 'The configuration of a filter did not arrive in time.',
  },
  { flag: 'DT', name: 'DurationTimeout', meaning: 'The request or its connection lasted longer than is allowed.' },
  { flag: 'UPE', name: 'UpstreamProtocolError', status: 502, meaning: 'The backend answered what is not valid HTTP.' },
  {
    flag: 'NC',
    name: 'NoClusterFound',
    status: 503,
    meaning: 'The system cluster of the route does not exist on this node.',
  },
  {
    flag: 'OM',
    name: 'OverloadManagerTerminated',
    meaning: 'The overload manager ended the request to protect the node.',
  },
  { flag: 'DF', name: 'DnsResolutionFailed', status: 503, meaning: 'The name of the backend did not resolve.' },
  {
    flag: 'DO',
    name: 'DropOverload',
    status: 503,
    meaning: 'The request was dropped, because the system cluster tells gateways to drop a share of its load.',
  },
  { flag: 'DR', name: 'DownstreamRemoteReset', meaning: 'The client reset the request (HTTP/2 or HTTP/3).' },
  {
    flag: 'UDO',
    name: 'UnconditionalDropOverload',
    status: 503,
    meaning: 'The request was dropped, because the system cluster tells gateways to drop all its load.',
  },
];

const BY_FLAG: ReadonlyMap<string, FlagMeaning> = new Map(
  FLAGS.map(({ flag, name, meaning }) => [flag, Object.freeze({ flag, name, meaning })]),
);

/** Who limited the rate, which the flag RL alone does not say: both limiters of Envoy set it. */
const LIMITERS: ReadonlyMap<string, FlagMeaning> = new Map([
  ['local_rate_limited', limiter('The limit of this gateway node was reached (local rate limit).')],
  ['request_rate_limited', limiter('The limit shared by all gateway nodes was reached (rate-limit service).')],
]);

/**
 * What a short flag means; `details` tells apart what one flag is used for (RL: by the node or by the shared limit).
 * A flag that is not Envoy's own (extensions may register some) is given back as it is.
 */
export function meaningOfFlag(flag: string, details?: string | null): FlagMeaning {
  if (flag === 'RL') {
    const who = LIMITERS.get(details ?? '');
    if (who) return who;
  }
  return BY_FLAG.get(flag) ?? { flag, name: flag, meaning: 'A flag of an extension; Envoy itself does not define it.' };
}

function limiter(meaning: string): FlagMeaning {
  return Object.freeze({ flag: 'RL', name: 'RateLimited', meaning });
}
