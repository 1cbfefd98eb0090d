/**
 * A finding about what a user wrote. Mistakes of users are data: everything that reads definitions collects these and goes
 * on, so that all faults are told at once. Bugs and outages are thrown instead.
 */
export interface Diagnostic {
  /** Key of {@link DIAGNOSTICS}, stable across versions: scripts may depend on it. */
  readonly code: DiagnosticCode;
  readonly severity: Severity;
  /** JSON pointer (RFC 6901) into the document that was read, e.g. `/apis/3/match/path`; `''` is the whole document. */
  readonly path: string;
  /** The stored object the finding is about, when it is about one. */
  readonly object?: ObjectRef;
  /** What is wrong, with the offending value, in one sentence. */
  readonly message: string;
  /** What to do about it. */
  readonly hint: string;
}

export type Severity = 'error' | 'warning';

/** A stored object, named the way users name it. */
export interface ObjectRef {
  readonly kind: 'group' | 'api' | 'cluster' | 'app' | 'fleet';
  readonly name: string;
}

/** What each code means in general; the message of a {@link Diagnostic} says it of the case at hand. Source of docs/reference/diagnostics.md. */
export const DIAGNOSTICS = {
  limit: { severity: 'error', summary: 'The document is larger, deeper or more repetitive than is read.' },
  syntax: { severity: 'error', summary: 'The document is not well-formed YAML or JSON.' },
  schema: { severity: 'error', summary: 'A value does not have the shape the schema asks for.' },
  'unknown-field': {
    severity: 'error',
    summary: 'A field that no schema knows; it is refused so that a typing error is never silently ignored.',
  },
  'duplicate-name': { severity: 'error', summary: 'Two objects of one kind have the same name in one workspace.' },
  'duplicate-id': { severity: 'error', summary: 'Two objects of one kind have the same id.' },
  'reserved-id': { severity: 'error', summary: 'An id that the gateway keeps for resources of its own.' },
  'duplicate-key': { severity: 'error', summary: 'A mapping has the same key twice.' },
  'unknown-reference': { severity: 'error', summary: 'An object names another one that does not exist.' },
  'in-use': { severity: 'error', summary: 'An object that others still name cannot be removed.' },
  'dangling-grant': {
    severity: 'warning',
    summary:
      'An App is granted an API or group that is not in force; the grant counts from the moment it is published.',
  },
  'duplicate-access-key': {
    severity: 'error',
    summary: 'Two credentials have the same access key, so a caller could not be told.',
  },
  'duplicate-host': { severity: 'error', summary: 'A host belongs to two groups; a host selects exactly one group.' },
  'invalid-host': { severity: 'error', summary: 'A host is not a lower-case DNS name or an IP address without port.' },
  'invalid-path': {
    severity: 'error',
    summary: 'A path is not one of the three forms: exact, with {parameter}s, or ending in /*.',
  },
  'ambiguous-match': {
    severity: 'error',
    summary: 'Two APIs of a group match the same requests, so that order alone would decide.',
  },
  'invalid-header-name': { severity: 'error', summary: 'A header name that HTTP or Envoy does not allow here.' },
  'unseen-header': {
    severity: 'warning',
    summary:
      'Signatures must cover a header that the fleet does not hand to the edge; every request is refused with 2102.',
  },
  'invalid-header-value': { severity: 'error', summary: 'A header value with characters HTTP does not allow.' },
  'invalid-endpoint': { severity: 'error', summary: 'An endpoint has a host or port that cannot be called.' },
  'no-endpoint': { severity: 'warning', summary: 'A cluster has no endpoint; its APIs answer 4000.' },
  'unused-registration': {
    severity: 'warning',
    summary: 'Endpoints are registered for a cluster whose own endpoints are DNS names; they get no requests.',
  },
  'unresolved-name': {
    severity: 'warning',
    summary:
      'DNS has no addresses for a name that the controller resolves; they join the cluster as soon as there are any.',
  },
  'no-failover': {
    severity: 'warning',
    summary:
      'The endpoints of a cluster stand in several places, but neither health check nor outlier detection lets Envoy leave ill ones.',
  },
  'open-around-guarded': {
    severity: 'warning',
    summary:
      'An open pattern matches other spellings of the path of an API that asks for a signature, and leads to the same cluster.',
  },
  'invalid-upstream': {
    severity: 'error',
    summary: 'An upstream combines clusters that cannot share the traffic of one API.',
  },
  'invalid-weights': { severity: 'error', summary: 'The weights of an upstream do not add up to 100.' },
  'invalid-rewrite': {
    severity: 'error',
    summary: 'An upstream path uses a parameter that the API path does not have.',
  },
  'invalid-timeout': { severity: 'error', summary: 'Timeouts contradict each other.' },
  'invalid-retry': { severity: 'error', summary: 'Retry settings that contradict each other.' },
  'invalid-mock': {
    severity: 'error',
    summary: 'A mock that cannot be answered: unknown result code, or a status that cannot be sent.',
  },
  'unknown-result-code': { severity: 'error', summary: 'A result code that the catalogue does not have.' },
  'invalid-listener': { severity: 'error', summary: 'A listener address that is no IP address.' },
  'invalid-setting': { severity: 'error', summary: 'A setting of a fleet that Envoy or HTTP does not allow.' },
  'listener-conflict': { severity: 'error', summary: 'Two listeners of a fleet use the same address and port.' },
  'group-too-large': { severity: 'error', summary: 'A group has more APIs than one route table may hold.' },
  'envoy-refused': {
    severity: 'error',
    summary: 'Envoy itself refuses what an object is compiled to. The message has its words; no rule foresaw it.',
  },
  'nothing-serves': { severity: 'warning', summary: 'A published group that no fleet serves.' },
} as const satisfies Record<string, { severity: Severity; summary: string }>;

export type DiagnosticCode = keyof typeof DIAGNOSTICS;

/** A diagnostic of `code` with the severity of the catalogue. Pure. */
export function diagnostic(
  code: DiagnosticCode,
  path: string,
  message: string,
  hint: string,
  object?: ObjectRef,
): Diagnostic {
  const base = { code, severity: DIAGNOSTICS[code].severity, path, message, hint };
  return Object.freeze(object ? { ...base, object } : base);
}

/** Whether any finding forbids going on. */
export function hasErrors(diagnostics: readonly Diagnostic[]): boolean {
  return diagnostics.some((d) => d.severity === 'error');
}

/** `segment` escaped for use in a JSON pointer (RFC 6901 §3). */
export function pointerSegment(segment: string | number): string {
  return String(segment).replaceAll('~', '~0').replaceAll('/', '~1');
}
