import type { Change, Compiler, StoredObject, Update } from '../core/compile.js';
import { type Diagnostic, hasErrors } from '../core/diagnostic.js';
import { StoreUnavailable } from '../store/outage.js';
import { groupReleases, type Version, versionsAt } from '../store/releases.js';
import type { Store } from '../store/store.js';
import type { WorkspaceRow } from '../store/tables.js';
import { joinedSince } from './joined.js';
import { workspaceBusy } from './problem.js';
import type { Patience, Turns } from './turns.js';

/** A workspace as this replica has it in force. */
export interface Resident {
  readonly name: string;
  /** When it was made, in Unix ms: tells a workspace from a later one of the same name. */
  readonly createdAt: number;
  readonly compiler: Compiler;
  /** Revision of what is joined without a release that the compiler knows. */
  credentials: number;
  readonly turns: Turns;
  /** A stored release that could not be applied; it and later ones are not in force here. */
  fault?: Fault | undefined;
}

export interface Fault {
  /** The newest release that was tried. */
  upTo: number;
  /** For people: what is wrong, and what to do. */
  readonly reason: string;
}

export interface ResidentState {
  readonly workspace: string;
  readonly release: number;
  readonly fleets: string[];
  readonly fault?: string;
}

export function stateOf({ name, compiler, fault }: Resident): ResidentState {
  const state = { workspace: name, release: compiler.release, fleets: compiler.fleetKeys() };
  return fault === undefined ? state : { ...state, fault: fault.reason };
}

/** Everything in force of a workspace, as of one moment. @throws StoreUnavailable. */
export function loadedFrom(store: Store, workspace: string) {
  return store.snapshot(async (manager) => {
    const [row = { release: 0, credentials: 0 }]: { release: number; credentials: number }[] = await manager.query(
      'select release, credentials_revision as credentials from workspace where name = $1',
      [workspace],
    );
    const versions = await versionsAt(manager, workspace, row.release);
    const { joined } = await joinedSince(manager, store.masterKey, workspace, 0);
    return { ...row, versions, joined, groupReleases: await groupReleases(manager, workspace) };
  });
}

/** How long a change waits for those before it, in ms. */
const TURN_MS = 15_000;

/** Changes do not wait for their turn for ever, and are told why they did. */
export function patience(live: { readonly store: Store; readonly away: string | undefined }): Patience {
  const late = () =>
    live.away === undefined ? workspaceBusy(TURN_MS) : new StoreUnavailable(live.store.where, live.away, 'nothing');
  return { ms: TURN_MS, late };
}

/** What is to be told of a release that does not compile here. */
export function faultOf(release: number, inForce: number, reasons: readonly string[]): Fault {
  const what = reasons.slice(0, 3).join(' ');
  const stays = inForce === 0 ? 'nothing of the workspace is in force here' : `release ${inForce} stays in force here`;
  return {
    upTo: release,
    reason: `release ${release} does not compile here, so ${stays}: ${what} Mend and publish what is named, or run the version of Paifang that published it.`,
  };
}

/** Whether the stored workspace is another one of the same name, or an older state of it (a restored backup). */
export function isStale(resident: Resident, row: Pick<WorkspaceRow, 'createdAt' | 'release'>): boolean {
  return resident.createdAt !== row.createdAt.getTime() || resident.compiler.release > row.release;
}

export function storedOf({ kind, name, id, spec, fromRelease }: Version): StoredObject {
  // What is stored was judged by its schema before.
  return { kind, name, id, spec, release: fromRelease } as unknown as StoredObject;
}

/** Applies `change`, if it can be: an error of the compiler itself, too, is one workspace's and no other's. */
export function attempt(compiler: Compiler, change: Change): { reasons: string[]; fleets: Update['fleets'] } {
  try {
    const { diagnostics, fleets } = compiler.apply(change);
    return { reasons: hasErrors(diagnostics) ? diagnostics.map(told) : [], fleets };
  } catch (error) {
    return { reasons: [String(error)], fleets: new Map() };
  }
}

function told({ object, message }: Diagnostic): string {
  return `${object ? `${object.kind} "${object.name}": ` : ''}${message}`;
}
