import { expect, it } from 'vitest';
import { Turns } from '../../src/controller/turns.js';

function blocked(turns: Turns): () => void {
  let release = () => {};
  void turns.run(
    () =>
      new Promise<void>((resolve) => {
        release = resolve;
      }),
  );
  return () => release();
}

const patience = (ms: number) => ({ ms, late: () => new Error('waited too long') });

it('what waits too long for its turn fails, is never begun, and holds up nobody', async () => {
  const turns = new Turns();
  const release = blocked(turns);
  const begun: string[] = [];
  const work = (name: string) => async () => {
    begun.push(name);
    return name;
  };
  const late = turns.run(work('late'), patience(1));
  const patient = turns.run(work('patient'), patience(60_000));
  const last = turns.run(work('last'));
  await expect(late).rejects.toThrow('waited too long');
  release();
  expect(await Promise.all([patient, last])).toEqual(['patient', 'last']);
  expect(begun).toEqual(['patient', 'last']);
});

it('what has its turn may take longer than it would have waited', async () => {
  const turns = new Turns();
  let finish = (_: string) => {};
  const answer = turns.run(() => new Promise<string>((resolve) => (finish = resolve)), patience(1));
  // Asked for after it began, and over before: the limit of the first has passed.
  await expect(turns.run(async () => '', patience(1))).rejects.toThrow('waited too long');
  finish('done');
  expect(await answer).toBe('done');
});

it('a failure is told to who asked, and the next goes on', async () => {
  const turns = new Turns();
  const failing = turns.run(async () => {
    throw new Error('no');
  }, patience(60_000));
  await expect(failing).rejects.toThrow('no');
  expect(await turns.run(async () => 'yes', patience(60_000))).toBe('yes');
});
