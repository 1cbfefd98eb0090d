import type { Definitions, Spec } from '../core/model/definitions.js';
import { KINDS, type Kind, PLURAL } from '../core/model/kind.js';
import type { AdminClient } from './admin.js';
import { usage } from './exit.js';

/** An object as the admin API shows it. */
export interface Shown {
  readonly kind: Kind;
  readonly name: string;
  readonly id: string;
  readonly revision: number;
  readonly state: string;
  readonly spec: Spec;
  readonly updatedAt?: string;
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
export async function heldBy(admin: AdminClient, workspace: string, release?: number): Promise<Definitions> {
  const query = release === undefined ? '' : `?release=${release}`;
  const { body } = await admin.ask<Definitions>('GET', `${workspacePath(workspace)}/definitions${query}`);
  return body;
}

/** A positive whole number given on the command line. */
export function releaseNumber(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text))
    throw usage(`"${text}" is not the number of a release.`, 'List them with: paifang releases');
  return Number(text);
}
