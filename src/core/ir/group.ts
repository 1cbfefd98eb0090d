import type { PolicyIr } from './policy.js';

export interface GroupIr {
  readonly id: string;
  readonly name: string;
  readonly workspace: string;
  /** Release that last changed this group's content. */
  readonly release: number;
  /** Lower-case, sorted. */
  readonly hosts: readonly string[];
  /** In order of precedence: the first that matches is the one. */
  readonly routes: readonly RouteIr[];
}

export interface RouteIr {
  readonly apiId: string;
  readonly apiName: string;
  readonly path: PathIr;
  /** Sorted; empty = any method. */
  readonly methods: readonly string[];
  /** Absent: the edge is not asked. */
  readonly policy?: PolicyIr;
  /** Limit of a body the edge reads; 0: the body is not sent to the edge. Only with `policy`. */
  readonly checkedBodyBytes: number;
  readonly resultCodeHeader: boolean;
  readonly action: ForwardIr | MockIr;
}

/** Segments of the API path between slashes; `/` alone has none. */
export interface PathIr {
  /** As written. */
  readonly text: string;
  readonly segments: readonly SegmentIr[];
  /** Ends in `/*`: everything that begins with the segments and a slash; not the segments alone. */
  readonly prefix: boolean;
}
export type SegmentIr =
  | { readonly kind: 'literal'; readonly text: string }
  | { readonly kind: 'parameter'; readonly name: string };

export interface ForwardIr {
  readonly kind: 'forward';
  /** Cluster ids and weights; one entry = all traffic. Sorted by id. */
  readonly clusters: readonly { readonly id: string; readonly transport?: string; readonly weight: number }[];
  /** How the path is rewritten; absent: as the client sent it. */
  readonly rewrite?: RewriteIr;
  readonly host?: string;
  readonly timeoutMs: number;
  readonly retry?: {
    readonly attempts: number;
    readonly on: readonly string[];
    readonly statusCodes: readonly number[];
    readonly perTryTimeoutMs?: number;
  };
}

/** RE2 pattern over the whole path (no query) and its substitution (`\1` …), as Envoy's RegexMatchAndSubstitute takes them. */
export interface RewriteIr {
  readonly pattern: string;
  readonly substitution: string;
}

export interface MockIr {
  readonly kind: 'mock';
  readonly code: string;
  readonly memo: string;
  readonly status: number;
  /** Sorted by name; content-type among them. */
  readonly headers: readonly { readonly name: string; readonly value: string }[];
  readonly body: string;
}
