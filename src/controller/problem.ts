import { type Static, Type } from 'typebox';
import type { Diagnostic } from '../core/diagnostic.js';

/** One fault of a request. `code` is a diagnostic's, or one of the HTTP door's own. */
export const Fault = Type.Object(
  {
    code: Type.String({ description: 'Stable; scripts may depend on it.' }),
    pointer: Type.String({
      description: 'JSON pointer into the body, or query:/<parameter>, path:/<parameter>, header:/<name>.',
    }),
    message: Type.String({ description: 'What is wrong.' }),
    hint: Type.String({ description: 'What to do about it.' }),
    severity: Type.Optional(Type.Enum(['error', 'warning'])),
    object: Type.Optional(Type.Object({ kind: Type.String(), name: Type.String() })),
  },
  { title: 'Fault', additionalProperties: false },
);
export type Fault = Static<typeof Fault>;

/** Body of every answer that is no success: RFC 9457 with all faults at once. */
export const ProblemDocument = Type.Object(
  {
    type: Type.String({ description: 'urn:paifang:problem:<name>; stable.' }),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.String(),
    instance: Type.String({ description: 'Id of this request; it stands in the log and in the audit.' }),
    errors: Type.Array(Fault),
  },
  { title: 'Problem', description: 'application/problem+json (RFC 9457).' },
);

/** The kinds of problems: status and title. The key is the last part of the `type` URI. */
export const PROBLEMS = {
  'malformed-body': { status: 400, title: 'The body is not well-formed' },
  'malformed-request': { status: 400, title: 'The request is not well-formed' },
  'invalid-parameter': { status: 400, title: 'A parameter is wrong' },
  unauthorized: { status: 401, title: 'An admin token is needed' },
  'not-found': { status: 404, title: 'There is no such thing' },
  'method-not-allowed': { status: 405, title: 'The path does not have this method' },
  conflict: { status: 409, title: 'The request contradicts what is stored' },
  'still-referenced': { status: 409, title: 'Other objects still refer to it' },
  'stale-revision': { status: 412, title: 'It was changed since it was read' },
  'body-too-large': { status: 413, title: 'The body is too large' },
  'wrong-content-type': { status: 415, title: 'The content type is not accepted' },
  'invalid-definitions': { status: 422, title: 'The definitions have faults' },
  'precondition-required': { status: 428, title: 'If-Match is needed' },
  'headers-too-large': { status: 431, title: 'The header fields are too large' },
  internal: { status: 500, title: 'A fault of the gateway itself' },
  'database-away': { status: 503, title: 'The database cannot be reached' },
  'workspace-busy': { status: 503, title: 'Earlier changes of the workspace are still under way' },
  'log-store-away': { status: 503, title: 'The log store cannot be reached' },
} as const satisfies Record<string, { status: number; title: string }>;
export type ProblemName = keyof typeof PROBLEMS;

/** Thrown anywhere under a request; the filter writes it. Nothing in it may be a secret. */
export class Problem extends Error {
  readonly status: number;

  constructor(
    readonly problem: ProblemName,
    readonly detail: string,
    readonly faults: readonly Fault[] = [],
    readonly headers: Readonly<Record<string, string>> = {},
  ) {
    super(detail);
    this.name = 'Problem';
    this.status = PROBLEMS[problem].status;
  }
}

/** `diagnostics` as faults of a request; `pointerOf` gives the pointer of an object's spec in the body, '' when it is not there. */
export function faultsOf(
  diagnostics: readonly Diagnostic[],
  pointerOf: (object: { kind: string; name: string }) => string = () => '',
): Fault[] {
  return diagnostics.map(({ code, path, message, hint, severity, object }) => ({
    code,
    pointer: object ? pointerOf(object) + path : path,
    message,
    hint,
    severity,
    ...(object ? { object: { kind: object.kind, name: object.name } } : {}),
  }));
}

/** The problem of definitions with errors: every one is told, warnings too. */
export function invalidDefinitions(faults: readonly Fault[]): Problem {
  const errors = faults.filter((fault) => fault.severity !== 'warning').length;
  return new Problem(
    'invalid-definitions',
    `${errors === 1 ? 'One fault' : `${errors} faults`}; nothing was stored.`,
    faults,
  );
}

export function notFound(
  what: string,
  hint = 'Correct the name or the workspace; a list shows what there is.',
): Problem {
  return new Problem('not-found', `${what} does not exist.`, [
    { code: 'not-found', pointer: '', message: `${what} does not exist.`, hint },
  ]);
}

/** The problem of a change that waited for others of the workspace for too long; it was not begun. */
export function workspaceBusy(waitedMs: number): Problem {
  const detail = `Changes of the workspace that were sent before are still under way after ${waitedMs / 1000} s; nothing was stored. Try again.`;
  return new Problem('workspace-busy', detail, [], { 'retry-after': '1' });
}
