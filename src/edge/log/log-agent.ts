import { type FSWatcher, watch } from 'node:fs';
import { basename, dirname } from 'node:path';
import { setImmediate as yieldToOthers } from 'node:timers/promises';
import { digestLine } from '../../core/accesslog/digest.js';
import { readLine } from '../../core/explain/log-line.js';
import { Checkpoint } from './checkpoint.js';
import { type DigestFileOptions, DigestWriter } from './digest-writer.js';
import { Rotation, type RotationOptions } from './rotation.js';
import { type Ship, Shipper } from './shipper.js';
import { type TailedFile, Tailer } from './tailer.js';
import { Wake } from './wake.js';

export interface LogAgentOptions {
  /** Envoy's access log. */
  readonly accessLog: string;
  /** Where the agent remembers how far it is. One agent per checkpoint. */
  readonly checkpoint: string;
  readonly digest: DigestFileOptions & { readonly zone?: string };
  /** node.id and node.cluster of the Envoy that writes the log. */
  readonly node: string;
  readonly cluster: string;
  readonly ship: Ship;
  /** `POST /reopen_logs` at Envoy's admin. */
  readonly reopenLogs: () => Promise<void>;
  readonly rotation: RotationOptions;
  /** Minutes east of UTC at a moment, for the digest; by default those of the machine. */
  readonly utcOffsetMinutes?: (unixMs: number) => number;
  /** Told of trouble that the agent survives, in words for an operator. */
  readonly onTrouble?: (message: string) => void;
}

export interface LogAgentStats {
  readonly digestLines: number;
  /** Lines that could not be parsed: they have no digest line and are stored raw. */
  readonly unparsed: number;
  readonly shippedBytes: number;
  /** Bytes on disk not yet stored by the collector. */
  readonly behindBytes: number;
  /** Gone before they were stored: files emptied or removed by others, or removed at the hard limit. */
  readonly lostBytes: number;
  /** Of these, whole lines counted at the hard limit. */
  readonly lostLines: number;
  /** Why the collector is away; null while it answers. */
  readonly shipFailure: string | null;
}

/** Looked at this often even if the system tells of no change. */
const POLL_MS = 1_000;
/** Shortest time between two rounds. */
const ROUND_MS = 200;
/** Share of a file that is digested before others get the event loop: about a millisecond of work. */
const SLICE_BYTES = 64 << 10;
const CHECKPOINT_MS = 1_000;

/**
 * The log half of the edge: follows Envoy's access log, writes a digest line for each request, hands all lines to a collector,
 * and rotates the log. What it promises: every line Envoy has written is digested once and stored once, through restarts,
 * kills, renames and a collector that is away, as long as the disk keeps the file.
 */
export class LogAgent {
  readonly #options: LogAgentOptions;
  readonly #checkpoint: Checkpoint;
  readonly #digest: DigestWriter;
  readonly #tailer: Tailer;
  readonly #rotation: Rotation;
  readonly #shipper: Shipper;
  readonly #wake = new Wake();
  readonly #done: Promise<void>;
  #watcher: FSWatcher | undefined;
  #closing = false;
  #checkpointedAt = 0;
  #written = '';
  #digestLines = 0;
  #unparsed = 0;
  #lostBytes = 0;
  #lostLines = 0;
  #trouble = '';

  private constructor(options: LogAgentOptions, checkpoint: Checkpoint, digest: DigestWriter, tailer: Tailer) {
    this.#options = options;
    this.#checkpoint = checkpoint;
    this.#digest = digest;
    this.#tailer = tailer;
    this.#rotation = new Rotation(options.accessLog, options.rotation, options.reopenLogs);
    this.#shipper = new Shipper(tailer, { node: options.node, cluster: options.cluster }, options.ship);
    this.#watch();
    this.#done = this.#run();
  }

  /** Starts from the checkpoint. Rejects when a file cannot be opened (rights, full disk). */
  static async start(options: LogAgentOptions): Promise<LogAgent> {
    const checkpoint = await Checkpoint.read(options.checkpoint);
    if (checkpoint.damage !== null) {
      options.onTrouble?.(`the log checkpoint was damaged (${checkpoint.damage}); the digest may repeat lines`);
    }
    const digest = await DigestWriter.open(options.digest, checkpoint.state);
    const tailer = new Tailer(options.accessLog, checkpoint);
    await tailer.scan();
    await checkpoint.write();
    return new LogAgent(options, checkpoint, digest, tailer);
  }

  stats(): LogAgentStats {
    return {
      digestLines: this.#digestLines,
      unparsed: this.#unparsed,
      shippedBytes: this.#shipper.shippedBytes,
      behindBytes: this.#tailer.files.reduce((sum, t) => sum + Math.max(0, t.file.size - t.progress.shipped), 0),
      lostBytes: this.#lostBytes + this.#tailer.lostBytes,
      lostLines: this.#lostLines,
      shipFailure: this.#shipper.failure,
    };
  }

  /** Digests what is there, writes the checkpoint and stops. What is not shipped yet is shipped after the next start. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#watcher?.close();
    this.#wake.wake();
    await this.#done;
    await this.#shipper.close();
    try {
      await this.#saveCheckpoint(true);
    } finally {
      await this.#digest.close();
    }
  }

  async #run(): Promise<void> {
    for (let last = false; !last; ) {
      last = this.#closing;
      try {
        await this.#round();
        this.#trouble = '';
      } catch (error) {
        this.#tell(error instanceof Error ? error.message : String(error));
      }
      if (last || this.#closing) continue;
      const began = performance.now();
      await this.#wake.sleep(POLL_MS);
      const rest = ROUND_MS - (performance.now() - began);
      if (rest > 0 && !this.#closing) await new Promise((resolve) => setTimeout(resolve, rest));
    }
  }

  async #round(): Promise<void> {
    const files = await this.#tailer.scan();
    this.#shipper.notify();
    // When one part fails, as on a full disk, the others go on: they may be what makes room.
    const failures: unknown[] = [];
    const failed = (error: unknown) => void failures.push(error);
    await this.#digestFiles(files).catch(failed);
    await this.#keepDigest().catch(failed);
    await this.#removeOld(files).catch(failed);
    await this.#rotation.rotate(files).catch(failed);
    if (failures.length > 0) throw failures[0];
  }

  async #digestFiles(files: readonly TailedFile[]): Promise<void> {
    for (const tailed of files) await this.#digestFile(tailed);
  }

  async #keepDigest(): Promise<void> {
    await this.#saveCheckpoint(this.#digest.isFull);
    if (!this.#digest.isFull) return;
    await this.#digest.rotate();
    await this.#saveCheckpoint(true);
  }

  async #removeOld(files: readonly TailedFile[]): Promise<void> {
    const loss = await this.#rotation.removeOld(files, this.#tailer);
    if (loss.bytes === 0) return;
    this.#lostBytes += loss.bytes;
    this.#lostLines += loss.lines;
    this.#options.onTrouble?.(`access log: ${loss.lines} lines were removed at the hard limit before they were stored`);
  }

  /** Says it once, not each second that it lasts. */
  #tell(trouble: string): void {
    if (trouble === this.#trouble) return;
    this.#trouble = trouble;
    this.#options.onTrouble?.(`access log: ${trouble}`);
  }

  async #digestFile(tailed: TailedFile): Promise<void> {
    const { progress } = tailed;
    if (tailed.file.size <= progress.digested) return;
    for (;;) {
      const chunk = await this.#tailer.read(tailed, progress.digested, SLICE_BYTES);
      if (!chunk) return;
      const { text, lines, unparsed } = this.#digestOf(chunk.bytes);
      await this.#digest.append(text);
      // Together with the size that append has just counted: the checkpoint always sees both or neither.
      progress.digested += chunk.bytes.length;
      this.#digestLines += lines;
      this.#unparsed += unparsed;
      await yieldToOthers();
    }
  }

  #digestOf(bytes: Buffer): { text: string; lines: number; unparsed: number } {
    let text = '';
    let lines = 0;
    let unparsed = 0;
    for (const line of splitLines(bytes)) {
      const record = readLine(line);
      if ('raw' in record) {
        unparsed++;
        continue;
      }
      const utcOffsetMinutes = (this.#options.utcOffsetMinutes ?? machineOffset)(record.time);
      const { zone } = this.#options.digest;
      text += `${digestLine(record, zone === undefined ? { utcOffsetMinutes } : { utcOffsetMinutes, zone })}\n`;
      lines++;
    }
    return { text, lines, unparsed };
  }

  async #saveCheckpoint(now: boolean): Promise<void> {
    const at = performance.now();
    if (!now && at - this.#checkpointedAt < CHECKPOINT_MS) return;
    const state = JSON.stringify(this.#checkpoint.state);
    if (state === this.#written) return;
    await this.#digest.sync();
    await this.#checkpoint.write();
    this.#checkpointedAt = at;
    this.#written = state;
  }

  #watch(): void {
    try {
      // The agent's own files may lie in the same folder: they must not wake it.
      const base = basename(this.#options.accessLog);
      this.#watcher = watch(dirname(this.#options.accessLog), { persistent: false }, (_, name) => {
        if (name?.startsWith(base)) this.#wake.wake();
      });
      // Without notification (limits of the system) the poll alone goes on.
      this.#watcher.on('error', () => this.#watcher?.close());
    } catch (error) {
      this.#options.onTrouble?.(`access log: changes are not notified, only polled (${String(error)})`);
    }
  }
}

/** Lines without their line feeds; the last one also without. Views, not copies. */
function* splitLines(bytes: Buffer): Generator<Buffer> {
  for (let start = 0; start < bytes.length; ) {
    const end = bytes.indexOf(0x0a, start);
    yield bytes.subarray(start, end < 0 ? bytes.length : end);
    start = end < 0 ? bytes.length : end + 1;
  }
}

function machineOffset(unixMs: number): number {
  return -new Date(unixMs).getTimezoneOffset();
}
