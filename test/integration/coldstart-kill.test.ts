import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, it } from 'vitest';
import { TYPE } from '../../src/core/ads/resource.js';
import { LastGoodStore } from '../../src/edge/lastgood/store.js';
import { createLogger } from '../../src/logger.js';
import { startChild } from '../support/child.js';
import { rootDir } from '../support/envoy.js';
import { tmpDir } from '../support/tmp.js';
import { until } from '../support/until.js';

const owner = { fleet: 'default/main', node: 'node-1', token: 'node-token' };
const KILLS = 25;
/** Names that one update changes together. */
const NAMES = ['a', 'b', 'c'];

/**
 * Notes generation after generation, each in one update of three names and one that comes and goes, as fast as it can, and
 * says which it begins with. Large enough that the file is written anew every few of them.
 */
const WRITER = `
const { LastGoodStore } = await import(process.argv[1]);
const [, , directory, type] = process.argv;
const say = () => {};
const log = { error: console.error, warn: console.error, info: say, debug: say };
const store = await LastGoodStore.open({ ...${JSON.stringify(owner)}, directory, log });
let n = Number(Buffer.from(store.held.of(type).get('a')?.bytes.subarray(0, 10) ?? '0').toString());
const next = () => {
  n++;
  const bytes = Buffer.alloc(120_000 + (n % 7) * 1000, n % 250);
  bytes.write(String(n).padStart(10, '0'));
  const upserts = ${JSON.stringify(NAMES)}.map((name) => ({ name, version: String(n), bytes }));
  if (n % 2 === 0) upserts.push({ name: 'even', version: String(n), bytes: Buffer.from(String(n)) });
  store.changed({ type, upserts, removals: n % 2 === 0 ? [] : ['even'] });
};
next();
store.inStep(Date.now());
await store.flush();
console.log('from ' + n);
for (;;) {
  next();
  if (n % 3 === 0) await store.flush();
  else await new Promise((resolve) => setImmediate(resolve));
}`;

it('killed at any moment, what is on disk is a state that was in force, and never an older one than before', {
  timeout: 120_000,
}, async () => {
  const directory = join(tmpDir(), 'last-good');
  const store = pathToFileURL(join(rootDir(), 'dist/edge/lastgood/store.js')).href;
  const log = createLogger({ level: 'error', format: 'text' }, 'test');
  let newest = 0;
  for (let kill = 0; kill < KILLS; kill++) {
    const writer = startChild(process.execPath, ['--input-type=module', '-e', WRITER, store, directory, TYPE.route]);
    await until(() => writer.output().includes('from '), { what: `the writer to begin: ${writer.output()}` });
    expect(writer.output()).toMatch(/^from \d+\n$/);
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 120));
    writer.process.kill('SIGKILL');
    await writer.exited;

    const read = await LastGoodStore.open({ ...owner, directory, log });
    const held = read.held.of(TYPE.route);
    const generations = NAMES.map((name) => Number(held.get(name)?.version));
    const [n = Number.NaN] = generations;
    expect(new Set(generations).size, `generations ${generations}`).toBe(1);
    expect(n).toBeGreaterThanOrEqual(Number(/from (\d+)/.exec(writer.output())?.[1]));
    expect(n).toBeGreaterThan(newest);
    for (const name of NAMES) {
      const bytes = Buffer.from(held.get(name)?.bytes ?? []);
      expect(Number(bytes.subarray(0, 10).toString())).toBe(n);
      expect(bytes.at(-1)).toBe(n % 250);
      expect(bytes.length).toBe(120_000 + (n % 7) * 1000);
    }
    expect(held.get('even')?.version).toBe(n % 2 === 0 ? String(n) : undefined);
    newest = n;
    await read.close();
  }
});
