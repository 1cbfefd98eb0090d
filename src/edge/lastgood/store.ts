import { mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import type { Log } from '../../logger.js';
import type { AdsUpdate } from '../../wire/ads-client.js';
import { HeldResources } from './held-resources.js';
import { type JournalEntry, type JournalOwner, JournalRefused, JournalWriter, readJournal } from './journal.js';

export interface LastGoodStoreOptions extends JournalOwner {
  /** Made when it is missing, for the owner only. */
  readonly directory: string;
  readonly log: Log;
  /** Milliseconds until writing is tried again after a failure. Default 10 s. */
  readonly retryMs?: number;
}

/** State of the store, fit for statistics. */
export interface LastGoodStoreStats {
  /** Size of the file; 0: there is none. */
  readonly bytes: number;
  /** Why the file could not be written last time. */
  readonly failure: string | undefined;
}

const FILE = 'config.journal';
/** A file is written anew when what was appended to it is larger than its beginning, and than this. */
const SMALLEST_REWRITE = 4 << 20;
/** Size of the frames of which a file's beginning is made. */
const CHUNK_BYTES = 256 << 10;
const SYNC_MS = 1_000;
const RETRY_MS = 10_000;

/**
 * The last good configuration on disk: one file, which begins with a whole state and goes on with updates. A change costs what
 * it holds; now and then the file is written anew beside the old one and takes its name when it is safe on disk. Whenever
 * the process is killed, the file holds a state that was in force. Nothing here waits for the disk but {@link flush}.
 */
export class LastGoodStore {
  /** What is held now; the file follows. */
  readonly held = new HeldResources();
  /** Up to when (Unix ms) `held` is known to have been what a controller had in force. */
  inStepAtMs: number | undefined;
  readonly #path: string;
  #file: FileHandle | undefined;
  #writer: JournalWriter | undefined;
  #size = 0;
  #beginning = 0;
  #queue: JournalEntry[] = [];
  #rewrite = false;
  /** There is a whole state, on disk or on its way: from here on changes are written. */
  #whole = false;
  #working: Promise<void> | undefined;
  #failure: string | undefined;
  #retry: NodeJS.Timeout | undefined;
  #sync: NodeJS.Timeout | undefined;
  #closed = false;

  private constructor(private readonly options: LastGoodStoreOptions) {
    this.#path = join(options.directory, FILE);
  }

  /**
   * Reads what is there. A file that is damaged, or not this node's, is set aside with a message, and the store is empty; so
   * it is when the disk cannot be read, because an edge that reaches its controller needs no disk.
   */
  static async open(options: LastGoodStoreOptions): Promise<LastGoodStore> {
    const store = new LastGoodStore(options);
    try {
      mkdirSync(options.directory, { recursive: true, mode: 0o700 });
      rmSync(`${store.#path}.new`, { force: true });
      await store.#load();
    } catch (error) {
      options.log.error('the last good configuration cannot be read', { reason: (error as Error).message });
    }
    return store;
  }

  /** Notes an update that is in force. */
  changed(update: AdsUpdate): void {
    this.held.apply(update);
    if (this.#whole) this.#put({ kind: 'update', update });
  }

  /** Notes that `held` is what a controller has in force now. Only after the first time something is written. */
  inStep(nowMs: number): void {
    this.inStepAtMs = nowMs;
    if (!this.#whole) this.#rewrite = true;
    this.#whole = true;
    this.#put({ kind: 'in-step', atMs: nowMs });
  }

  /** Sets the file aside, because what it holds cannot be used, and forgets what was read from it. */
  refuse(reason: string): void {
    const aside = `${this.#path}.refused`;
    rmSync(aside, { force: true });
    renameSync(this.#path, aside);
    for (const type of this.held.types())
      this.held.apply({ type, upserts: [], removals: [...this.held.of(type).keys()] });
    void this.#file?.close();
    this.#forget();
    this.inStepAtMs = undefined;
    this.options.log.error('the last good configuration is not used; everything is fetched from the controller', {
      reason,
      kept: aside,
    });
  }

  stats(): LastGoodStoreStats {
    return { bytes: this.#size, failure: this.#failure };
  }

  /** Resolves when everything noted so far is on disk, or could not be written. */
  async flush(): Promise<void> {
    await this.#working;
    clearTimeout(this.#sync);
    this.#sync = undefined;
    await this.#file?.datasync().catch((error: unknown) => this.#failed(error));
  }

  async close(): Promise<void> {
    await this.flush();
    this.#closed = true;
    clearTimeout(this.#retry);
    const file = this.#file;
    this.#forget();
    await file?.close();
  }

  async #load(): Promise<void> {
    let bytes: Buffer;
    try {
      bytes = readFileSync(this.#path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
      throw error;
    }
    try {
      const { writer, entries, beginning, end } = readJournal(bytes, this.options);
      if (beginning === undefined) throw new JournalRefused('its beginning is not whole');
      const file = await open(this.#path, 'r+');
      await file.truncate(end);
      for (const entry of entries) {
        if (entry.kind === 'update') this.held.apply(entry.update);
        else this.inStepAtMs = entry.atMs;
      }
      this.#file = file;
      this.#writer = writer;
      this.#size = end;
      this.#beginning = beginning;
      this.#whole = true;
    } catch (error) {
      if (!(error instanceof JournalRefused)) throw error;
      this.refuse(error.message);
    }
  }

  #put(entry: JournalEntry): void {
    // While the disk fails nothing piles up: the whole state will be written.
    if (this.#closed || this.#retry) return;
    this.#queue.push(entry);
    this.#working ??= this.#work().finally(() => {
      this.#working = undefined;
    });
  }

  async #work(): Promise<void> {
    // What comes in the same turn goes out in one write.
    await turn();
    try {
      while (this.#rewrite || this.#queue.length > 0) await (this.#rewrite ? this.#writeAnew() : this.#append());
      if (this.#failure !== undefined) this.options.log.info('the last good configuration is written again');
      this.#failure = undefined;
    } catch (error) {
      this.#failed(error);
    }
  }

  async #append(): Promise<void> {
    const entries = this.#queue.splice(0);
    const writer = this.#writer;
    const file = this.#file;
    // A change that came before the first whole state: that will hold it.
    if (!writer || !file) return;
    const bytes = Buffer.concat(entries.map((entry) => writer.frame(entry)));
    await writeAll(file, bytes, this.#size);
    this.#size += bytes.length;
    this.#rewrite = this.#size - this.#beginning > Math.max(SMALLEST_REWRITE, this.#beginning);
    this.#sync ??= setTimeout(() => {
      this.#sync = undefined;
      file.datasync().catch((error: unknown) => {
        if (file === this.#file) this.#failed(error);
      });
    }, SYNC_MS).unref();
  }

  /** Writes all that is held to a new file and puts it in the place of the old one. */
  async #writeAnew(): Promise<void> {
    this.#rewrite = false;
    const updates = wholeState(this.held);
    const inStep: JournalEntry = { kind: 'in-step', atMs: this.inStepAtMs ?? 0 };
    // What waits is part of the state just taken.
    this.#queue.length = 0;
    const writer = JournalWriter.begin(this.options);
    const temporary = `${this.#path}.new`;
    await rm(temporary, { force: true });
    const file = await open(temporary, 'wx', 0o600);
    let size = 0;
    try {
      const write = async (bytes: Buffer) => {
        await writeAll(file, bytes, size);
        size += bytes.length;
      };
      await write(writer.header);
      for (const update of updates) await write(writer.frame({ kind: 'update', update }));
      await write(writer.frame(inStep));
      await file.datasync();
      await rename(temporary, this.#path);
      await syncDirectory(this.options.directory);
    } catch (error) {
      await file.close();
      // On a full disk half a file must not take what room there is.
      await rm(temporary, { force: true });
      throw error;
    }
    const before = this.#file;
    this.#file = file;
    this.#writer = writer;
    this.#size = size;
    this.#beginning = size;
    await before?.close();
  }

  /** The file may end in the middle of a frame now: it is written anew, a little later. */
  #failed(error: unknown): void {
    if (this.#closed) return;
    this.#queue.length = 0;
    const failure = (error as Error).message;
    if (this.#failure === undefined)
      this.options.log.error('the last good configuration cannot be written; trying again', { reason: failure });
    this.#failure = failure;
    this.#rewrite = true;
    this.#retry ??= setTimeout(() => {
      this.#retry = undefined;
      this.#put({ kind: 'in-step', atMs: this.inStepAtMs ?? 0 });
    }, this.options.retryMs ?? RETRY_MS).unref();
  }

  #forget(): void {
    this.#file = undefined;
    this.#writer = undefined;
    this.#size = 0;
    this.#whole = false;
  }
}

/** The state as updates of bounded size. Made at once, so that it is one moment's; costs the number of resources. */
function wholeState(held: HeldResources): AdsUpdate[] {
  const updates: AdsUpdate[] = [];
  for (const type of held.types()) {
    let upserts: AdsUpdate['upserts'][number][] = [];
    let bytes = 0;
    for (const resource of held.of(type).values()) {
      upserts.push(resource);
      bytes += resource.bytes.length;
      if (bytes < CHUNK_BYTES) continue;
      updates.push({ type, upserts, removals: [] });
      upserts = [];
      bytes = 0;
    }
    if (upserts.length > 0) updates.push({ type, upserts, removals: [] });
  }
  return updates;
}

async function writeAll(file: FileHandle, bytes: Buffer, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done);
    done += bytesWritten;
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  await directory.sync().finally(() => directory.close());
}
