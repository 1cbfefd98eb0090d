import type { EntityManager } from 'typeorm';
import type { Canary } from '../canary/canary.js';
import { type Change, Compiler } from '../core/compile.js';
import type { Log } from '../logger.js';
import type { Notice } from '../store/notifications.js';
import type { Ref } from '../store/objects.js';
import { StoreUnavailable } from '../store/outage.js';
import { changesBetween } from '../store/releases.js';
import type { Store } from '../store/store.js';
import type { WorkspaceRow } from '../store/tables.js';
import type { Actor, WorkspaceTransaction } from '../store/transaction.js';
import type { AdsServer } from '../wire/ads-server.js';
import { type Joined, joinedSince } from './joined.js';
import { Adjourned, type FirstAnswers, Hearing } from './judgement.js';
import type { Metrics } from './metrics.js';
import type { Outcome } from './outcome.js';
import { credentialsFor, owedTo } from './owed.js';
import { notFound } from './problem.js';
import { Timeline } from './receipts/timeline.js';
import type { Tracker } from './receipts/tracker.js';
import {
  attempt,
  faultOf,
  isStale,
  loadedFrom,
  patience,
  type Resident,
  type ResidentState,
  stateOf,
  storedOf,
} from './resident.js';
import { Turns } from './turns.js';

/**
 * What is in force: one compiler per workspace, kept in step with the store, and the ADS tables made from them. Releases
 * made here and releases made by other replicas take the same way. When the database is away, everything stays as it is.
 */
export class Live {
  private readonly residents = new Map<string, Resident>();
  private ads: AdsServer | undefined;
  private readonly looks = new Turns();
  /** Told of every release that is pushed from here. */
  tracker: Tracker | undefined;
  /** Asks DNS for names that come into force. */
  names: FirstAnswers | undefined;
  /** Why the database could not be asked last time; undefined when it could. */
  outage: string | undefined;

  constructor(
    readonly store: Store,
    private readonly log: Log,
    private readonly metrics: Metrics,
    private readonly canary?: Canary,
  ) {}

  /** Loads every workspace. @throws StoreUnavailable. */
  async load(): Promise<void> {
    for (const row of await this.store.workspaces()) await this.loadWorkspace(row);
  }

  /** Hands everything in force to `ads`, and every change from now on. Runs without a pause: no stream sees a part. */
  serve(ads: AdsServer): void {
    this.ads = ads;
    for (const resident of this.residents.values()) this.publishAll(resident);
  }

  states(): ResidentState[] {
    return [...this.residents.values()].map(stateOf);
  }

  /** Why the database seems to be away, from memory: what the last look found, or what is known since. */
  get away(): string | undefined {
    return this.store.fault ?? this.outage;
  }

  /** Whether nodes of a workspace may have newer content than what is in force here. Where nothing is, nothing older is sent. */
  behind(workspace: string): boolean {
    const resident = this.residents.get(workspace);
    const state = resident && stateOf(resident);
    return state?.fault !== undefined && state.fleets.length > 0;
  }

  compiler(workspace: string): Compiler | undefined {
    return this.residents.get(workspace)?.compiler;
  }

  /**
   * Runs `work` in a transaction of the workspace with a compiler that knows everything released before, and applies the
   * change it returns once that is committed. With `dryRun` nothing is committed nor applied. `work` is done again when it
   * was adjourned, as it is when another replica was faster. `expected`: objects it will ask for.
   * @throws Problem when there is no such workspace; StoreUnavailable; what `work` throws.
   */
  async change(
    workspace: string,
    actor: Actor,
    dryRun: boolean,
    work: (
      tx: WorkspaceTransaction,
      compiler: Compiler,
      hearing: Hearing,
    ) => Promise<{ outcome: Outcome; change?: Change | undefined }>,
    expected: readonly Ref[] = [],
  ): Promise<Outcome> {
    const began = performance.now();
    const hearing = new Hearing(this.canary, this.metrics, async (questions) =>
      this.names?.learn(workspace, questions, !dryRun),
    );
    let validatedAt: number | undefined;
    const heard = async (tx: WorkspaceTransaction, compiler: Compiler, resident: Resident) => {
      hearing.owed = resident.fault && (await owedTo(resident, tx.manager, this.store.masterKey, tx.workspace.release));
      const done = await work(tx, compiler, hearing);
      validatedAt = tx.releasedAt;
      return done;
    };
    const after = ({ outcome, change }: Awaited<ReturnType<typeof work>>, resident: Resident) => {
      if (change && !dryRun) {
        this.tracker?.stored(workspace, change.release, new Timeline(began, validatedAt, performance.now()));
        this.apply(resident, change);
        this.metrics.published(workspace, (performance.now() - began) / 1000);
      }
      return outcome;
    };
    return this.inTurn(workspace, actor, !dryRun, heard, after, expected);
  }

  /** Runs `work`, which changes what needs no release ({@link Joined}), and brings it into force. @throws as {@link change}. */
  async changeAtOnce<T>(
    workspace: string,
    actor: Actor,
    work: (tx: WorkspaceTransaction, compiler: Compiler) => Promise<T>,
  ): Promise<T> {
    const { masterKey } = this.store;
    const written = async (tx: WorkspaceTransaction, compiler: Compiler) => {
      const result = await work(tx, compiler);
      // The transaction sees what it wrote: nothing need be asked for after the commit.
      return { result, ...(await joinedSince(tx.manager, masterKey, workspace, tx.workspace.credentialsRevision)) };
    };
    return this.inTurn(workspace, actor, true, written, ({ result, joined, revision }, resident) => {
      this.join(resident, joined, revision);
      return result;
    });
  }

  /**
   * Writes under the lock of the workspace, with its compiler in step, then calls `after`; nobody else's turn is between.
   * When `work` is adjourned, nothing of it is kept, and it begins again after what it waits for.
   */
  private async inTurn<T, R>(
    workspace: string,
    actor: Actor,
    keep: boolean,
    work: (tx: WorkspaceTransaction, compiler: Compiler, resident: Resident) => Promise<T>,
    after: (result: T, resident: Resident) => R | Promise<R>,
    expected: readonly Ref[] = [],
  ): Promise<R> {
    for (;;) {
      const resident = await this.resident(workspace);
      const turn = resident.turns.run(async () => {
        const written = await this.store.write(
          workspace,
          actor,
          async (tx): Promise<{ stale: true } | { stale: false; result: T }> => {
            if (isStale(resident, tx.workspace)) return { stale: true };
            await this.catchUp(resident, tx.manager, tx.workspace);
            return { stale: false, result: await work(tx, resident.compiler, resident) };
          },
          (outcome) => keep && !outcome.stale,
          expected,
        );
        if (written === undefined) throw notFound(`The workspace "${workspace}"`);
        return written.result.stale ? undefined : { result: await after(written.result.result, resident) };
      }, patience(this));
      const done = await turn.catch((error: unknown) => {
        if (error instanceof Adjourned) return error;
        throw error;
      });
      if (done instanceof Adjourned) await done.done;
      else if (done) return done.result;
      else this.drop(resident);
    }
  }

  /** Told by the store of a commit: catches up unless it is known already. Failures wait for the next look. */
  async heard(notice: Exclude<Notice, { kind: 'receipts' }>): Promise<void> {
    if (notice.kind === 'disconnected') {
      if (this.outage === undefined)
        this.log.warn('the database is away; what is in force stays in force', { reason: notice.reason });
      this.outage = notice.reason;
      return;
    }
    if (
      notice.kind === 'connected' ||
      !this.residents.has(notice.workspace) ||
      (notice.kind === 'release' && notice.number === 0)
    ) {
      return this.refresh();
    }
    const resident = this.residents.get(notice.workspace) as Resident;
    await resident.turns.run(async () => {
      const known =
        notice.kind === 'release'
          ? resident.compiler.release >= notice.number
          : resident.credentials >= notice.revision;
      if (!known) await this.tried(() => this.catchUpFromStore(resident));
    });
  }

  /** Compares every workspace with the store: finds what no notification told of. Begins after the call; never throws. */
  refresh(): Promise<void> {
    return this.looks.run(() => this.tried(() => this.compareAll()));
  }

  private async compareAll(): Promise<void> {
    const rows = new Map((await this.store.workspaces()).map((row) => [row.name, row]));
    for (const name of new Set([...rows.keys(), ...this.residents.keys()])) {
      const [row, resident] = [rows.get(name), this.residents.get(name)];
      try {
        if (resident) await this.compare(resident, row);
        else if (row) await this.loadWorkspace(row);
      } catch (error) {
        if (error instanceof StoreUnavailable) throw error;
        // One workspace that cannot be read holds up no other.
        this.log.error('a workspace cannot be brought up to date; what is in force of it stays in force', {
          workspace: name,
          reason: error instanceof Error ? error.message : String(error),
        });
      }
    }
  }

  /**
   * Brings a workspace in step with the store. `seen` was read before and may be older than what was published here since:
   * whether the workspace is gone, or another one, is decided in its turn, by what the store says then.
   */
  private async compare(resident: Resident, seen: WorkspaceRow | undefined): Promise<void> {
    const { compiler, name } = resident;
    if (seen && !isStale(resident, seen)) {
      if (compiler.release >= seen.release && resident.credentials >= seen.credentialsRevision) return;
      return resident.turns.run(() => this.catchUpFromStore(resident));
    }
    const row = await resident.turns.run(async () => {
      const now = await this.store.findWorkspace(name);
      if (now && !isStale(resident, now)) return undefined;
      this.drop(resident);
      return now;
    });
    if (row) await this.loadWorkspace(row);
  }

  private async resident(workspace: string): Promise<Resident> {
    const found = this.residents.get(workspace);
    if (found) return found;
    const row = await this.store.findWorkspace(workspace);
    if (row === null)
      throw notFound(`The workspace "${workspace}"`, 'Create it with POST /api/v1/workspaces, or correct the name.');
    return this.loadWorkspace(row);
  }

  private async loadWorkspace(row: WorkspaceRow): Promise<Resident> {
    const began = performance.now();
    const compiler = new Compiler(row.name);
    const known = await loadedFrom(this.store, row.name);
    const resident: Resident = {
      name: row.name,
      createdAt: row.createdAt.getTime(),
      compiler,
      credentials: known.credentials,
      turns: new Turns(),
    };
    // Two requests may load at once; the first to finish is kept, so that all share one compiler.
    const other = this.residents.get(row.name);
    if (other) return other;
    this.residents.set(row.name, resident);
    this.tracker?.atOnce.loaded(row.name, known.credentials);
    this.apply(resident, {
      release: known.release,
      upserts: known.versions.map(storedOf),
      removals: [],
      ...known.joined,
      groupReleases: known.groupReleases,
    });
    this.log.info('workspace loaded', {
      workspace: row.name,
      release: known.release,
      objects: known.versions.length,
      ms: Math.round(performance.now() - began),
    });
    return resident;
  }

  private catchUpFromStore(resident: Resident): Promise<void> {
    return this.store.snapshot(async (manager) => {
      const [row] = await manager.query(
        'select release, credentials_revision as "credentialsRevision" from workspace where name = $1',
        [resident.name],
      );
      if (row) await this.catchUp(resident, manager, row);
    });
  }

  /**
   * Applies, one by one, the releases that `resident` has not seen, then changed credentials. From one on that does not compile,
   * they are tried as a whole, as often as another is published. Call in the resident's turn.
   */
  private async catchUp(
    resident: Resident,
    manager: EntityManager,
    row: Pick<WorkspaceRow, 'release' | 'credentialsRevision'>,
  ): Promise<void> {
    const { compiler, name } = resident;
    const { masterKey } = this.store;
    if (resident.fault === undefined && compiler.release < row.release) {
      for (const { number, upserts, removals } of await changesBetween(manager, name, compiler.release, row.release)) {
        const credentials = await credentialsFor(manager, masterKey, name, upserts);
        this.apply(resident, { release: number, upserts: upserts.map(storedOf), removals, credentials });
        // What comes after is judged together with it.
        if (resident.fault) break;
      }
    }
    if (resident.fault && resident.fault.upTo < row.release)
      this.apply(resident, await owedTo(resident, manager, masterKey, row.release));
    if (resident.credentials < row.credentialsRevision) {
      const { joined } = await joinedSince(manager, masterKey, name, resident.credentials);
      this.join(resident, joined, row.credentialsRevision);
    }
  }

  /** Brings lists into force, of which `revision` is the newest. */
  private join(resident: Resident, joined: Joined, revision: number): void {
    const { release } = resident.compiler;
    this.tracker?.atOnce.joining(resident.name, revision);
    if (Object.keys(joined).length > 0) this.apply(resident, { release, upserts: [], removals: [], ...joined });
    this.tracker?.atOnce.joined(resident.name, revision);
    resident.credentials = revision;
  }

  /** Compiles what changed and tells the fleets. */
  private apply(resident: Resident, change: Change): void {
    const began = performance.now();
    const { compiler, name } = resident;
    // Neither a full load nor a change of keys is a release.
    const isRelease = change.groupReleases === undefined && change.release > compiler.release;
    const before = compiler.fleetKeys();
    const { reasons, fleets } = attempt(compiler, change);
    if (reasons.length > 0) {
      // Only what was judged good is stored: another version of the program must have stored it.
      const { release } = change;
      resident.fault = faultOf(release, compiler.release, reasons);
      this.log.error('what is stored does not compile here', {
        workspace: name,
        release,
        reason: resident.fault.reason,
      });
      return;
    }
    if (resident.fault && change.release >= resident.fault.upTo) {
      this.log.info('what is stored compiles again', { workspace: name, release: change.release });
      resident.fault = undefined;
    }
    this.metrics.compiled(resident.name, change.release, (performance.now() - began) / 1000);
    if (this.ads === undefined) return;
    if (isRelease) this.tracker?.compiled(resident.name, change.release);
    const after = new Set(compiler.fleetKeys());
    // Nodes of a fleet that is gone keep what they have: emptying them would turn a mistake into an outage.
    for (const key of before) if (!after.has(key)) this.ads.removeFleet(key);
    for (const [key, delta] of fleets) if (after.has(key)) this.ads.publish(key, delta, { release: change.release });
    if (isRelease) this.tracker?.pushed(resident.name, change.release);
  }

  private publishAll(resident: Resident): void {
    this.tracker?.atOnce.loaded(resident.name, resident.credentials);
    for (const key of resident.compiler.fleetKeys()) {
      this.ads?.publish(
        key,
        { upserts: [...resident.compiler.resources(key)], removals: [] },
        { release: resident.compiler.release },
      );
    }
  }

  private drop(resident: Resident): void {
    if (this.residents.get(resident.name) !== resident) return;
    this.residents.delete(resident.name);
    for (const key of resident.compiler.fleetKeys()) this.ads?.removeFleet(key);
    this.tracker?.forget(resident.name);
  }

  private async tried(work: () => Promise<void>): Promise<void> {
    try {
      await work();
      if (this.outage !== undefined) this.log.info('the database is back');
      this.outage = undefined;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      if (this.outage === undefined)
        this.log.warn('the database cannot be asked; what is in force stays in force', { reason });
      this.outage = reason;
    }
  }
}
