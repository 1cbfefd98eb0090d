import { appendFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Child, startChild } from '../../support/child.js';
import { onCleanup } from '../../support/cleanup.js';

/** A process that is started again when it ends, as systemd does with Restart=always. */
export class Kept {
  /** Directory that takes all output; undefined: it is thrown away. */
  static logs: string | undefined;
  /** Ends that nobody asked for, with the last words of the process: each is a fault of the product. */
  readonly died: string[] = [];
  #child: Child;
  #expected = false;
  #over = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    readonly name: string,
    private readonly command: string,
    private readonly args: readonly string[],
    private readonly options: { readonly cwd?: string; readonly env?: NodeJS.ProcessEnv },
    private readonly restartMs: number,
  ) {
    this.#child = this.#start();
    onCleanup(() => {
      this.#over = true;
      clearTimeout(this.#timer);
    });
  }

  get pid(): number {
    return this.#child.pid;
  }

  output(): string {
    return this.#child.output();
  }

  /** Sends a signal to the process that runs now. SIGKILL and SIGTERM are ends that were asked for. */
  signal(signal: 'SIGKILL' | 'SIGTERM' | 'SIGSTOP' | 'SIGCONT'): void {
    if (signal === 'SIGKILL' || signal === 'SIGTERM') this.#expected = true;
    this.#child.process.kill(signal);
  }

  #start(): Child {
    const child = startChild(this.command, this.args, this.options);
    void child.exited.then((code) => {
      this.#keep(child.output());
      if (this.#over) return;
      if (!this.#expected) {
        const words = child.output().trimEnd().split('\n').slice(-12).join('\n    ');
        this.died.push(`${this.name} ended by itself (${code ?? child.process.signalCode}):\n    ${words}`);
      }
      this.#expected = false;
      this.#timer = setTimeout(() => {
        this.#child = this.#start();
      }, this.restartMs);
    });
    return child;
  }

  #keep(output: string): void {
    if (Kept.logs === undefined) return;
    mkdirSync(Kept.logs, { recursive: true });
    appendFileSync(join(Kept.logs, `${this.name.replaceAll(/\W+/g, '-')}.log`), output);
  }
}
