import type { DiagnosticCode } from '../diagnostic.js';

/** What is wrong with a text a user wrote, and what to write instead; the caller adds code, place and object. */
export interface Fault {
  readonly message: string;
  readonly hint: string;
}

/** Adds a finding about one field of a spec; `path` is a JSON pointer relative to the spec. */
export type Report = (code: DiagnosticCode, path: string, message: string, hint: string) => void;

/** `report` for a fault that a parser found. */
export function reportFault(report: Report, code: DiagnosticCode, path: string, fault: Fault | undefined): void {
  if (fault) report(code, path, fault.message, fault.hint);
}
