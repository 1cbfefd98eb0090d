import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { describeSettings } from '../../src/config/describe.js';
import { ConfigError, loadConfig } from '../../src/config/load.js';
import { tmpDir } from '../support/tmp.js';

function faults(env: Record<string, string>, file?: string) {
  try {
    loadConfig(env, file);
  } catch (error) {
    if (error instanceof ConfigError) return error.faults;
    throw error;
  }
  return [];
}

describe('settings', () => {
  it('have the documented default each, when nothing is given', () => {
    const config = loadConfig({}) as unknown as Record<string, Record<string, unknown>>;
    for (const setting of describeSettings()) {
      const value = setting.key.split('.').reduce<unknown>((at, part) => (at as Record<string, unknown>)[part], config);
      expect(value, setting.key).toEqual(setting.default);
    }
  });

  it('are frozen to the last section', () => {
    const config = loadConfig({});
    expect(Object.isFrozen(config) && Object.isFrozen(config.admin) && Object.isFrozen(config.up)).toBe(true);
  });

  it('take the environment over the file, and the file over the default', () => {
    const file = join(tmpDir(), 'paifang.yaml');
    writeFileSync(file, 'admin: {port: 9000, host: 127.0.0.2}\nup: {demo: false}\n');
    const config = loadConfig({ PAIFANG_ADMIN_PORT: '9001' }, file);
    expect([config.admin.port, config.admin.host, config.up.demo, config.ads.port]).toEqual([
      9001,
      '127.0.0.2',
      false,
      9876,
    ]);
  });

  it('tell every fault of environment and file at once, each with its place', () => {
    const file = join(tmpDir(), 'paifang.yaml');
    writeFileSync(file, 'admin: {prot: 1}\nlog: {level: loud}\nads: 7\n');
    const found = faults({ PAIFANG_GATEWAY_PORT: '70000', PAIFANG_DEMO: 'perhaps', PAIFANG_ADMIN_PROT: '1' }, file);
    const places = found.map((fault) => fault.where);
    expect(places).toEqual(
      expect.arrayContaining([
        'PAIFANG_GATEWAY_PORT',
        'PAIFANG_DEMO',
        'PAIFANG_ADMIN_PROT',
        `${file}: /admin`,
        `${file}: /log/level`,
        `${file}: /ads`,
      ]),
    );
  });

  it.each([
    ['a: [', 'a file that is not YAML'],
    ['- a\n- b\n', 'a list'],
    ['admin: {port: 1}\nadmin: {port: 2}\n', 'the same section twice'],
    ['a: &a [x]\n'.concat('b: [*a,*a]\n'.repeat(1)), 'sections nobody knows'],
    ['\u0000\u0001', 'binary'],
  ])('refuse %j (%s) without crashing', (content) => {
    const file = join(tmpDir(), 'paifang.yaml');
    writeFileSync(file, content);
    expect(faults({}, file).length).toBeGreaterThan(0);
  });

  it('say that a file cannot be read', () => {
    expect(faults({}, '/nowhere/paifang.yaml')[0]?.message).toContain('cannot be read');
  });

  it('never show the value of a secret in a fault', () => {
    const found = faults({ PAIFANG_MASTER_KEY: 'hunter2-hunter2', PAIFANG_ADMIN_PORT: 'x' });
    expect(JSON.stringify(found)).not.toContain('hunter2');
  });
});
