import type { Diagnostic } from '../core/diagnostic.js';
import type { Definitions, Spec } from '../core/model/definitions.js';
import { KINDS, type Kind, PLURAL } from '../core/model/kind.js';
import type { AdminClient } from './admin.js';
import type { ObjectChange } from './difference.js';
import type { Fault } from './exit.js';
import { usage } from './exit.js';
import type { Receipt } from './receipt.js';
import { note, paint, visible } from './terminal.js';

/** An object as the admin API shows it. */
export interface Shown {
  readonly kind: Kind;
  readonly name: string;
  readonly id: string;
  readonly revision: number;
  readonly state: string;
  /** Whether what is stored differs from what is in force. */
  readonly pending: boolean;
  readonly inForce: { readonly revision: number; readonly release: number } | null;
  readonly spec: Spec;
  readonly updatedAt?: string;
}

interface ObjectName {
  readonly kind: Kind;
  readonly name: string;
}

/** What a write did, or in a dry run would do, as the admin API answers it. */
export interface Outcome {
  readonly dryRun: boolean;
  /** Release that was made; null when traffic did not change. */
  readonly release: number | null;
  readonly changes: readonly (ObjectChange | (Omit<ObjectChange, 'change'> & { readonly change: 'unchanged' }))[];
  readonly published: readonly ObjectName[];
  readonly removed: readonly ObjectName[];
  readonly alsoPublished: readonly ObjectName[];
  /** Of a rollback: objects whose unpublished edits stay. */
  readonly kept?: readonly ObjectName[];
  readonly diagnostics: readonly Fault[];
  /** What became of it, when that was waited for. */
  readonly receipt?: Receipt;
}

/** `kind name` of each, safe to print. */
export function namesOf(objects: readonly ObjectName[]): string[] {
  return objects.map(({ kind, name }) => `${kind} ${visible(name)}`);
}

/** Prints what the controller warns of to standard error. */
export function printWarnings({ diagnostics }: Outcome): void {
  for (const { code, pointer, message, hint } of diagnostics) {
    note(`${paint('yellow', 'warning', process.stderr)} ${visible(`${code}: ${message}`)}`);
    note(paint('dim', `    ${visible(`${pointer ? `${pointer}: ` : ''}${hint ?? ''}`)}`, process.stderr));
  }
}

/** Prints what the compiler found to standard error. */
export function printFindings(diagnostics: readonly Diagnostic[]): void {
  for (const { severity, code, path, object, message, hint } of diagnostics) {
    const about = object ? `${object.kind} ${object.name}: ` : '';
    note(
      `${paint(severity === 'error' ? 'red' : 'yellow', severity, process.stderr)} ${visible(`${code}: ${about}${message}`)}`,
    );
    note(paint('dim', `    ${visible(`${path ? `${path}: ` : ''}${hint}`)}`, process.stderr));
  }
}

/** Path of a workspace in the admin API. */
export function workspacePath(workspace: string): string {
  return `/api/v1/workspaces/${encodeURIComponent(workspace)}`;
}

/** Path of the objects of a kind, or of one of them. */
export function objectPath(workspace: string, kind: Kind, name?: string): string {
  return `${workspacePath(workspace)}/${PLURAL[kind]}${name === undefined ? '' : `/${encodeURIComponent(name)}`}`;
}

/** The kind a person means by `api`, `apis` or `API`. */
export function kindOf(text: string): Kind {
  const wanted = text.toLowerCase();
  const kind = KINDS.find((k) => k === wanted || PLURAL[k] === wanted);
  if (kind === undefined) throw usage(`there is no kind "${text}".`, `Kinds: ${KINDS.join(', ')}.`);
  return kind;
}

/** What a workspace holds: its latest state, drafts included, or that of a release. */
export async function heldBy(admin: AdminClient, workspace: string, release?: number | 'latest'): Promise<Definitions> {
  const query = release === undefined ? '' : `?release=${release}`;
  const { body } = await admin.ask<Definitions>('GET', `${workspacePath(workspace)}/definitions${query}`);
  return body;
}

/** The number of a release given on the command line; 0 is the empty one before the first. */
export function releaseNumber(text: string): number {
  if (!/^(0|[1-9]\d{0,8})$/.test(text)) {
    throw usage(`"${text}" is not the number of a release.`, 'List them with: paifang releases');
  }
  return Number(text);
}

/** What --release takes: a number, `latest`, or nothing. */
export function releaseOf(text: string | undefined): number | 'latest' | undefined {
  return text === undefined || text === 'latest' ? text : releaseNumber(text);
}
