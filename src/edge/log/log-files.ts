import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open, readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/** A log file as it was found on disk. */
export interface LogFile {
  readonly path: string;
  /** `dev:inode:birth time in ns`: survives renames, told apart from a later file that got the same inode. */
  readonly identity: string;
  readonly size: number;
  readonly birthNs: bigint;
  /** Unix milliseconds of the last write. */
  readonly modifiedMs: number;
  /** Whether it stands under the path that is written to now; false: it was rotated away. */
  readonly current: boolean;
}

/**
 * The file at `path` and those rotated away from it (`<path>.<anything>`, plain files beside it), oldest first, the current
 * one last. Files that vanish while being looked at are left out. Compressed ones (`.gz`, `.zst`) cannot be followed and
 * are left out.
 */
export async function listLogFiles(path: string): Promise<LogFile[]> {
  const folder = dirname(path);
  const base = basename(path);
  const names = (await readdir(folder)).filter(
    (name) => name === base || (name.startsWith(`${base}.`) && !/\.(?:gz|zst|xz|bz2|tmp)$/.test(name)),
  );
  const found = await Promise.all(names.map((name) => look(join(folder, name), name === base)));
  return found
    .filter((file): file is LogFile => file !== undefined)
    .sort(
      (a, b) => Number(a.current) - Number(b.current) || compare(a.birthNs, b.birthNs) || (a.path < b.path ? -1 : 1),
    );
}

/** The file at `path`, or undefined when there is none. */
export async function look(path: string, current = true): Promise<LogFile | undefined> {
  try {
    const s = await stat(path, { bigint: true });
    if (!s.isFile()) return undefined;
    return {
      path,
      identity: `${s.dev}:${s.ino}:${s.birthtimeNs}`,
      size: Number(s.size),
      birthNs: s.birthtimeNs,
      modifiedMs: Number(s.mtimeMs),
      current,
    };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Opens `file` for reading if the path still leads to that very file; undefined when it was renamed or removed meanwhile. */
export async function openSame(file: LogFile): Promise<FileHandle | undefined> {
  let handle: FileHandle;
  try {
    handle = await open(file.path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  const s = await handle.stat({ bigint: true });
  if (`${s.dev}:${s.ino}:${s.birthtimeNs}` === file.identity) return handle;
  await handle.close();
  return undefined;
}

/** How much of a file's beginning is remembered to notice that it was emptied and written anew. */
const HEAD_BYTES = 512;

/** Fingerprint of a file's beginning: `<bytes>:<hash>`; of at most `limit` bytes. `0:` for an empty file. */
export async function headOf(handle: FileHandle, limit = HEAD_BYTES): Promise<string> {
  const buffer = Buffer.alloc(Math.min(limit, HEAD_BYTES));
  const { bytesRead } = await handle.read(buffer, 0, buffer.length, 0);
  if (bytesRead === 0) return '0:';
  return `${bytesRead}:${createHash('sha256').update(buffer.subarray(0, bytesRead)).digest('hex').slice(0, 32)}`;
}

/** Bytes a fingerprint of {@link headOf} covers. */
export function headLength(head: string): number {
  return Number.parseInt(head, 10) || 0;
}

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
