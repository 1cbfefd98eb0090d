import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { TYPE } from '../../src/core/ads/resource.js';
import { ADMIN_TOKEN, type AdminClient, SHOP, testController } from '../support/admin.js';
import { paifang, paifangJson, type Run } from '../support/cli.js';
import { fleetNode, muteNode } from '../support/fleet-nodes.js';
import { testPostgres } from '../support/postgres.js';
import { tmpDir } from '../support/tmp.js';

let admin: AdminClient;
let run: (...args: string[]) => Promise<Run>;
let env: Record<string, string>;
let refusing = false;

beforeAll(async () => {
  admin = await testController(await (await testPostgres()).database());
  env = { PAIFANG_SERVER: admin.adminUrl, PAIFANG_TOKEN: ADMIN_TOKEN, PAIFANG_WORKSPACE: 'shop' };
  run = (...args) => paifang(args, { env });
  await admin.call('POST', '/api/v1/workspaces', { name: 'shop' });
  const empty = await run('apply', '-y', '-f', file(1000), '--wait');
  expect(empty).toMatchObject({ status: 0, stdout: expect.stringContaining('No node of its fleets is connected.') });
  await fleetNode(admin, 'gw-1', {
    refuse: ({ type, upserts }) => {
      if (refusing && type === TYPE.route && upserts.length > 0) throw new Error('not this one');
    },
  }).synced();
  await fleetNode(admin, 'gw-1-edge', {
    types: [TYPE.policy, TYPE.app],
    metadata: { role: 'edge', node: 'gw-1' },
  }).synced();
});

/** Definitions whose one API waits so long. */
function file(timeoutMs: number): string {
  const path = join(tmpDir(), 'gateway.yaml');
  writeFileSync(path, stringify({ ...SHOP, apis: SHOP.apis.map((api) => ({ ...api, timeoutMs })) }));
  return path;
}

describe('the verbs that wait', () => {
  it('say when a release is in force, and at how many nodes', async () => {
    const applied = await run('apply', '-y', '-f', file(2000), '--wait');
    expect(applied.status).toBe(0);
    expect(applied.stdout).toMatch(/Release 2 is in force at 2 nodes, \d+(\.\d+)? ms after the write began\./);
    expect(await run('offline', 'list-orders', '--wait')).toMatchObject({
      status: 0,
      stdout: expect.stringContaining('Release 3 is in force at 2 nodes'),
    });
    expect(await run('publish', '--wait', 'list-orders')).toMatchObject({
      status: 0,
      stdout: expect.stringContaining('Release 4 is in force at 2 nodes'),
    });
    const rolled = await paifangJson<{ release: number; receipt: { acked: boolean } }>(
      ['releases', 'rollback', '1', '--wait'],
      { env },
    );
    expect(rolled).toMatchObject({ release: 5, receipt: { acked: true } });
    expect(await run('wait', '5')).toMatchObject({ status: 0, stdout: expect.stringContaining('in force at 2 nodes') });
    expect(await run('wait', '5', '-q')).toEqual({ status: 0, stdout: '', stderr: '' });
  });

  it('end with 3 when a node refused, and name it', async () => {
    refusing = true;
    const refused = await run('apply', '-y', '-f', file(3000), '--wait');
    refusing = false;
    expect([refused.status, refused.stdout]).toEqual([3, expect.stringContaining('gw-1 refused RouteConfiguration')]);
    expect(refused.stdout).toContain('not this one');
    expect((await run('wait', '6')).status).toBe(3);
    const status = await run('status');
    expect(status.stdout).toContain('gw-1 is refusing: refused RouteConfiguration');
    expect((await run('apply', '-y', '-f', file(4000), '--wait')).status).toBe(0);
  });

  it('end with 1 when a node does not answer in time, and name it', async () => {
    const inStep = async () =>
      (await admin.call('GET', '/api/v1/workspaces/shop/nodes/mute')).body.node?.state === 'in-step';
    const client = await muteNode(admin, 'mute', inStep);
    const late = await run('apply', '-y', '-f', file(5000), '--wait', '--timeout', '1');
    expect([late.status, late.stdout]).toEqual([
      1,
      expect.stringContaining('mute has not acknowledged 1 RouteConfiguration'),
    ]);
    expect((await run('wait', '8', '--timeout', '0.2')).status).toBe(1);
    client.close();
    expect((await run('wait', '8', '--timeout', '20')).status).toBe(0);
  });

  it('show the way of a release and the nodes of the fleet', async () => {
    const shown = await run('releases', 'show', '7');
    expect(shown.stdout).toMatch(/validated +[\d.]+ ms\nstored +[\d.]+ ms\ncompiled +[\d.]+ ms\npushed +[\d.]+ ms/);
    expect(shown.stdout).toMatch(/acknowledged +[\d.]+ ms/);
    expect(shown.stdout).toMatch(/^gw-1 +shop\/edge +acked +[\d.]+ +[\d.]+ +1 +RouteConfiguration$/m);
    const status = await run('status');
    expect(status.stdout).toMatch(/^gw-1 +shop\/edge +other +gw-1-edge +- +in-step +8 +0 /m);
    expect(status.stdout).toMatch(/^gw-1-edge +shop\/edge +edge +gw-1 +- +in-step +8 +0 /m);
    expect(status.stdout).toContain('shop/edge (2/3 in step)');
  });

  it('refuse a time that is none, and a release there is not', async () => {
    expect((await run('wait', '1', '--timeout', '1000')).status).toBe(2);
    expect((await run('wait', 'x')).status).toBe(2);
    expect((await run('wait', '99')).status).toBe(3);
  });
});
