// What a person sees while set-up works: one line a step, alive on a terminal, and how long each took.
import { spawn } from 'node:child_process';

const TAIL_LINES = 200;

/** A failure whose message already says what to do; shown without a stack. */
export class SetupError extends Error {}

/** Runs `work(say)` under a line `[n/total] title`; `say(text)` replaces the note behind the seconds. */
export async function step(n, total, title, work, out = process.stderr) {
  const started = performance.now();
  const seconds = () => `${((performance.now() - started) / 1000).toFixed(1)} s`;
  const head = `[${n}/${total}] ${title}`;
  let note = '';
  let timer;
  if (out.isTTY) {
    const draw = () =>
      out.write(`\r\x1b[K${`${head} … ${seconds()}${note && `, ${note}`}`.slice(0, (out.columns || 80) - 1)}`);
    draw();
    timer = setInterval(draw, 200);
  } else {
    out.write(`${head} …\n`);
  }
  const end = (text) => {
    clearInterval(timer);
    out.write(`${out.isTTY ? '\r\x1b[K' : ''}${head}: ${text}\n`);
  };
  try {
    const result = await work((text) => {
      note = text;
    });
    end(`${typeof result === 'string' ? `${result}, ` : ''}${seconds()}`);
  } catch (error) {
    end(`failed after ${seconds()}`);
    throw error;
  }
}

/** Runs a command to its end. Resolves with its standard output; throws a SetupError that ends with `remedy`. */
export async function run(command, args, { remedy = '', ...options } = {}) {
  const { code, signal, stdout, output, error } = await attempt(command, args, options);
  if (code === 0) return stdout;
  const how = error
    ? `could not be started (${error.message})`
    : signal
      ? `was ended by ${signal}`
      : `failed (${code})`;
  const tail = output.trimEnd().split('\n').slice(-TAIL_LINES).join('\n');
  throw new SetupError(`${[command, ...args].join(' ')} ${how}\n${tail}${remedy && `\n\n${remedy}`}`);
}

/** Runs a command to its end and tells how it ended; never throws. */
export function attempt(command, args, options = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
    let stdout = '';
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text) => {
      stdout += text;
      output += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text) => {
      output += text;
    });
    child.on('error', (error) => resolve({ code: undefined, stdout, output, error }));
    child.on('close', (code, signal) => resolve({ code, signal, stdout, output }));
  });
}
