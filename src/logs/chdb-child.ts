import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { runChdbServer } from './chdb-server.js';

export interface ChdbChildOptions {
  readonly dir: string;
  readonly host: string;
  readonly port: number;
  /** First line: the password. Its end is the order to stop, so that the process never outlives who started it. */
  readonly input: Readable;
  /** Gets one line when the server is ready: `{"port": <number>}`. */
  readonly output: Writable;
}

/** How long a database may take to close before the process ends without it; it is safe on disk either way. */
const CLOSE_MS = 5_000;

/** The whole life of a supervised log store process. Resolves when it has stopped in order; the caller ends the process then. */
export async function runChdbChild({ input, output, ...where }: ChdbChildOptions): Promise<void> {
  // Ctrl-C reaches every process of the terminal; the parent decides when the store may go.
  process.on('SIGINT', () => {});
  const lines = createInterface({ input });
  const ended = once(lines, 'close');
  const password = await Promise.race([
    once(lines, 'line').then(([line]) => String(line)),
    ended.then(() => undefined),
  ]);
  if (password === undefined) return;
  const server = await runChdbServer({ ...where, password });
  output.on('error', () => {}); // whoever read it is gone; the end of the input tells so too
  output.write(`${JSON.stringify({ port: server.port })}\n`);
  await Promise.race([ended, once(process, 'SIGTERM')]);
  const timer = setTimeout(() => process.exit(1), CLOSE_MS);
  await server.close();
  clearTimeout(timer);
}
