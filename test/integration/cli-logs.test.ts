import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { readLine } from '../../src/core/explain/log-line.js';
import type { LogStore } from '../../src/logs/store.js';
import { ADMIN_TOKEN, testController } from '../support/admin.js';
import { onCleanup } from '../support/cleanup.js';
import { paifang } from '../support/cli.js';
import { rootDir } from '../support/envoy.js';
import { testPostgres } from '../support/postgres.js';
import { tmpDir } from '../support/tmp.js';
import { until } from '../support/until.js';
import { embedded, opened } from './logs/embedded.js';
import { accessLine } from './logs/lines.js';

let env: Record<string, string>;
let store: LogStore;
let offset = 0;

beforeAll(async () => {
  const at = await embedded(join(tmpDir(), 'requests'));
  store = await opened(at);
  const { url, user, password } = at;
  const postgres = await testPostgres();
  const controller = await testController(await postgres.database(), {
    logStore: { url, user, password },
  });
  env = { PAIFANG_SERVER: controller.adminUrl, PAIFANG_TOKEN: ADMIN_TOKEN, PAIFANG_WORKSPACE: 'shop' };
  await controller.call('POST', '/api/v1/workspaces', { name: 'shop' });
});

/** Stores requests that began `ago` milliseconds before now. */
async function stored(...requests: (Record<string, unknown> & { id: string; ago: number })[]): Promise<void> {
  const text = requests
    .map(({ id, ago, ...fields }) => {
      const time = Date.now() - ago;
      return accessLine(id, { __time__: String(time), start_time: new Date(time).toISOString(), ...fields });
    })
    .join('');
  const lines = Buffer.from(text);
  await store.append({ node: 'node-1', cluster: 'shop/main', file: 'f', offset, lines });
  offset += lines.length;
}

const run = (...args: string[]) => paifang(['logs', ...args], { env });
const TIMED_OUT = {
  ...{ response_code: 504, response_flags: 'UT', response_code_details: 'response_timeout' },
  ...{ result_code: '6305', edge_code: null, api_name: 'slow' },
};
const REFUSED = {
  ...{ response_code: 400, response_flags: 'UAEX', response_code_details: 'ext_authz_denied', upstream_host: null },
  ...{ result_code: '2102', edge_code: '2102', app_id: 'app-2' },
};

describe('paifang logs', () => {
  it('lists the latest requests, the latest last, and filters them', async () => {
    await stored(
      { id: 'r-old', ago: 3_600_000 },
      { id: 'r-1', ago: 30_000 },
      { id: 'r-2', ago: 20_000, ...TIMED_OUT },
      { id: 'r-3', ago: 10_000, ...REFUSED },
    );
    const { status, stdout } = await run();
    expect(status).toBe(0);
    const lines = stdout.trimEnd().split('\n');
    expect(lines[0]).toMatch(/^TIME +CODE +MEMO +HTTP +METHOD +PATH +API +APP +MS +FLAGS +REQUEST ID$/);
    expect(lines.slice(1).map((line) => line.split(/ +/).at(-1))).toEqual(['r-1', 'r-2', 'r-3']);
    const ids = async (...args: string[]) => {
      const { stdout: text } = await run('--json', ...args);
      return text
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line).line.request_id);
    };
    expect(await ids('--since', '2h')).toEqual(['r-old', 'r-1', 'r-2', 'r-3']);
    expect(await ids('--limit', '2')).toEqual(['r-2', 'r-3']);
    expect(await ids('--code', '2102')).toEqual(['r-3']);
    expect(await ids('--app', 'app-2')).toEqual(['r-3']);
    expect(await ids('--api', 'slow')).toEqual(['r-2']);
    const minutesAgo = (minutes: number) => new Date(Date.now() - minutes * 60_000).toISOString();
    expect(await ids('--from', minutesAgo(120), '--to', minutesAgo(5))).toEqual(['r-old']);
  });

  it('explains a single request: cause, what to do, what was in force', async () => {
    const { status, stdout } = await run('--request-id', 'r-2');
    expect(status).toBe(0);
    expect(stdout).toMatch(/^6305 BizGatewayTimeout$/m);
    expect(stdout).toMatch(/^what to do +The backend took longer/m);
    expect(stdout).toMatch(/^flag UT +UpstreamRequestTimeout: /m);
    expect(stdout).toMatch(/^API +slow \(a1\)$/m);
    expect(stdout).toMatch(/^release +7$/m);
    const old = await run('--request-id', 'r-old');
    expect(old.stdout).toMatch(/^1000 success$/m);
    expect(old.stdout).not.toContain('what to do');
    const refused = await run('--request-id', 'r-3');
    expect(refused.stdout).toMatch(/^why +the edge /m);
  });

  it('ends with 1 for a request that is not there, with 0 for an empty list', async () => {
    const missing = await run('--request-id', 'nobody');
    expect({ status: missing.status, stdout: missing.stdout }).toEqual({ status: 1, stdout: '' });
    expect(missing.stderr).toContain('no request nobody is stored');
    const none = await run('--code', '5000');
    expect(none.status).toBe(0);
    expect(none.stdout).toContain('No request fits');
  });

  it('--follow prints each request once, as it comes', async () => {
    const child = spawn(
      process.execPath,
      [join(rootDir(), 'dist/main.js'), 'logs', '--follow', '--json', '--app', 'f'],
      {
        env: { ...process.env, ...env },
      },
    );
    onCleanup(async () => {
      child.kill('SIGKILL');
    });
    let text = '';
    child.stdout.on('data', (chunk: Buffer) => {
      text += chunk;
    });
    const ids = () =>
      text
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line).line.request_id);
    await stored({ id: 'f-1', ago: 5000, app_id: 'f' });
    await until(() => ids().includes('f-1'), { what: 'f-1' });
    await stored({ id: 'f-2', ago: 4000, app_id: 'f' }, { id: 'f-3', ago: 3000, app_id: 'f' });
    await until(() => ids().includes('f-3'), { what: 'f-3' });
    await stored({ id: 'f-4', ago: 1000, app_id: 'f' });
    await until(() => ids().includes('f-4'), { what: 'f-4' });
    expect(ids()).toEqual(['f-1', 'f-2', 'f-3', 'f-4']);
  });

  it.each([
    [['--since', 'yesterday'], 2, /--since takes a duration/],
    [['--from', 'noon'], 2, /--from takes a time/],
    [['--to', '2026-13-45'], 2, /--to takes a time/],
    [['--limit', '0'], 2, /--limit takes a number/],
    [['--code', 'abc'], 3, /code/],
  ])('refuses %j', async (args, status, why) => {
    const refused = await run(...args);
    expect(refused.status).toBe(status);
    expect(refused.stderr).toMatch(why);
  });

  it('reads records that parse-log would read the same', async () => {
    const line = accessLine('same', TIMED_OUT);
    const parsed = await paifang(['parse-log', '--json'], { input: line });
    const record = readLine(Buffer.from(line.trimEnd()));
    expect(JSON.parse(parsed.stdout.split('\n')[0] as string)).toEqual(JSON.parse(JSON.stringify(record)));
  });
});
