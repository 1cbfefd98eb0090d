#!/usr/bin/env node
// The `paifang` command: starts the compiled program, with the pinned Node when the running one is too old.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('../dist/main.js', import.meta.url));
const [major, minor] = process.versions.node.split('.').map(Number);

if (!existsSync(main)) {
  console.error('paifang: the program is not built yet. Run: npm run setup');
  process.exitCode = 1;
} else if (major > 22 || (major === 22 && minor >= 13)) {
  await import(main);
} else {
  const node = pinnedNode();
  if (node === undefined) {
    console.error(
      `paifang: this is Node ${process.versions.node}; 22.13 or newer is needed, and the pinned one is not installed.\n` +
        'Install Node 24, or run: npm run setup',
    );
    process.exitCode = 1;
  } else {
    // The terminal sends Ctrl-C to the child as well; every other signal reaches only this process, and is passed on.
    const child = spawn(node, [main, ...process.argv.slice(2)], { stdio: 'inherit' });
    process.on('SIGINT', () => process.stdin.isTTY || child.kill('SIGINT'));
    for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
    child.on('exit', (code) => {
      process.exitCode = code ?? 1;
    });
  }
}

function pinnedNode() {
  try {
    return createRequire(import.meta.url).resolve(`node-${process.platform}-${process.arch}/bin/node`);
  } catch {
    return undefined;
  }
}
