import type { Compiler, StoredObject } from '../core/compile.js';
import type { Version } from '../store/releases.js';
import type { WorkspaceRow } from '../store/tables.js';
import type { Turns } from './turns.js';

/** A workspace as this replica has it in force. */
export interface Resident {
  readonly name: string;
  /** When it was made, in Unix ms: tells a workspace from a later one of the same name. */
  readonly createdAt: number;
  readonly compiler: Compiler;
  /** Revision of what is joined without a release that the compiler knows. */
  credentials: number;
  readonly turns: Turns;
  /** Why a stored release could not be applied; it and later ones are not in force here. */
  fault?: string;
}

export interface ResidentState {
  readonly workspace: string;
  readonly release: number;
  readonly fleets: string[];
  readonly fault?: string;
}

/** Whether the stored workspace is another one of the same name, or an older state of it (a restored backup). */
export function isStale(resident: Resident, row: Pick<WorkspaceRow, 'createdAt' | 'release'>): boolean {
  return resident.createdAt !== row.createdAt.getTime() || resident.compiler.release > row.release;
}

export function storedOf({ kind, name, id, spec, fromRelease }: Version): StoredObject {
  // What is stored was judged by its schema before.
  return { kind, name, id, spec, release: fromRelease } as unknown as StoredObject;
}
