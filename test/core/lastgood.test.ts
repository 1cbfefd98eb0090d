import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmdirSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { TYPE } from '../../src/core/ads/resource.js';
import { LastGoodStore } from '../../src/edge/lastgood/store.js';
import type { Log } from '../../src/logger.js';
import type { AdsUpdate } from '../../src/wire/ads-client.js';
import { onCleanup } from '../support/cleanup.js';
import { tmpDir } from '../support/tmp.js';
import { until } from '../support/until.js';

const owner = { fleet: 'default/main', node: 'node-1', token: 'node-token' };
const SECRET = 'the-secret-key-of-an-app';

interface Said {
  readonly log: Log;
  readonly lines: string[];
}

function quiet(): Said {
  const lines: string[] = [];
  const say = (message: string, fields?: Record<string, unknown>) =>
    void lines.push(`${message} ${JSON.stringify(fields)}`);
  return { lines, log: { error: say, warn: say, info: say, debug: say, setLevel() {}, level: () => 'debug' } };
}

async function opened(directory: string, more: Partial<typeof owner> = {}, { log } = quiet()): Promise<LastGoodStore> {
  const store = await LastGoodStore.open({ ...owner, ...more, directory, log });
  onCleanup(() => store.close());
  return store;
}

function update(type: string, upserts: Record<string, string | Uint8Array>, removals: string[] = []): AdsUpdate {
  const list = Object.entries(upserts).map(([name, content]) => {
    return { name, version: `v-${name}`, bytes: typeof content === 'string' ? Buffer.from(content) : content };
  });
  return { type, upserts: list, removals };
}

/** What a store holds: contents as text by type and name. */
function contents(store: LastGoodStore): Record<string, string> {
  return Object.fromEntries(
    store.held.types().flatMap((type) =>
      [...store.held.of(type)].map(([name, { bytes }]) => {
        return [`${type.slice(type.lastIndexOf('.') + 1)}/${name}`, Buffer.from(bytes).toString()];
      }),
    ),
  );
}

/** A store with a state on disk and updates behind it, closed again. Returns the file. */
async function written(directory: string): Promise<string> {
  const store = await opened(directory);
  store.changed(update(TYPE.cluster, { a: 'cluster a', b: 'cluster b' }));
  store.changed(update(TYPE.app, { app: SECRET }));
  store.inStep(1_000);
  await store.flush();
  store.changed(update(TYPE.route, { g: 'routes 1' }));
  store.changed(update(TYPE.cluster, {}, ['b']));
  store.changed(update(TYPE.route, { g: 'routes 2' }));
  store.changed(update(TYPE.app, { other: SECRET }));
  store.inStep(2_000);
  await store.close();
  return join(directory, 'config.journal');
}
const WRITTEN = {
  'Cluster/a': 'cluster a',
  'App/app': SECRET,
  'App/other': SECRET,
  'RouteConfiguration/g': 'routes 2',
};

describe('the last good configuration on disk', () => {
  it('is what was last told, with versions and the time it was in force', async () => {
    const directory = join(tmpDir(), 'made');
    await written(directory);
    const again = await opened(directory);
    expect(contents(again)).toEqual(WRITTEN);
    expect([...again.held.versions(TYPE.route)]).toEqual([['g', 'v-g']]);
    expect(again.inStepAtMs).toBe(2_000);
  });

  it('is nothing before the controller has delivered everything once', async () => {
    const directory = tmpDir();
    const store = await opened(directory);
    store.changed(update(TYPE.cluster, { a: 'cluster a' }));
    await store.close();
    expect(existsSync(join(directory, 'config.journal'))).toBe(false);
    expect((await opened(directory)).inStepAtMs).toBeUndefined();
  });

  it('goes on being written after it was read, over many starts', async () => {
    const directory = tmpDir();
    await written(directory);
    for (let n = 0; n < 5; n++) {
      const store = await opened(directory);
      store.changed(update(TYPE.listener, { [`l${n}`]: `listener ${n}` }));
      await store.close();
    }
    expect(contents(await opened(directory))).toMatchObject({
      ...WRITTEN,
      'Listener/l0': 'listener 0',
      'Listener/l4': 'listener 4',
    });
  });

  it('tells nobody secrets, names of Apps or the token, and is for its owner only', async () => {
    const directory = join(tmpDir(), 'made');
    const file = await written(directory);
    const bytes = readFileSync(file);
    expect(bytes.includes('cluster a')).toBe(true);
    for (const secret of [SECRET, 'v-app', owner.token]) expect(bytes.includes(secret)).toBe(false);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(statSync(directory).mode & 0o777).toBe(0o700);
  });

  it('cut off anywhere, it is a state that was in force, and can be gone on with', async () => {
    const source = await written(tmpDir());
    const whole = readFileSync(source);
    const states = new Set<string>();
    let refused = 0;
    const dir = tmpDir();
    for (let length = 0; length <= whole.length; length++) {
      const directory = join(dir, String(length));
      mkdirSync(directory);
      writeFileSync(join(directory, 'config.journal'), whole.subarray(0, length));
      const store = await opened(directory);
      if (store.inStepAtMs === undefined) {
        refused++;
        expect(contents(store)).toEqual({});
        await store.close();
        continue;
      }
      states.add(JSON.stringify(contents(store)));
      if (length % 7 === 0) {
        store.changed(update(TYPE.listener, { after: 'the cut' }));
        await store.flush();
        expect(contents(await opened(directory))).toEqual(contents(store));
      }
      await store.close();
    }
    const base = { 'Cluster/a': 'cluster a', 'Cluster/b': 'cluster b', 'App/app': SECRET };
    const { 'Cluster/b': _, ...without } = base;
    expect(refused).toBeGreaterThan(0);
    expect([...states].map((state) => JSON.parse(state))).toEqual([
      base,
      { ...base, 'RouteConfiguration/g': 'routes 1' },
      { ...without, 'RouteConfiguration/g': 'routes 1' },
      { ...without, 'RouteConfiguration/g': 'routes 2' },
      WRITTEN,
    ]);
  });

  it('damaged in any byte before the last frame, it is refused with the reason, set aside, and written anew', async () => {
    const whole = readFileSync(await written(tmpDir()));
    const lastFrame = whole.length - (16 + 8 + 16);
    const dir = tmpDir();
    for (let at = 0; at < lastFrame; at += 3) {
      const directory = join(dir, String(at));
      mkdirSync(directory);
      const file = join(directory, 'config.journal');
      const bytes = Buffer.from(whole);
      bytes[at] = (bytes[at] as number) ^ 0x20;
      writeFileSync(file, bytes);
      const said = quiet();
      const store = await opened(directory, {}, said);
      expect(store.inStepAtMs, `byte ${at}`).toBeUndefined();
      expect(contents(store), `byte ${at}`).toEqual({});
      expect(said.lines.join('\n')).toMatch(/is not used.*reason/);
      expect(existsSync(`${file}.refused`)).toBe(true);
      store.changed(update(TYPE.cluster, { fresh: 'from the controller' }));
      store.inStep(3_000);
      await store.close();
      expect(contents(await opened(directory))).toEqual({ 'Cluster/fresh': 'from the controller' });
    }
  });

  it('is not taken from another node, another fleet or with another token', async () => {
    for (const [more, reason] of [
      [{ token: 'other' }, 'another node token'],
      [{ node: 'node-2' }, 'node node-1'],
      [{ fleet: 'default/other' }, 'fleet default/main'],
    ] as const) {
      const directory = tmpDir();
      await written(directory);
      const said = quiet();
      const store = await opened(directory, more, said);
      expect(store.inStepAtMs).toBeUndefined();
      expect(said.lines.join('\n')).toContain(reason);
    }
  });

  it('takes no frame from another file or another place, though each is genuine', async () => {
    const [one, two] = [await written(tmpDir()), await written(tmpDir())];
    const frames = readFileSync(two).subarray(readFileSync(two).indexOf(10) + 1);
    appendFileSync(one, frames);
    const said = quiet();
    expect((await opened(join(one, '..'), {}, said)).inStepAtMs).toBeUndefined();
    expect(said.lines.join('\n')).toContain('damaged at byte');
  });

  it('takes blocks of zeros at the end, as a crash of the machine leaves them, for the end', async () => {
    const file = await written(tmpDir());
    const { size } = statSync(file);
    truncateSync(file, size + 4096);
    const store = await opened(join(file, '..'));
    expect(contents(store)).toEqual(WRITTEN);
    expect(store.stats().bytes).toBe(size);
  });

  it('stays in proportion to what is held, however often that changes', async () => {
    const directory = tmpDir();
    const store = await opened(directory);
    store.inStep(1);
    for (let n = 0; n < 400; n++) {
      store.changed(update(TYPE.route, { [`g${n % 10}`]: Buffer.alloc(50_000, n % 250) }));
      if (n % 20 === 0) await store.flush();
    }
    await store.flush();
    const held = 10 * 50_000;
    expect(store.stats().bytes).toBeLessThan(2 * held + (5 << 20));
    await store.close();
    expect((await opened(directory)).held.of(TYPE.route).get('g9')?.bytes[0]).toBe(399 % 250);
  });

  it('a disk that cannot be written is told, stops nothing, and is caught up with', async () => {
    const directory = tmpDir();
    const said = quiet();
    const store = await LastGoodStore.open({ ...owner, directory, log: said.log, retryMs: 20 });
    onCleanup(() => store.close());
    // A folder stands where the new file must go.
    const obstacle = join(directory, 'config.journal.new');
    mkdirSync(obstacle);
    store.changed(update(TYPE.cluster, { a: 'cluster a' }));
    store.inStep(1);
    await store.flush();
    expect(store.stats().failure).toBeDefined();
    expect(said.lines.join('\n')).toContain('cannot be written');
    store.changed(update(TYPE.cluster, { b: 'cluster b' }));
    expect(contents(store)).toEqual({ 'Cluster/a': 'cluster a', 'Cluster/b': 'cluster b' });
    rmdirSync(obstacle);
    await until(() => store.stats().failure === undefined, { what: 'the store to recover' });
    expect(contents(await opened(directory))).toEqual(contents(store));
  });
});
