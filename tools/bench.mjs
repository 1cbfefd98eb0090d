// `npm run bench <name> [arguments]`: runs test/bench/<name>.ts; without a name, lists what there is.
//
// A bench is compiled by the same compiler and settings as the program (into build/bench, sources included), so that the
// figures are those of the code that is shipped, not of a test runner's transformation of it.
import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from './progress.mjs';
import { nodePath, report, setup } from './setup.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const benches = join(root, 'test/bench');
const names = existsSync(benches)
  ? readdirSync(benches)
      .filter((file) => file.endsWith('.ts'))
      .map((file) => file.slice(0, -'.ts'.length))
      .sort()
  : [];
const [name, ...args] = process.argv.slice(2);

if (name === undefined || !names.includes(name)) {
  if (name !== undefined) console.error(`There is no bench "${name}".`);
  console.error(`usage: npm run bench <name>\n  ${names.join('\n  ') || '(no benches in test/bench)'}`);
  process.exitCode = name === undefined ? 0 : 2;
} else {
  try {
    await setup();
    await run(nodePath(), ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.bench.json'], { cwd: root });
    const child = spawn(nodePath(), [join(root, `build/bench/test/bench/${name}.js`), ...args], {
      cwd: root,
      stdio: 'inherit',
    });
    for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => {}); // the terminal tells the bench too
    process.exitCode = await new Promise((resolve) => child.on('exit', (code) => resolve(code ?? 1)));
  } catch (error) {
    report(error);
    process.exitCode = 1;
  }
}
