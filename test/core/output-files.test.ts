import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { startChild } from '../../src/up/child.js';
import { OutputFiles } from '../../src/up/output-files.js';
import { onCleanup } from '../support/cleanup.js';
import { tmpDir } from '../support/tmp.js';
import { until } from '../support/until.js';

/** A process that writes a numbered line of 100 bytes as often as the file `wanted` says, and goes on. */
const WRITER = `
  const { readFileSync, existsSync } = require('node:fs');
  let written = 0;
  setInterval(() => {
    const wanted = existsSync('wanted') ? Number(readFileSync('wanted', 'utf8')) : 0;
    while (written < wanted) console.log(String(++written).padStart(99, '0'));
  }, 5);
`;

it('what a process writes is put aside by size, while it runs, and no line that stands is lost', async () => {
  const dir = tmpDir();
  const said: string[] = [];
  const outputs = new OutputFiles({ maxBytes: 1000, keep: 2, say: (line) => said.push(line) });
  onCleanup(() => outputs.close());
  const path = outputs.add(join(dir, 'it.log'));
  await outputs.look(); // there is no such file yet
  const writer = startChild({
    ...{ name: 'it', command: process.execPath, args: ['-e', WRITER], cwd: dir, runDir: dir, logFile: path },
  });
  onCleanup(() => writer.stop());
  const write = async (upTo: number) => {
    writeFileSync(join(dir, 'next'), String(upTo));
    renameSync(join(dir, 'next'), join(dir, 'wanted'));
    await until(() => last(path) === upTo, { what: `line ${upTo}` });
  };
  await write(9);
  await outputs.look();
  expect(existsSync(`${path}.1`)).toBe(false);
  for (const upTo of [10, 30, 45]) {
    await write(upTo);
    await outputs.look();
    expect(readFileSync(path, 'utf8')).toBe('');
  }
  await write(47);
  await outputs.look();
  expect([numbers(`${path}.2`), numbers(`${path}.1`), numbers(path)]).toEqual([from(11, 30), from(31, 45), [46, 47]]);
  expect(readdirSync(dir).filter((name) => name.startsWith('it.log'))).toHaveLength(3);
  expect(said).toEqual([]);
});

it('a file that cannot be put aside is told once', async () => {
  const dir = tmpDir();
  const said: string[] = [];
  const outputs = new OutputFiles({ maxBytes: 0, say: (line) => said.push(line) });
  onCleanup(() => outputs.close());
  mkdirSync(outputs.add(join(dir, 'it.log')));
  await outputs.look();
  await outputs.look();
  expect(said).toEqual([expect.stringContaining('it.log grows beyond its bounds: ')]);
});

const numbers = (path: string) => readFileSync(path, 'utf8').split('\n').filter(Boolean).map(Number);
const last = (path: string) => numbers(path).at(-1);
const from = (first: number, end: number) => Array.from({ length: end - first + 1 }, (_, i) => first + i);
