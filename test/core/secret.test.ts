import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { Secret } from '../../src/core/secret.js';

describe('a secret', () => {
  const secret = new Secret('s3cr3t');

  it.each<[string, string]>([
    ['a template', `${secret}`],
    ['JSON', JSON.stringify({ secret })],
    ['inspect', inspect({ a: { b: { c: { secret } } } }, { depth: 9, showHidden: true })],
    ['String()', String(secret)],
    ['an error', new Error(`no ${secret}`).stack ?? ''],
    [
      'its keys',
      JSON.stringify([Object.keys(secret), Object.getOwnPropertyNames(secret), Object.values({ ...secret })]),
    ],
    ['a clone', inspect(structuredClone({ ...secret }))],
  ])('does not show in %s', (_, text) => {
    expect(text).not.toContain('s3cr3t');
  });

  it('is revealed on request', () => {
    expect(secret.reveal()).toBe('s3cr3t');
    expect(JSON.stringify({ secret })).toBe('{"secret":"[redacted]"}');
    expect([new Secret('').empty, secret.empty]).toEqual([true, false]);
  });
});
