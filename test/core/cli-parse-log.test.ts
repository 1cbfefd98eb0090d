import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { paifang, paifangJson } from '../support/cli.js';
import { tmpDir } from '../support/tmp.js';

const TEXT =
  '[2026-11-22T10:00:00.123Z] "GET /orders/1?a=b HTTP/1.1" 504 UT 0 24 3001 - "-" "curl/8.5" "req-text" "orders.test" "10.0.0.9:8080"';
const OURS = JSON.stringify({
  ...{ start_time: '2026-11-22T10:00:01.000Z', __time__: '1795341601000', method: 'GET', path: '/weather' },
  ...{ protocol: 'HTTP/1.1', response_code: 200, response_code_details: 'direct_response', response_flags: null },
  ...{ request_id: 'req-ours', api_name: 'weather', backend_protocol: 'Mock', result_code: '1100', duration: 1 },
});
const CLOUD = JSON.stringify({
  ...{ __time__: '1795341602', cluster_id: 'gw-abc', method: 'POST', path: '/pay', response_code: '503' },
  ...{ response_flags: 'UF,URX', response_code_details: 'upstream_reset_before_response_started{connection_failure}' },
  ...{ request_id: 'req-cloud', duration: '12', upstream_host: '10.0.0.8:80', ai_log: '-' },
});

interface Summary {
  lines: number;
  unparsed: number;
  codes: Record<string, number>;
  flags: Record<string, number>;
}

describe('paifang parse-log', () => {
  it('reads the three formats from one input and counts codes and flags', async () => {
    const input = `${[TEXT, OURS, CLOUD].join('\n')}\n`;
    const summary = await paifangJson<Summary>(['parse-log', '--summary'], { input });
    expect(summary).toMatchObject({ lines: 3, unparsed: 0, flags: { UT: 1, UF: 1, URX: 1 } });
    expect(Object.values(summary.codes).reduce((a, b) => a + b)).toBe(3);
    expect(summary.codes).toMatchObject({ 6305: 1, 1100: 1 });
  });

  it('prints one JSON document a line: requests, faults, the summary', async () => {
    const { status, stdout } = await paifang(['parse-log', '--json'], { input: `${OURS}\n{"cut off\n${TEXT}` });
    expect(status).toBe(0);
    const rows = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(rows).toHaveLength(4);
    expect(rows[0]).toMatchObject({ code: '1100', success: true, line: { request_id: 'req-ours' } });
    expect(rows[1]).toEqual({ line: 2, raw: '{"cut off', reason: expect.stringContaining('JSON') });
    expect(rows[2]).toMatchObject({ code: '6305', success: false, flags: [{ flag: 'UT' }] });
    expect(rows[3]).toEqual({ summary: { lines: 3, unparsed: 1, codes: { 1100: 1, 6305: 1 }, flags: { UT: 1 } } });
  });

  it('explains a single request', async () => {
    const { stdout } = await paifang(['parse-log', '-'], { input: TEXT });
    expect(stdout).toMatch(/^6305 BizGatewayTimeout$/m);
    expect(stdout).toMatch(/^why +\S/m);
    expect(stdout).toMatch(/^what to do +The backend took longer/m);
    expect(stdout).toMatch(/^flag UT +UpstreamRequestTimeout: /m);
    expect(stdout).toMatch(/^request id +req-text$/m);
  });

  it('shows a table, then the counts, then what could not be read', async () => {
    const { status, stdout, stderr } = await paifang(['parse-log'], { input: `${TEXT}\n${OURS}\nrubbish\n` });
    expect(status).toBe(0);
    expect(stdout).toMatch(/^TIME +CODE +MEMO +HTTP/);
    expect(stdout).toContain('3 lines, 2 understood, 1 not.');
    expect(stderr).toMatch(/^line 3: .+\n {4}rubbish/);
  });

  it('reads a file and keeps to --limit', async () => {
    const file = join(tmpDir(), 'access.log');
    writeFileSync(file, `${TEXT}\n`.repeat(1000));
    const { stdout, stderr } = await paifang(['parse-log', file, '--limit', '5']);
    expect(stdout.match(/req-text/g)).toHaveLength(5);
    expect(stderr).toContain('995 more');
    expect(stdout).toContain('1000 lines, 1000 understood');
  });

  it('ends with 1 when not one line could be read, with 0 for an empty log', async () => {
    expect((await paifang(['parse-log'], { input: 'a\nb\n' })).status).toBe(1);
    expect((await paifang(['parse-log'], { input: '' })).status).toBe(0);
  });

  it('refuses lines of another format than the one asked for', async () => {
    const summary = await paifangJson<Summary>(['parse-log', '--summary', '--format', 'json'], {
      input: `${OURS}\n${TEXT}\n`,
    });
    expect(summary).toMatchObject({ lines: 2, unparsed: 1, codes: { 1100: 1 } });
  });

  it.each([
    ['bytes that are no text', Buffer.from([0xff, 0xfe, 0x00, 0x0a, 0x7b, 0xc3, 0x28, 0x7d])],
    ['a line without end', Buffer.alloc(9_000_000, 0x78)],
    ['very deep JSON', Buffer.from('['.repeat(200_000))],
    ['a key twice', Buffer.from('{"method":"GET","method":"PUT"}')],
    ['numbers where text belongs', Buffer.from('{"method":{"a":1},"response_code":"many"}')],
  ])('takes hostile input: %s', async (_, input) => {
    const { status, stdout, stderr } = await paifang(['parse-log'], { input });
    expect(status).toBe(1);
    expect(stdout).toContain('0 understood');
    expect(stderr).toMatch(/^line 1: /);
    expect(stderr).not.toContain('internal error');
    expect(stderr.length).toBeLessThan(5000);
  });

  it('does not let a log move the cursor of its reader', async () => {
    const hostile = JSON.stringify({ ...JSON.parse(OURS), path: '/\u001b[2J\u202e', user_agent: '\u0007' });
    for (const input of [hostile, `${hostile}\n${hostile}`]) {
      const { stdout } = await paifang(['parse-log'], { input });
      expect(stdout).toContain('\\x1b[2J\\u202e');
      // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what must not be there.
      expect(stdout).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u202e]/);
    }
  });

  it('keeps columns in line with wide characters', async () => {
    const wide = JSON.stringify({ ...JSON.parse(OURS), path: '/订单' });
    const { stdout } = await paifang(['parse-log', '--quiet'], { input: `${OURS}\n${wide}\n` });
    const [, plain, cjk] = stdout.split('\n');
    // Two characters of two columns each stand in for as many blanks.
    expect(cjk?.indexOf('weather', 60)).toBe((plain?.lastIndexOf('weather') as number) - 2);
  });

  it.each([
    [['/no/such/file'], /there is no such file/],
    [['--limit', 'many'], /--limit takes a number/],
    [['/'], /cannot be read/],
  ])('refuses %j', async (args, why) => {
    const { status, stderr } = await paifang(['parse-log', ...args]);
    expect(status).toBe(2);
    expect(stderr).toMatch(why);
  });
});
