import { describe, expect, it } from 'vitest';
import { CODES } from '../../src/core/codes/catalogue.js';
import { paifang, paifangJson } from '../support/cli.js';

const VERBS = [
  ...['validate', 'compile', 'diff', 'apply', 'dump', 'get', 'publish', 'offline', 'releases', 'workspaces', 'logs'],
  ...['credentials', 'parse-log', 'codes', 'sign', 'curl', 'status', 'bootstrap', 'version'],
];

describe('paifang codes', () => {
  it('explains one code in both languages', async () => {
    const { status, stdout, stderr } = await paifang(['codes', '2102']);
    expect(status).toBe(0);
    expect(stderr).toBe('');
    expect(stdout).toContain('RequestSignatureVerifyError');
    expect(stdout).toContain(CODES.get('2102')?.tipsZh);
    expect(stdout).toContain(CODES.get('2102')?.tipsEn);
  });

  it('gives the whole catalogue as JSON', async () => {
    expect(await paifangJson<unknown[]>(['codes'])).toEqual(JSON.parse(JSON.stringify([...CODES.values()])));
  });

  it('finds codes by a part of the memo, in columns that line up', async () => {
    const { stdout } = await paifang(['codes', 'timeout']);
    const lines = stdout.trimEnd().split('\n');
    expect(lines[0]).toMatch(/^CODE {2}HTTP {2}MEMO +TIP$/);
    expect(lines.slice(1).map((line) => line.slice(0, 4))).toEqual(['4001', '5013', '6209', '6305']);
    const memo = lines[0]?.indexOf('MEMO') as number;
    for (const line of lines.slice(1)) expect(line.slice(memo - 2)).toMatch(/^ {2}\S/);
  });

  it('ends with 1 when there is no such code', async () => {
    const { status, stdout, stderr } = await paifang(['codes', '4711']);
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toContain('4711');
  });
});

describe('the command line', () => {
  it.each([
    [['nonsense'], /unknown command 'nonsense'/],
    [['codes', '--nonsense'], /unknown option '--nonsense'/],
    [['codes', '1', '2'], /too many arguments/],
    [['sign', 'GET'], /missing required argument 'url'/],
    [['apply'], /required option '-f, --filename <file>'/],
    [['bootstrap', '--node', 'a'], /required option '--fleet <name>'/],
    [['parse-log', '--format', 'xml'], /Allowed choices are auto, text, json/],
  ])('%j is wrong usage: status 2 and why', async (args, why) => {
    const { status, stdout, stderr } = await paifang(args);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toMatch(why);
  });

  it('lists every verb with what it does', async () => {
    const { status, stdout } = await paifang(['--help']);
    expect(status).toBe(0);
    for (const verb of VERBS) expect(stdout).toMatch(new RegExp(`^ {2}${verb}\\b.* {2}\\S`, 'm'));
  });

  it.each(VERBS)('%s --help says what it does, with examples', async (verb) => {
    const { status, stdout, stderr } = await paifang([verb, '--help']);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toMatch(/^Examples?(:| \S)/m);
    expect(stdout).toContain(`paifang ${verb}`);
    expect(stdout).not.toContain('undefined');
  });

  it('prints colour only where it is asked for', async () => {
    const plain = await paifang(['codes', '2102']);
    const forced = await paifang(['codes', '2102'], { env: { FORCE_COLOR: '1' } });
    const refused = await paifang(['codes', '2102'], { env: { NO_COLOR: '1' } });
    const esc = String.fromCharCode(27);
    expect(plain.stdout).not.toContain(esc);
    expect(forced.stdout).toContain(esc);
    expect(refused.stdout).toBe(plain.stdout);
  });

  it('tells errors as JSON with --json', async () => {
    const { status, stderr } = await paifang(['codes', 'nope', '--json']);
    expect(status).toBe(1);
    expect(JSON.parse(stderr)).toEqual({ error: { exit: 1, message: expect.any(String), hint: expect.any(String) } });
  });
});

describe('paifang version', () => {
  it('tells the versions of Paifang, Node and Envoy', async () => {
    const told = await paifangJson<{ paifang: string; node: string; envoy: { version: string } }>(['version']);
    expect(told.paifang).toMatch(/^\d+\.\d+\.\d+/);
    expect(told.node).toBe(process.versions.node);
    expect(told.envoy.version).toMatch(/^1\.\d+\.\d+/);
  });

  it('says so when the Envoy named does not run', async () => {
    const told = await paifangJson<{ envoy: unknown }>(['version'], { env: { PAIFANG_ENVOY: '/no/such/envoy' } });
    expect(told.envoy).toEqual({ path: '/no/such/envoy', version: null });
  });
});
