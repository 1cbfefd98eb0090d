import type { FileHandle } from 'node:fs/promises';
import type { Checkpoint, FileProgress } from './checkpoint.js';
import { headLength, headOf, type LogFile, listLogFiles, openSame } from './log-files.js';

/** Most bytes handed out at once; also the size of a batch to the collector. */
export const CHUNK_BYTES = 1 << 20;

/** After this long without a write, a rotated file is finished: whoever wrote it has opened the new one. */
const SETTLED_MS = 10_000;

/** A file with how far it has been dealt with. */
export interface TailedFile {
  readonly file: LogFile;
  readonly progress: FileProgress;
  /** Identity with generation: names the bytes at an offset for good, so it is what the store tells lines apart by. */
  readonly id: string;
}

/** Bytes of a file: whole lines, except at the end of a finished file and where one line is longer than {@link CHUNK_BYTES}. */
export interface Chunk {
  readonly offset: number;
  readonly bytes: Buffer;
}

/**
 * Follows a log file through renames, truncation and restarts. It holds no file open between looks and no data in memory but
 * the chunk being handed out; how far each consumer is stands in the checkpoint, by file.
 */
export class Tailer {
  readonly #path: string;
  readonly #checkpoint: Checkpoint;
  #files: readonly TailedFile[] = [];
  /** Bytes that were gone before they were shipped, because a file was emptied or removed. */
  lostBytes = 0;

  constructor(path: string, checkpoint: Checkpoint) {
    this.#path = path;
    this.#checkpoint = checkpoint;
  }

  /** As of the last {@link scan}: oldest first, the current file last. */
  get files(): readonly TailedFile[] {
    return this.#files;
  }

  /** Looks at the disk: finds new, renamed, emptied and removed files. */
  async scan(): Promise<readonly TailedFile[]> {
    const found: TailedFile[] = [];
    for (const file of await listLogFiles(this.#path)) {
      const progress = await this.#recognise(file);
      if (progress) found.push({ file, progress, id: `${file.identity}:${progress.generation}` });
    }
    this.#files = found;
    await this.#forgetRemoved(new Set(found.map(({ file }) => file.identity)));
    return found;
  }

  /**
   * The next bytes of `tailed` at `offset`, about `limit` of them, or undefined when there is no whole line yet (or the file
   * is gone). A line longer than `limit` is handed out whole up to {@link CHUNK_BYTES}.
   */
  async read(tailed: TailedFile, offset: number, limit = CHUNK_BYTES): Promise<Chunk | undefined> {
    const handle = await openSame(tailed.file);
    if (!handle) return undefined;
    try {
      const { size } = await handle.stat();
      return (
        (limit < CHUNK_BYTES && (await chunkAt(handle, tailed.file, offset, size, limit))) ||
        (await chunkAt(handle, tailed.file, offset, size, CHUNK_BYTES))
      );
    } finally {
      await handle.close();
    }
  }

  async #recognise(file: LogFile): Promise<FileProgress | undefined> {
    const { files } = this.#checkpoint.state;
    const before = this.#files.find((tailed) => tailed.file.identity === file.identity);
    if (before && before.file.size === file.size && before.file.modifiedMs === file.modifiedMs) return before.progress;
    const handle = await openSame(file);
    if (!handle) return undefined;
    try {
      let progress = files[file.identity];
      if (!progress) {
        progress = { generation: firstGeneration(file), head: await headOf(handle), digested: 0, shipped: 0 };
        files[file.identity] = progress;
        return progress;
      }
      const done = Math.max(progress.digested, progress.shipped);
      const length = headLength(progress.head);
      const same = file.size >= done && (await headOf(handle, length)) === progress.head;
      if (!same) {
        // Emptied and written anew: what was not shipped of the old content is gone.
        this.lostBytes += Math.max(0, progress.digested - progress.shipped);
        Object.assign(progress, { generation: progress.generation + 1, digested: 0, shipped: 0 });
      }
      if (!same || length < Math.min(file.size, 512)) progress.head = await headOf(handle);
      return progress;
    } finally {
      await handle.close();
    }
  }

  async #forgetRemoved(present: ReadonlySet<string>): Promise<void> {
    const { files } = this.#checkpoint.state;
    const missing = Object.keys(files).filter((identity) => !present.has(identity));
    if (missing.length === 0) return;
    // One listing may miss a file that is being renamed under it: forget only what a second one misses too.
    const again = new Set((await listLogFiles(this.#path)).map((file) => file.identity));
    for (const identity of missing.filter((identity) => !again.has(identity))) {
      const progress = files[identity];
      if (progress) this.lostBytes += Math.max(0, progress.digested - progress.shipped);
      delete files[identity];
    }
  }
}

async function chunkAt(
  handle: FileHandle,
  file: LogFile,
  offset: number,
  size: number,
  limit: number,
): Promise<Chunk | undefined> {
  const wanted = Math.min(size - offset, limit);
  if (wanted <= 0) return undefined;
  const buffer = Buffer.allocUnsafe(wanted);
  const { bytesRead } = await handle.read(buffer, 0, wanted, offset);
  const bytes = buffer.subarray(0, bytesRead);
  const end = bytes.lastIndexOf(0x0a) + 1;
  if (end > 0) return { offset, bytes: bytes.subarray(0, end) };
  const whole = bytesRead === CHUNK_BYTES || (isFinished(file) && offset + bytesRead === size);
  return whole && bytesRead > 0 ? { offset, bytes } : undefined;
}

/**
 * Where the file system tells no birth time, inode numbers come back with other content: the time at which the file was first
 * seen tells them apart then.
 */
function firstGeneration(file: LogFile): number {
  return file.birthNs === 0n ? Math.floor(Date.now() / 1000) : 0;
}

/** Whether nobody writes to the file any more. */
export function isFinished(file: LogFile): boolean {
  return !file.current && Date.now() - file.modifiedMs > SETTLED_MS;
}
