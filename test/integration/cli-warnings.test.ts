import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { stringify } from 'yaml';
import { ADMIN_TOKEN, testController } from '../support/admin.js';
import { paifang, type Run } from '../support/cli.js';
import { testPostgres } from '../support/postgres.js';
import { tmpDir } from '../support/tmp.js';

const GATEWAY = {
  fleets: [{ name: 'public', listeners: [{ name: 'http', port: 8088 }] }],
  clusters: [
    {
      name: 'orders',
      endpoints: [
        { host: '10.0.0.1', port: 80 },
        { host: '10.0.0.2', port: 80, region: 'east', room: 'a' },
      ],
    },
  ],
  groups: [{ name: 'shop', hosts: ['shop.test'] }],
  apis: [
    { name: 'any', group: 'shop', match: { path: '/*' }, upstream: { kind: 'cluster', cluster: 'orders' } },
    {
      name: 'admin',
      group: 'shop',
      match: { path: '/admin' },
      auth: { type: 'signature' },
      upstream: { kind: 'cluster', cluster: 'orders' },
    },
  ],
};

it('diff, compile, apply and its dry run warn of what would be regretted, and go on', async () => {
  const { adminUrl, call } = await testController(await (await testPostgres()).database());
  expect((await call('POST', '/api/v1/workspaces', { name: 'default' })).status).toBe(201);
  const run = (...args: string[]) => paifang(args, { env: { PAIFANG_SERVER: adminUrl, PAIFANG_TOKEN: ADMIN_TOKEN } });
  const path = join(tmpDir(), 'gateway.yaml');
  writeFileSync(path, stringify(GATEWAY));
  const warned = [
    expect.stringMatching(/warning.* no-failover: .*stand in 2 places/),
    expect.stringMatching(/warning.* open-around-guarded: .*"any" \(\/\*\)/),
  ];
  const byCode = (a: string, b: string) => (a.indexOf('no-failover') < b.indexOf('no-failover') ? 1 : -1);
  const warnings = ({ stderr }: Run) =>
    stderr
      .split('\n')
      .filter((line) => line.includes('warning'))
      .sort(byCode);
  const different = await run('diff', '-f', path);
  expect(different.status).toBe(1);
  expect(warnings(different)).toEqual(warned);
  const { stdout } = await run('diff', '-f', path, '--json');
  expect(JSON.parse(stdout).diagnostics).toHaveLength(2);
  const compiled = await run('compile', path);
  expect(compiled.status).toBe(0);
  expect(warnings(compiled)).toEqual(warned);
  const dry = await run('apply', '-f', path, '--dry-run');
  expect(dry.status).toBe(0);
  expect(warnings(dry)).toEqual(warned);
  const applied = await run('apply', '-f', path, '-y');
  expect(applied.stdout).toContain('Release 1');
  expect(warnings(applied)).toEqual(warned);
  expect(await run('diff', '-f', path)).toEqual({ status: 0, stdout: '', stderr: '' });
});
