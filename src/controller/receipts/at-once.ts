import { FleetHistory, type Holder, type ResourceChange } from '../../core/ads/in-force.js';

/** Revisions of a workspace that are remembered to have changed nothing at any fleet, or something. */
const REVISIONS = 256;
const ANYTHING: Holder = { wants: () => true, acked: () => undefined };

/** What changes that need no release (endpoints, keys) did to fleets, by revision of the workspace. */
export class AtOnce {
  readonly #histories = new Map<string, FleetHistory>();
  readonly #revisions = new Map<string, Set<number>>();
  readonly #newest = new Map<string, number>();
  readonly #joining = new Map<string, number>();

  /** The whole workspace is loaded as it was at this revision. */
  loaded(workspace: string, revision: number): void {
    this.#newest.set(workspace, revision);
  }

  /** What is published until `joined` is the doing of this revision. */
  joining(workspace: string, revision: number): void {
    this.#joining.set(workspace, revision);
  }

  joined(workspace: string, revision: number): void {
    this.#joining.delete(workspace);
    this.#newest.set(workspace, revision);
    const revisions = this.#revisions.get(workspace) ?? new Set<number>();
    this.#revisions.set(workspace, revisions.add(revision));
    const [oldest] = revisions;
    if (revisions.size > REVISIONS && oldest !== undefined) revisions.delete(oldest);
  }

  /** Revision that is being published now. */
  current(workspace: string): number | undefined {
    return this.#joining.get(workspace);
  }

  /** Newest revision that this replica has pushed; 0 when there is none. */
  newest(workspace: string): number {
    return this.#newest.get(workspace) ?? 0;
  }

  forget(workspace: string): void {
    this.#revisions.delete(workspace);
    this.#newest.delete(workspace);
    for (const fleet of this.#histories.keys()) if (fleet.startsWith(`${workspace}/`)) this.#histories.delete(fleet);
  }

  /** A fleet was told something; without a revision by a release, whose content counts as newer. */
  published(fleet: string, changes: readonly ResourceChange[], revision: number | undefined): void {
    const history = this.#histories.get(fleet) ?? new FleetHistory();
    this.#histories.set(fleet, history);
    if (revision === undefined) history.amended(changes);
    else history.released(revision, changes);
  }

  /** What a revision did, by fleet; undefined when that is not remembered here. */
  changes(workspace: string, revision: number): Map<string, readonly ResourceChange[]> | undefined {
    if (!this.#revisions.get(workspace)?.has(revision)) return undefined;
    const found = new Map<string, readonly ResourceChange[]>();
    for (const [fleet, history] of this.#histories)
      if (fleet.startsWith(`${workspace}/`) && history.has(revision))
        found.set(fleet, history.lacks(revision, ANYTHING));
    return found;
  }

  /** What of a revision a node of the fleet lacks. */
  lacks(fleet: string, revision: number, holder: Holder): readonly ResourceChange[] {
    return this.#histories.get(fleet)?.lacks(revision, holder) ?? [];
  }

  /** Newest revision up to which a node, which had all before `from`, has everything. */
  reached(fleet: string, from: number, holder: Holder): number {
    const history = this.#histories.get(fleet);
    for (const revision of history?.known() ?? [])
      if (revision > from && history && history.lacks(revision, holder).length > 0) return revision - 1;
    return Math.max(from, this.newest(fleet.slice(0, fleet.indexOf('/'))));
  }
}
