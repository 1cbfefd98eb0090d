// `npm start`: set-up, then `paifang up` with the arguments given after `--`.
//
// On Ctrl-C the terminal signals every process of the foreground group, and npm passes the signal on as well. The program
// runs in a group of its own, so that it gets exactly one signal, from here, and has the time it needs to stop cleanly.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { nodePath, report, setup } from './setup.mjs';

const SAME_KEYPRESS_MS = 500; // npm's copy of a signal follows the terminal's within milliseconds

try {
  await setup();
  process.exitCode = await up(process.argv.slice(2));
} catch (error) {
  report(error);
  process.exitCode = 1;
}

/** Runs the program to its end; resolves with the exit status for npm: 0 when it was asked to stop and did. */
function up(args) {
  const watch = fileURLToPath(new URL('parent-watch.mjs', import.meta.url));
  const main = fileURLToPath(new URL('../dist/main.js', import.meta.url));
  const child = spawn(nodePath(), ['--import', watch, main, 'up', ...args], {
    detached: true,
    stdio: ['ignore', 'inherit', 'inherit', 'pipe'], // the pipe closes when this process is gone; see parent-watch.mjs
  });
  let last = Number.NEGATIVE_INFINITY;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, () => {
      const now = performance.now();
      if (now - last < SAME_KEYPRESS_MS) return;
      last = now;
      child.kill(signal === 'SIGHUP' ? 'SIGTERM' : signal);
    });
  }
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (code) => resolve(code ?? 1));
  });
}
