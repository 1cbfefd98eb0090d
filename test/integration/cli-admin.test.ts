import { spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { ADMIN_TOKEN, type AdminClient, testController } from '../support/admin.js';
import { onCleanup } from '../support/cleanup.js';
import { paifang, paifangJson, type Run } from '../support/cli.js';
import { rootDir } from '../support/envoy.js';
import { freePort } from '../support/ports.js';
import { type TestPostgres, testPostgres } from '../support/postgres.js';
import { tmpDir } from '../support/tmp.js';

const GATEWAY = {
  fleets: [{ name: 'public', listeners: [{ name: 'http', port: 8088 }] }],
  clusters: [{ name: 'orders', endpoints: [{ host: '10.0.0.1', port: 80 }] }],
  groups: [{ name: 'shop', hosts: ['shop.test'] }],
  apis: [
    {
      name: 'list-orders',
      group: 'shop',
      match: { path: '/orders' },
      upstream: { kind: 'cluster', cluster: 'orders' },
    },
    { name: 'weather', group: 'shop', match: { path: '/weather' }, upstream: { kind: 'mock', body: '{}' } },
  ],
  apps: [{ name: 'web', grants: { groups: ['shop'] } }],
};
type Gateway = typeof GATEWAY & { workspace?: string };

const SCRIPT = '/usr/bin/script';

let postgres: TestPostgres;
let controller: AdminClient;
let env: Record<string, string>;

beforeAll(async () => {
  postgres = await testPostgres();
  controller = await testController(await postgres.database());
  env = { PAIFANG_SERVER: controller.adminUrl, PAIFANG_TOKEN: ADMIN_TOKEN };
});

/** Each test works in a workspace of its own. */
let counter = 0;
async function workspace(content?: unknown): Promise<{ name: string; run: (...args: string[]) => Promise<Run> }> {
  const name = `ws-${++counter}`;
  expect((await controller.call('POST', '/api/v1/workspaces', { name })).status).toBe(201);
  const run = (...args: string[]) => paifang([...args, '-w', name], { env });
  if (content !== undefined) expect(await run('apply', '-y', '-f', file(content))).toMatchObject({ status: 0 });
  return { name, run };
}

function file(content: unknown): string {
  const path = join(tmpDir(), 'gateway.yaml');
  writeFileSync(path, typeof content === 'string' ? content : stringify(content));
  return path;
}

function edited(edit: (gateway: Gateway) => void): Gateway {
  const copy = structuredClone(GATEWAY);
  edit(copy);
  return copy;
}

describe('paifang apply', () => {
  it('shows the difference, applies it as one release, and has nothing to do the second time', async () => {
    const { name, run } = await workspace();
    const path = file(GATEWAY);
    const first = await run('apply', '-f', path, '-y', '-m', 'the beginning');
    expect(first).toMatchObject({ status: 0, stderr: '' });
    expect(first.stdout).toContain('+ api list-orders\n');
    expect(first.stdout).toContain('6 created, 0 changed, 0 deleted.');
    expect(first.stdout).toContain(`Release 1 of workspace ${name}.`);
    const second = await run('apply', '-f', path);
    expect(second).toEqual({ status: 0, stdout: `Workspace ${name} holds all of this already.\n`, stderr: '' });
    expect((await run('releases', 'show', '1')).stdout).toMatch(/^message +the beginning$/m);
  });

  it('shows each value that changes', async () => {
    const { run } = await workspace(GATEWAY);
    const changed = edited((gateway) => Object.assign(gateway.apis[0] ?? {}, { timeoutMs: 5000 }));
    const { stdout } = await run('apply', '-y', '-f', file(changed));
    expect(stdout).toContain('~ api list-orders\n    /timeoutMs: (not set) → 5000\n');
    expect(stdout).toContain('Release 2 ');
  });

  it('asks for --yes where there is no terminal, and changes nothing', async () => {
    const { run } = await workspace();
    const { status, stderr } = await run('apply', '-f', file(GATEWAY));
    expect(status).toBe(2);
    expect(stderr).toContain('--yes');
    expect((await run('releases')).stdout).toContain('has published nothing yet');
  });

  // util-linux's `script` runs a command on a terminal of its own; without it nothing here can stand in for a person.
  it.skipIf(!existsSync(SCRIPT)).each([
    ['y', 0, 1],
    ['', 1, 0],
  ])('asks on a terminal; the answer %j ends with %i', async (answer, status, releases) => {
    const { name } = await workspace();
    const command = `'${process.execPath}' dist/main.js apply -w ${name} -f '${file(GATEWAY)}'`;
    const child = spawn(SCRIPT, ['-qec', command, '/dev/null'], { cwd: rootDir(), env: { ...process.env, ...env } });
    let shown = '';
    child.stdout.on('data', (chunk: Buffer) => {
      shown += chunk;
      if (shown.includes('[y/N] ') && !child.stdin.writableEnded) child.stdin.end(`${answer}\n`);
    });
    onCleanup(async () => {
      child.kill('SIGKILL');
    });
    expect(await new Promise((resolve) => child.on('close', resolve))).toBe(status);
    expect(shown).toContain('6 created');
    expect(await paifangJson<unknown[]>(['releases', '-w', name], { env })).toHaveLength(releases);
  });

  it('--dry-run changes nothing', async () => {
    const { run } = await workspace();
    const { status, stdout } = await run('apply', '-f', file(GATEWAY), '--dry-run');
    expect(status).toBe(0);
    expect(stdout).toContain('6 created');
    expect(stdout).toContain('Nothing was changed.');
    expect((await run('get', 'apis')).stdout).toContain('has no api');
  });

  it('--draft stores without touching traffic; a later apply publishes what was stored', async () => {
    const { run } = await workspace();
    const path = file(GATEWAY);
    expect((await run('apply', '-f', path, '-y', '--draft')).stdout).toContain('Stored as drafts');
    expect((await run('releases')).stdout).toContain('has published nothing yet');
    const { stdout } = await run('apply', '-f', path, '-y');
    expect(stdout).toMatch(/^Stored before and published now: .*api list-orders/m);
    expect(stdout).toContain('Release 1 ');
  });

  it('--prune deletes what the file does not have; without it that stays', async () => {
    const { run } = await workspace(GATEWAY);
    const path = file(edited((gateway) => gateway.apis.pop()));
    expect((await run('apply', '-f', path, '-y')).stdout).toContain('holds all of this already');
    expect((await run('apply', '-f', path, '-y', '--prune')).stdout).toContain('- api weather\n');
    expect((await run('get', 'apis', '-o', 'name')).stdout).toBe('list-orders\n');
  });

  it('tells faults of the file with their place, before it asks anybody', async () => {
    const path = file(edited((gateway) => Object.assign(gateway.apis[0] ?? {}, { grup: 'shop' })));
    const { status, stderr } = await paifang(['apply', '-f', path], { env: { PAIFANG_SERVER: 'http://127.0.0.1:1' } });
    expect(status).toBe(1);
    expect(stderr).toMatch(/gateway\.yaml:\d+:\d+: error unknown-field: /);
  });

  it('lists every fault the controller finds, with pointers', async () => {
    const { run } = await workspace();
    const bad = edited((gateway) => {
      for (const api of gateway.apis) Object.assign(api, { group: 'nobody' });
    });
    const { status, stderr } = await run('apply', '-y', '-f', file(bad));
    expect(status).toBe(3);
    expect(stderr).toContain('/definitions/apis/0/group: ');
    expect(stderr).toContain('/definitions/apis/1/group: ');
    expect(stderr).toContain('[unknown-reference]');
  });

  it('takes the workspace from the file, and refuses to guess between two', async () => {
    const { name } = await workspace();
    const path = file({ workspace: name, ...GATEWAY });
    expect((await paifang(['apply', '-y', '-f', path], { env })).stdout).toContain(`of workspace ${name}.`);
    const { status, stderr } = await paifang(['apply', '-y', '-f', path, '-w', 'other'], { env });
    expect(status).toBe(2);
    expect(stderr).toContain('"other"');
  });
});

describe('paifang diff', () => {
  it('ends with 0, 1 or 2', async () => {
    const { run } = await workspace(GATEWAY);
    expect(await run('diff', '-f', file(GATEWAY))).toEqual({ status: 0, stdout: '', stderr: '' });
    const other = file(edited((gateway) => gateway.apis.pop()));
    const different = await run('diff', '-f', other);
    expect(different.status).toBe(1);
    expect(different.stdout).toContain('- api weather');
    expect((await run('diff', '-f', other, '--no-prune')).status).toBe(0);
    expect((await run('diff', '-f', file('groups: ['))).status).toBe(2);
    expect((await run('diff', '-f', other, '--release', 'x')).status).toBe(2);
    expect((await run('diff', '-f', other, '--release', '99')).status).toBe(2);
    expect((await paifang(['diff', '-f', other], { env: { PAIFANG_SERVER: 'http://127.0.0.1:1' } })).status).toBe(2);
  });

  it('compares with a release, and with what is in force', async () => {
    const { name, run } = await workspace(GATEWAY);
    const changed = file(edited((gateway) => Object.assign(gateway.apis[1] ?? {}, { description: 'sunny' })));
    await run('apply', '-y', '--draft', '-f', changed);
    expect((await run('diff', '-f', changed)).status).toBe(0);
    const { status, stdout } = await run('diff', '-f', changed, '--release', 'latest', '--json');
    expect(status).toBe(1);
    expect(JSON.parse(stdout)).toEqual({
      ...{ workspace: name, release: 'latest', same: false },
      changes: [
        { kind: 'api', name: 'weather', change: 'changed', fields: [{ path: '/description', after: 'sunny' }] },
      ],
      diagnostics: [],
    });
  });
});

describe('paifang dump', () => {
  it('gives a file that apply takes and finds equal', async () => {
    const { name, run } = await workspace(GATEWAY);
    const { stdout } = await run('dump');
    expect(parse(stdout)).toEqual({ workspace: name, ...GATEWAY });
    const again = await paifang(['apply', '-f', '-'], { env, input: stdout });
    expect(again.stdout).toContain('holds all of this already');
  });

  it('goes back to a release, writes a file, gives JSON', async () => {
    const { name, run } = await workspace(GATEWAY);
    await run('apply', '-y', '--prune', '-f', file(edited((gateway) => gateway.apis.pop())));
    const path = join(tmpDir(), 'out.yaml');
    expect(await run('dump', '--release', '1', '-o', path)).toMatchObject({ status: 0, stdout: '' });
    expect(parse(readFileSync(path, 'utf8')).apis).toHaveLength(2);
    expect((await paifangJson<Gateway>(['dump', '-w', name], { env })).apis).toHaveLength(1);
    expect((await run('dump', '--release', '77')).status).toBe(3);
    expect((await run('dump', '-o', '/dev/null/x')).status).toBe(2);
  });
});

describe('paifang get', () => {
  it('lists objects with their state and shows one', async () => {
    const { name, run } = await workspace(GATEWAY);
    const { stdout } = await run('get', 'apis');
    expect(stdout).toMatch(/^NAME +STATE +REV +GROUP +METHODS +PATH +AUTH +TO +ID$/m);
    expect(stdout).toMatch(/^list-orders +online +1 +shop +any +\/orders +none +orders +\S{32}$/m);
    expect(stdout).toMatch(/^weather +online .* mock 1100 /m);
    expect(parse((await run('get', 'api', 'weather')).stdout).spec).toEqual(GATEWAY.apis[1]);
    for (const kind of ['fleet', 'clusters', 'group', 'app']) {
      expect(await paifangJson<unknown[]>(['get', kind, '-w', name], { env })).toHaveLength(1);
    }
    expect((await run('get', 'api', 'nobody')).status).toBe(3);
    expect((await run('get', 'routes')).status).toBe(2);
  });

  it('gets more than one page', async () => {
    const many = { ...GATEWAY, apis: Array.from({ length: 1203 }, (_, i) => api(i)) };
    const { run } = await workspace();
    expect((await run('apply', '-y', '--draft', '-f', file(many))).status).toBe(0);
    expect((await run('get', 'apis', '-o', 'name')).stdout.trimEnd().split('\n')).toHaveLength(1203);
  });
});

function api(i: number) {
  return { name: `api-${i}`, group: 'shop', match: { path: `/api-${i}` }, upstream: { kind: 'mock' } };
}

describe('paifang publish, offline and releases', () => {
  it('moves an API out of traffic and back', async () => {
    const { run } = await workspace(GATEWAY);
    expect((await run('offline', 'weather')).stdout).toBe('API weather is offline since release 2.\n');
    expect((await run('get', 'apis')).stdout).toMatch(/^weather +offline/m);
    expect((await run('publish', 'weather')).stdout).toBe('API weather is online since release 3.\n');
    expect((await run('publish', 'nobody')).status).toBe(3);
  });

  it('publishes a first API together with what it needs', async () => {
    const { run } = await workspace();
    await run('apply', '-y', '--draft', '-f', file(GATEWAY));
    const { stdout } = await run('publish', 'list-orders');
    expect(stdout).toContain('online since release 1.');
    expect(stdout).toMatch(/Published along with it: .*group shop/);
  });

  it('lists, shows, compares and rolls back', async () => {
    const { name, run } = await workspace(GATEWAY);
    await run('apply', '-y', '-f', file(edited((gateway) => Object.assign(gateway.apis[1] ?? {}, { timeoutMs: 10 }))));
    expect((await run('releases')).stdout).toMatch(/^RELEASE +TIME +BY +PUBLISHED +REMOVED +MESSAGE\n +2 /);
    expect((await run('releases', 'show', '2')).stdout).toMatch(/^published +1: api\/weather$/m);
    const compared = await run('releases', 'compare', '1', '2');
    expect(compared.status).toBe(1);
    expect(compared.stdout).toContain('~ api weather\n    /timeoutMs: (not set) → 10\n');
    expect((await run('releases', 'rollback', '1', '-m', 'too short')).stdout).toBe(
      'Release 3 holds what release 1 held.\n',
    );
    expect((await run('releases', 'compare', '1', '3')).status).toBe(0);
    const listed = await paifangJson<{ number: number; message: string }[]>(['releases', 'list', '-w', name], { env });
    expect(listed.map((release) => release.number)).toEqual([3, 2, 1]);
    expect(listed[0]?.message).toContain('too short');
    expect((await run('releases', 'show', '44')).status).toBe(3);
    expect((await run('releases', 'rollback', 'two')).status).toBe(2);
  });
});

describe('paifang credentials', () => {
  it('shows a secret once, then lists and disables the key', async () => {
    const { name, run } = await workspace(GATEWAY);
    const made = await paifangJson<{ accessKey: string; secretKey: string }>(
      ['credentials', 'create', 'web', '-w', name],
      {
        env,
      },
    );
    const listed = await run('credentials', 'list', 'web');
    expect(listed.stdout).toMatch(new RegExp(`^${made.accessKey} +yes `, 'm'));
    expect(listed.stdout).not.toContain(made.secretKey);
    expect((await run('credentials', 'disable', 'web', made.accessKey)).status).toBe(0);
    expect((await run('credentials', 'list', 'web')).stdout).toMatch(new RegExp(`^${made.accessKey} +no `, 'm'));
    expect((await run('credentials', 'disable', 'web', 'nobody')).status).toBe(3);
    expect((await run('credentials', 'create', 'nobody')).status).toBe(3);
    expect((await run('credentials', 'create', 'web', '--expires', 'soon')).status).toBe(3);
    const human = await run('credentials', 'create', 'web', '--expires', '2099-01-01T00:00:00Z');
    expect(human.stdout).toMatch(/^secret key +\S{20,}$/m);
    expect(human.stderr).toContain('shown this once');
  });
});

describe('paifang workspaces and status', () => {
  it('makes, lists and deletes workspaces', async () => {
    expect((await paifang(['workspaces', 'create', 'fresh', '--description', '团队'], { env })).status).toBe(0);
    expect((await paifang(['workspaces'], { env })).stdout).toMatch(/^fresh +0 .*团队$/m);
    expect((await paifang(['workspaces', 'create', 'fresh'], { env })).status).toBe(3);
    expect((await paifang(['workspaces', 'create', 'Not A Name'], { env })).status).toBe(3);
    expect((await paifang(['workspaces', 'delete', 'fresh'], { env })).status).toBe(0);
    expect((await paifang(['get', 'apis', '-w', 'fresh'], { env })).status).toBe(3);
  });

  it('shows the state of the controller', async () => {
    const status = await paifangJson<{ version: string; streams: unknown[] }>(['status'], { env });
    expect(status.version).toMatch(/^\d/);
    expect(status.streams).toEqual([]);
    expect((await paifang(['status'], { env })).stdout).toMatch(/^version +\d/m);
  });
});

describe('the connection', () => {
  it('finds the token that paifang up left in the data directory', async () => {
    const dir = tmpDir();
    mkdirSync(join(dir, '.paifang'));
    writeFileSync(join(dir, '.paifang/admin.token'), `${ADMIN_TOKEN}\n`);
    chmodSync(join(dir, '.paifang/admin.token'), 0o600);
    expect(statSync(join(dir, '.paifang/admin.token')).mode & 0o777).toBe(0o600);
    const server = { PAIFANG_SERVER: controller.adminUrl };
    expect((await paifang(['workspaces'], { env: server, cwd: dir })).status).toBe(0);
    const elsewhere = { ...server, PAIFANG_DATA_DIR: join(dir, '.paifang') };
    expect((await paifang(['workspaces'], { env: elsewhere, cwd: tmpDir() })).status).toBe(0);
    const named = ['workspaces', '--token-file', join(dir, '.paifang/admin.token')];
    expect((await paifang(named, { env: server, cwd: tmpDir() })).status).toBe(0);
  });

  it('says what to do without a token, or with a wrong one', async () => {
    const server = { PAIFANG_SERVER: controller.adminUrl };
    const without = await paifang(['workspaces'], { env: server, cwd: tmpDir() });
    expect(without.status).toBe(3);
    expect(without.stderr).toContain('no admin token was given');
    const wrong = await paifang(['workspaces'], { env: { ...server, PAIFANG_TOKEN: 'wrong-token' }, cwd: tmpDir() });
    expect(wrong.status).toBe(3);
    expect(wrong.stderr).toContain('not accepted');
    expect(wrong.stderr).not.toContain('wrong-token');
  });

  it('says once what is not there, and what to do', async () => {
    const { run } = await workspace();
    const { status, stderr } = await run('get', 'api', 'nobody');
    expect(status).toBe(3);
    expect(stderr.split('does not exist')).toHaveLength(2);
    expect(stderr.trimEnd().split('\n')).toEqual([
      expect.stringMatching(/the controller answers 404: The api "nobody" of workspace "\S+" does not exist\.$/),
      'Correct the name or the workspace; a list shows what there is.',
    ]);
  });

  it.each([
    [{ PAIFANG_SERVER: 'nonsense' }, 2, /not the URL of a controller/],
    [{ PAIFANG_TOKEN_FILE: '/no/such/token', PAIFANG_TOKEN: '' }, 2, /token file/],
    [{ PAIFANG_SERVER: 'http://name.invalid' }, 4, /no controller answers at http:\/\/name.invalid/],
  ])('%j', async (wrong, status, why) => {
    const run = await paifang(['workspaces'], { env: { ...env, ...wrong } });
    expect(run.status).toBe(status);
    expect(run.stderr).toMatch(why);
  });

  it('ends with 4 when nothing listens', async () => {
    const run = await paifang(['status', '--server', `http://127.0.0.1:${await freePort()}`], { env });
    expect(run.status).toBe(4);
    expect(run.stderr).toContain('connection refused');
  });

  it('takes nothing from a server that is no controller', async () => {
    const impostor = createServer((_, response) => response.end('<html>'));
    await new Promise<void>((resolve) => impostor.listen(0, '127.0.0.1', resolve));
    onCleanup(async () => {
      impostor.close();
    });
    const url = `http://127.0.0.1:${(impostor.address() as AddressInfo).port}`;
    const run = await paifang(['get', 'apis', '--server', url], { env });
    expect(run.status).toBe(4);
    expect(run.stderr).toContain('not a controller of Paifang');
  });
});
