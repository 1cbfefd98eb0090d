import { closeSync, openSync, readSync, renameSync, rmSync, statSync, truncateSync, writeSync } from 'node:fs';
import { copyFile, stat } from 'node:fs/promises';

export interface OutputFilesOptions {
  /** Size at which a file is put aside. Default 16 MiB. */
  readonly maxBytes?: number;
  /** Files that are kept of each, beside the one that is written: `<path>.1` is the newest. Default 3. */
  readonly keep?: number;
  /** Told when a file cannot be put aside, once until it can be again. */
  say(line: string): void;
}

const MAX_BYTES = 16 << 20;
const KEEP = 3;
const LOOK_MS = 5_000;

/**
 * Keeps the files that take the output of processes within bounds, for as long as they run. Such a process holds its file open and
 * cannot be asked to take another, so what is in it is copied and the file emptied; since it was opened for appending, the
 * process goes on at its new end. What is written in the microseconds between the two is lost.
 */
export class OutputFiles {
  readonly #paths: string[] = [];
  readonly #failing = new Set<string>();
  readonly #timer: NodeJS.Timeout;
  #looking: Promise<void> | undefined;

  constructor(private readonly options: OutputFilesOptions) {
    this.#timer = setInterval(() => void this.look(), LOOK_MS).unref();
  }

  /** Looks after a file, from the next look on; it need not be there. Returns its path. */
  add(path: string): string {
    this.#paths.push(path);
    return path;
  }

  /** Puts aside what has become too large. Never rejects. */
  look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#looking;
  }

  async #look(): Promise<void> {
    const { maxBytes = MAX_BYTES, keep = KEEP, say } = this.options;
    for (const path of this.#paths) {
      try {
        const { size } = await stat(path);
        if (size >= maxBytes) await putAside(path, keep);
        this.#failing.delete(path);
      } catch (error) {
        const { code, message } = error as NodeJS.ErrnoException;
        if (code === 'ENOENT' || this.#failing.has(path)) continue;
        this.#failing.add(path);
        say(`${path} grows beyond its bounds: ${message}`);
      }
    }
  }
}

async function putAside(path: string, keep: number): Promise<void> {
  const copy = `${path}.new`;
  // Before the copy is made, so that no more room is needed than is granted.
  rmSync(`${path}.${keep}`, { force: true });
  try {
    await copyFile(path, copy);
    // From here on nothing else of this process runs in between, and the loss is as small as it can be.
    for (let number = keep - 1; number > 0; number--) moveIfThere(`${path}.${number}`, `${path}.${number + 1}`);
    addRest(path, copy);
    truncateSync(path);
    renameSync(copy, `${path}.1`);
  } catch (error) {
    rmSync(copy, { force: true });
    throw error;
  }
}

/** Appends to `copy` what `path` has beyond it. */
function addRest(path: string, copy: string): void {
  const from = openSync(path, 'r');
  const to = openSync(copy, 'a');
  try {
    const chunk = Buffer.allocUnsafe(64 << 10);
    for (let at = statSync(copy).size; ; ) {
      const length = readSync(from, chunk, 0, chunk.length, at);
      if (length === 0) return;
      writeSync(to, chunk, 0, length);
      at += length;
    }
  } finally {
    closeSync(from);
    closeSync(to);
  }
}

function moveIfThere(from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}
