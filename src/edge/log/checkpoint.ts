import { open, readFile, rename } from 'node:fs/promises';
import { dirname } from 'node:path';

/** How far one access-log file has been dealt with, in bytes from its beginning. */
export interface FileProgress {
  /** Raised when the file was emptied and written anew: its offsets then mean other lines. */
  generation: number;
  /** Fingerprint of its beginning. */
  head: string;
  /** Up to here digest lines are written. */
  digested: number;
  /** Up to here the collector has said that the lines are stored. */
  shipped: number;
}

/** What survives the process. */
export interface CheckpointState {
  /** Which digest file was written, and how long it was when all of `digested` was in it. */
  digest: { identity: string; size: number } | null;
  /** By file identity. */
  files: Record<string, FileProgress>;
}

/**
 * The agent's memory on disk. Written whole, to a temporary file that is synced and renamed over the old one, so that a kill
 * or a power cut leaves either the old or the new state, never half of one.
 */
export class Checkpoint {
  readonly #path: string;
  readonly state: CheckpointState;
  /** What was wrong with the file on disk, when it could not be used; it is kept beside as `<path>.damaged`. */
  readonly damage: string | null;

  private constructor(path: string, state: CheckpointState, damage: string | null) {
    this.#path = path;
    this.state = state;
    this.damage = damage;
  }

  /** Reads the checkpoint. Missing: an empty one. Damaged: set aside, an empty one, and `damage` says why. */
  static async read(path: string): Promise<Checkpoint> {
    let text: string;
    try {
      text = await readFile(path, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return new Checkpoint(path, empty(), null);
      throw error;
    }
    try {
      return new Checkpoint(path, valid(JSON.parse(text)), null);
    } catch (error) {
      await rename(path, `${path}.damaged`);
      return new Checkpoint(path, empty(), error instanceof Error ? error.message : String(error));
    }
  }

  async write(): Promise<void> {
    const temporary = `${this.#path}.tmp`;
    const handle = await open(temporary, 'w', 0o600);
    try {
      await handle.writeFile(JSON.stringify({ version: 1, ...this.state }));
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, this.#path);
    await syncFolder(dirname(this.#path));
  }
}

/** Makes renames in `folder` last through a power cut. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function empty(): CheckpointState {
  return { digest: null, files: {} };
}

function valid(value: unknown): CheckpointState {
  const { version, digest, files } = record(value, 'the checkpoint');
  if (version !== 1) throw new Error(`version ${String(version)} is not known`);
  const state = empty();
  if (digest !== null) {
    const d = record(digest, 'digest');
    state.digest = { identity: text(d.identity), size: count(d.size) };
  }
  for (const [identity, entry] of Object.entries(record(files, 'files'))) {
    const f = record(entry, identity);
    state.files[identity] = {
      generation: count(f.generation),
      head: text(f.head),
      digested: count(f.digested),
      shipped: count(f.shipped),
    };
  }
  return state;
}

function record(value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error(`${what} is not an object`);
  return value as Record<string, unknown>;
}

function text(value: unknown): string {
  if (typeof value !== 'string') throw new Error(`${JSON.stringify(value)} is not a text`);
  return value;
}

function count(value: unknown): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) {
    throw new Error(`${JSON.stringify(value)} is not a count`);
  }
  return value;
}
