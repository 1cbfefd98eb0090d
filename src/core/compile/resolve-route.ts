import { codeOf } from '../codes/catalogue.js';
import type { FleetIr } from '../ir/fleet.js';
import type { ForwardIr, MockIr, RouteIr, SegmentIr } from '../ir/group.js';
import type { ApiSpec, UpstreamSpec } from '../model/api.js';
import { parseApiPath } from '../model/path.js';
import { DEFAULT_TIMEOUT_MS } from '../model/rules-api.js';
import { byText, frozen } from './frozen.js';
import type { StoredObject } from './objects.js';
import { resolvePolicy } from './resolve-policy.js';
import { resolveRewrite } from './resolve-rewrite.js';

/** What routes take from a cluster. */
export interface ClusterLink {
  readonly id: string;
  readonly transport?: string;
  /** Requests to it are signed with its key. */
  readonly signed: boolean;
}

/** A route before the defaults of a fleet are filled in, so that fleets can share the work. */
export interface RouteDraft {
  readonly route: Omit<RouteIr, 'checkedBodyBytes' | 'resultCodeHeader'>;
  /** Whether the edge reads the body; `bodyLimit` absent: up to the fleet's limit. */
  readonly readsBody: boolean;
  readonly bodyLimit?: number;
  /** Absent: as the fleet says. */
  readonly resultCodeHeader?: boolean;
}

/** The route of an API, whose spec conforms to the rules of the model and whose clusters exist. */
export function resolveRoute(api: StoredObject<'api'>, linkOf: (cluster: string) => ClusterLink): RouteDraft {
  const { spec } = api;
  const { path } = parseApiPath(spec.match.path);
  if (!path) throw new Error(`API ${api.name} has a path that its rules refuse`);
  const resign = spec.upstream.kind === 'mock' ? undefined : signingCluster(spec.upstream, linkOf);
  const policy = resolvePolicy(spec.auth, resign);
  return frozen<RouteDraft>({
    route: {
      apiId: api.id,
      apiName: api.name,
      path: { text: spec.match.path, segments: path.segments, prefix: path.prefix },
      methods: [...(spec.match.methods ?? [])].sort(),
      ...(policy && { policy }),
      action: spec.upstream.kind === 'mock' ? resolveMock(spec.upstream) : resolveForward(spec, spec.upstream, linkOf),
    },
    readsBody: policy?.signature !== undefined && policy.signature.digest !== 'ignore',
    ...(spec.maxBodyBytes !== undefined && { bodyLimit: spec.maxBodyBytes }),
    ...(spec.resultCodeHeader !== undefined && { resultCodeHeader: spec.resultCodeHeader }),
  });
}

/** The route as the fleet serves it. */
export function bindRoute({ route, readsBody, bodyLimit, resultCodeHeader }: RouteDraft, fleet: FleetIr): RouteIr {
  return Object.freeze({
    ...route,
    // Zero would mean that the edge is not given the body and so cannot check it; with one byte it can, and all else is too large.
    checkedBodyBytes: readsBody ? Math.max(1, bodyLimit ?? fleet.maxBodyBytes) : 0,
    resultCodeHeader: resultCodeHeader ?? fleet.resultCodeHeader,
  });
}

type ForwardSpec = Exclude<UpstreamSpec, { kind: 'mock' }>;

function signingCluster(upstream: ForwardSpec, linkOf: (cluster: string) => ClusterLink): string | undefined {
  const names = upstream.kind === 'cluster' ? [upstream.cluster] : upstream.clusters.map(({ cluster }) => cluster);
  return names.map(linkOf).find((link) => link.signed)?.id;
}

function resolveForward(spec: ApiSpec, upstream: ForwardSpec, linkOf: (cluster: string) => ClusterLink): ForwardIr {
  const weighted = upstream.kind === 'cluster' ? [{ cluster: upstream.cluster, weight: 100 }] : upstream.clusters;
  const { path } = parseApiPath(spec.match.path);
  const rewrite = path && resolveRewrite(spec.match.path, path, upstream.path);
  return {
    kind: 'forward',
    clusters: weighted
      .map(({ cluster, weight }) => {
        const { id, transport } = linkOf(cluster);
        return { id, ...(transport !== undefined && { transport }), weight };
      })
      .sort((a, b) => byText(a.id, b.id)),
    ...(rewrite && { rewrite }),
    ...(upstream.host !== undefined && { host: upstream.host }),
    timeoutMs: spec.timeoutMs ?? DEFAULT_TIMEOUT_MS,
    ...(spec.retry && { retry: resolveRetry(spec.retry) }),
  };
}

function resolveRetry(retry: NonNullable<ApiSpec['retry']>): NonNullable<ForwardIr['retry']> {
  const statusCodes = [...(retry.statusCodes ?? [])].sort((a, b) => a - b);
  const byDefault = [
    'connect-failure',
    'refused-stream',
    ...(statusCodes.length > 0 ? ['retriable-status-codes'] : []),
  ];
  return {
    attempts: retry.attempts,
    on: [...(retry.on ?? byDefault)].sort(),
    statusCodes,
    ...(retry.perTryTimeoutMs !== undefined && { perTryTimeoutMs: retry.perTryTimeoutMs }),
  };
}

function resolveMock(mock: Extract<UpstreamSpec, { kind: 'mock' }>): MockIr {
  const entry = codeOf(mock.resultCode ?? '1100');
  if (!entry) throw new Error(`Result code ${mock.resultCode} is not in the catalogue`);
  const headers = Object.entries(mock.headers ?? {}).map(([name, value]) => ({ name: name.toLowerCase(), value }));
  return {
    kind: 'mock',
    code: entry.code,
    memo: entry.memo,
    status: mock.status ?? entry.httpStatus,
    headers: [...headers, { name: 'content-type', value: mock.contentType ?? 'application/json' }].sort((a, b) =>
      byText(a.name, b.name),
    ),
    body: mock.body ?? '',
  };
}

/**
 * Order of precedence: of two routes that match one request, the lesser is the one. More segments first (`*` counts as
 * one); then, segment by segment from the left, literal before parameter before `*`; then routes with methods before those
 * for any method. What is still equal cannot match the same request, and goes by name.
 */
export function byPrecedence(a: RouteDraft, b: RouteDraft): number {
  const [ranksA, ranksB] = [ranks(a), ranks(b)];
  if (ranksA.length !== ranksB.length) return ranksB.length - ranksA.length;
  for (const [i, rank] of ranksA.entries()) {
    const difference = rank - (ranksB[i] ?? 0);
    if (difference !== 0) return difference;
  }
  const anyA = a.route.methods.length === 0 ? 1 : 0;
  const anyB = b.route.methods.length === 0 ? 1 : 0;
  return anyA - anyB || byText(a.route.apiName, b.route.apiName);
}

const RANK: Readonly<Record<SegmentIr['kind'], number>> = { literal: 0, parameter: 1 };

function ranks({ route: { path } }: RouteDraft): number[] {
  const segments = path.segments.map((segment) => RANK[segment.kind]);
  if (path.prefix) return [...segments, 2];
  // `/` is one segment that is empty, and before `/*`, which takes it too.
  return segments.length === 0 ? [RANK.literal] : segments;
}
