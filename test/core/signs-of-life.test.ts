import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { expect, it, onTestFinished } from 'vitest';
import { SignsOfLife } from '../../src/edge/signs-of-life.js';

/** Signs of a controller that is asked, and told to say something, by hand. */
function signs() {
  const happened: string[] = [];
  const life = new SignsOfLife({
    ask: () => happened.push('asked'),
    onSilent: () => happened.push('silent'),
    onHeard: () => happened.push('heard'),
  });
  onTestFinished(() => life.end());
  return { life, happened };
}

it('whoever asks is told what comes first: a sign, the time, or the end', async () => {
  const { life, happened } = signs();
  expect(await life.answers(60_000)).toBe(false); // nothing was delivered yet
  life.begin();
  const answered = [life.answers(60_000), life.answers(60_000)];
  life.heard();
  expect(await Promise.all(answered)).toEqual([true, true]);
  const cut = life.answers(60_000);
  life.end();
  expect(await cut).toBe(false);
  expect(happened).toEqual(['asked', 'asked', 'asked']);
});

it('silence begins with the last sign, is told once, and ends with the next', async () => {
  const { life, happened } = signs();
  const before = Date.now();
  life.begin();
  const after = Date.now();
  expect([await life.answers(1), await life.answers(1)]).toEqual([false, false]);
  expect(life.silentSinceMs).toBeGreaterThanOrEqual(before - 5);
  expect(life.silentSinceMs).toBeLessThanOrEqual(after + 5);
  life.heard();
  life.heard();
  expect(life.silentSinceMs).toBeUndefined();
  expect(happened).toEqual(['asked', 'silent', 'asked', 'heard']);
});

it('a stream that ends while its controller is silent is away, not silent', async () => {
  const { life, happened } = signs();
  life.begin();
  await life.answers(1);
  life.end();
  expect(life.silentSinceMs).toBeUndefined();
  life.begin();
  expect(happened).toEqual(['asked', 'silent']);
});

it('an answer that has arrived counts, though this process stood still and could not read it', async () => {
  const { life, happened } = signs();
  const worker = new Worker(ANSWERS, { eval: true });
  onTestFinished(async () => void (await worker.terminate()));
  await once(worker, 'online');
  const answered = new Int32Array(new SharedArrayBuffer(4));
  worker.on('message', () => life.heard());
  life.begin();
  await new Promise((resolve) => setImmediate(resolve)); // timers come next, and messages after them
  const answer = life.answers(1);
  const asked = performance.now();
  worker.postMessage(answered);
  Atomics.wait(answered, 0, 0);
  while (performance.now() - asked < 5); // also past the time it had
  expect(await answer).toBe(true);
  expect(happened).toEqual(['asked']);
});

const ANSWERS = `
  const { parentPort } = require('node:worker_threads');
  parentPort.on('message', (answered) => {
    parentPort.postMessage('here');
    Atomics.store(answered, 0, 1);
    Atomics.notify(answered, 0);
  });
`;
