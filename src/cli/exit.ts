/** Exit statuses of the client verbs; scripts may depend on them. `diff` alone keeps those of diff(1): 0, 1, 2. */
export const EXIT = {
  /** Done, and nothing to complain about. */
  ok: 0,
  /** The command worked and found something: errors in definitions, a difference, unreadable lines. */
  finding: 1,
  /** The command line or an input file cannot be used. */
  usage: 2,
  /** The controller (or gateway) answered with a refusal. */
  refused: 3,
  /** Nothing answered, or it did not answer as a controller does. */
  unreachable: 4,
  /** A fault of this program or of the controller. */
  internal: 5,
} as const;
export type Exit = (typeof EXIT)[keyof typeof EXIT];

/** One fault in the controller's answer (RFC 9457 extension member `errors`). */
export interface Fault {
  readonly code?: string;
  readonly pointer?: string;
  readonly message: string;
  readonly hint?: string;
}

/** An end of a verb that is no fault of the program: what is wrong, what to do, and the exit status. */
export class CliError extends Error {
  constructor(
    readonly exit: Exit,
    message: string,
    readonly hint = '',
    readonly faults: readonly Fault[] = [],
  ) {
    super(message);
  }
}

/** A usage error: status 2. */
export function usage(message: string, hint = ''): CliError {
  return new CliError(EXIT.usage, message, hint);
}
