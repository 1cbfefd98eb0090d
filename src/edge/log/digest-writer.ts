import { constants } from 'node:fs';
import { type FileHandle, open, readdir, rename, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { CheckpointState } from './checkpoint.js';
import { look } from './log-files.js';

export interface DigestFileOptions {
  readonly path: string;
  /** Rotated when a write takes it to this many bytes. */
  readonly maxBytes: number;
  /** Rotated files kept beside it (`<path>.00000001` …), the newest. */
  readonly keep: number;
}

/**
 * Writes the digest file so that every line stands in it once, also over a kill at any moment: the checkpoint holds how long the
 * file was when all digested lines were in it, and what a killed process wrote beyond is cut off before it is written again.
 */
export class DigestWriter {
  readonly #options: DigestFileOptions;
  readonly #state: CheckpointState;
  #handle: FileHandle;
  #dirty = false;

  private constructor(options: DigestFileOptions, state: CheckpointState, handle: FileHandle) {
    this.#options = options;
    this.#state = state;
    this.#handle = handle;
  }

  /** Opens or makes the file and cuts off what the checkpoint does not vouch for. The checkpoint is to be written next. */
  static async open(options: DigestFileOptions, state: CheckpointState): Promise<DigestWriter> {
    const { handle, identity, size } = await openFile(options.path);
    let length = size;
    if (state.digest?.identity === identity && state.digest.size < size) {
      length = state.digest.size;
      await handle.truncate(length);
    }
    // A file of another identity was put there by someone, or is the empty one of a rotation that was cut short: go on in it.
    state.digest = { identity, size: length };
    return new DigestWriter(options, state, handle);
  }

  /**
   * Appends whole lines. When it resolves they are in the file and counted in the state; when it rejects (disk full) they
   * are neither.
   */
  async append(text: string): Promise<void> {
    if (text === '') return;
    const digest = await this.#current();
    const bytes = Buffer.from(text);
    try {
      for (let done = 0; done < bytes.length; ) {
        done += (await this.#handle.write(bytes, done, bytes.length - done, digest.size + done)).bytesWritten;
      }
    } catch (error) {
      await this.#handle.truncate(digest.size).catch(() => {}); // told by the error below; the next open cuts too
      throw error;
    }
    digest.size += bytes.length;
    this.#dirty = true;
  }

  /** Makes what was appended last through a power cut. To be called before the checkpoint is written. */
  async sync(): Promise<void> {
    if (!this.#dirty) return;
    await this.#handle.datasync();
    this.#dirty = false;
  }

  get isFull(): boolean {
    return (this.#state.digest?.size ?? 0) >= this.#options.maxBytes;
  }

  /** Puts the file aside and begins a new one. The checkpoint must have been written just before and must be just after. */
  async rotate(): Promise<void> {
    const { path, keep } = this.#options;
    await this.sync();
    const rotated = await rotatedNames(path);
    await rename(path, join(dirname(path), nextName(path, rotated)));
    await this.#reopen();
    for (const name of rotated.slice(0, Math.max(0, rotated.length + 1 - keep)))
      await unlink(join(dirname(path), name));
  }

  async close(): Promise<void> {
    await this.sync();
    await this.#handle.close();
  }

  /** The state of the file under the path, which someone may have moved away or emptied since. */
  async #current(): Promise<{ identity: string; size: number }> {
    const digest = this.#state.digest;
    const found = await look(this.#options.path);
    if (!digest || found?.identity !== digest.identity) return this.#reopen();
    if (found.size < digest.size) digest.size = found.size;
    return digest;
  }

  async #reopen(): Promise<{ identity: string; size: number }> {
    const { handle, identity, size } = await openFile(this.#options.path);
    await this.#handle.close();
    this.#handle = handle;
    this.#state.digest = { identity, size };
    return this.#state.digest;
  }
}

async function openFile(path: string): Promise<{ handle: FileHandle; identity: string; size: number }> {
  const handle = await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o640);
  const s = await handle.stat({ bigint: true });
  return { handle, identity: `${s.dev}:${s.ino}:${s.birthtimeNs}`, size: Number(s.size) };
}

/** Names of the files rotated away from `path` by {@link nextName}, oldest first. */
export async function rotatedNames(path: string): Promise<string[]> {
  const prefix = `${basename(path)}.`;
  const names = await readdir(dirname(path));
  return names.filter((name) => name.startsWith(prefix) && /^\d{8}$/.test(name.slice(prefix.length))).sort();
}

/** The next free name for a file rotated away from `path`. */
export function nextName(path: string, rotated: readonly string[]): string {
  const last = Number(rotated.at(-1)?.slice(-8) ?? 0);
  return `${basename(path)}.${String(last + 1).padStart(8, '0')}`;
}
