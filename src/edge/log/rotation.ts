import { rename, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { nextName, rotatedNames } from './digest-writer.js';
import { isFinished, type TailedFile, type Tailer } from './tailer.js';

export interface RotationOptions {
  /** Envoy's access log is put aside when it has this many bytes. */
  readonly maxBytes: number;
  /** Finished files that are kept although all of their lines are stored. */
  readonly keep: number;
  /** Rotated files together may have this many bytes; beyond it the oldest goes, stored or not. */
  readonly hardMaxBytes: number;
}

/** What was removed before it was shipped. */
export interface Loss {
  readonly bytes: number;
  readonly lines: number;
}

/**
 * Keeps Envoy's access log within bounds: renames it, has Envoy open a new one, and removes what is not needed any more.
 * Envoy goes on writing to the renamed file until it has opened the new one, and the tailer follows it there, so no line
 * falls between the two.
 */
export class Rotation {
  readonly #path: string;
  readonly #options: RotationOptions;
  readonly #reopen: () => Promise<void>;

  /** `reopen` is `POST /reopen_logs` at Envoy's admin; it may reject while Envoy is away, and is tried again. */
  constructor(path: string, options: RotationOptions, reopen: () => Promise<void>) {
    this.#path = path;
    this.#options = options;
    this.#reopen = reopen;
  }

  /** Renames and reopens if the current file is large enough, or a reopening is still due. Rejects when Envoy cannot be asked. */
  async rotate(files: readonly TailedFile[]): Promise<void> {
    const current = files.find(({ file }) => file.current);
    if (current && current.file.size < this.#options.maxBytes) return;
    if (!current && files.length === 0) return; // Envoy has not written yet
    if (current) {
      const name = nextName(this.#path, await rotatedNames(this.#path));
      await rename(this.#path, join(dirname(this.#path), name));
    }
    await this.#reopen();
  }

  /** Removes finished files beyond `keep`, and the oldest ones beyond the hard limit. Returns what was lost by the latter. */
  async removeOld(files: readonly TailedFile[], tailer: Tailer): Promise<Loss> {
    // Without a current file Envoy may still write to the last rotated one.
    if (!files.some(({ file }) => file.current)) return { bytes: 0, lines: 0 };
    const rotated = files.filter(({ file }) => !file.current);
    let bytes = rotated.reduce((sum, { file }) => sum + file.size, 0);
    let excess = rotated.length - this.#options.keep;
    const loss = { bytes: 0, lines: 0 };
    for (const tailed of rotated) {
      const { file, progress } = tailed;
      const done = isFinished(file) && progress.shipped >= file.size && progress.digested >= file.size;
      if (!(done && excess > 0) && bytes <= this.#options.hardMaxBytes) continue;
      if (!done) {
        loss.bytes += Math.max(0, file.size - progress.shipped);
        loss.lines += await countLines(tailer, tailed);
        progress.shipped = progress.digested; // counted here, not again when the file is found missing
      }
      await unlink(file.path);
      bytes -= file.size;
      excess--;
    }
    return loss;
  }
}

async function countLines(tailer: Tailer, tailed: TailedFile): Promise<number> {
  let lines = 0;
  let offset = tailed.progress.shipped;
  for (;;) {
    const chunk = await tailer.read(tailed, offset);
    if (!chunk) return lines;
    for (const byte of chunk.bytes) if (byte === 0x0a) lines++;
    offset += chunk.bytes.length;
  }
}
