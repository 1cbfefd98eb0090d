import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { startLink } from '../bench/faults/link.js';
import { SHOP } from '../support/admin.js';
import { type Child, startChild } from '../support/child.js';
import { paifang } from '../support/cli.js';
import { rootDir } from '../support/envoy.js';
import { fleetNode } from '../support/fleet-nodes.js';
import { freePort } from '../support/ports.js';
import { testPostgres } from '../support/postgres.js';
import { tmpDir } from '../support/tmp.js';
import { until } from '../support/until.js';

const base = '/api/v1/workspaces/shop';

interface Replica {
  readonly child: Child;
  readonly url: string;
  readonly adsPort: number;
}

async function replica(env: Record<string, string>): Promise<Replica> {
  const [adminPort, adsPort] = [await freePort(), await freePort()];
  const child = startChild(process.execPath, [join(rootDir(), 'dist/main.js'), 'controller'], {
    env: {
      ...process.env,
      ...env,
      PAIFANG_DATA_DIR: tmpDir(),
      PAIFANG_ADMIN_PORT: String(adminPort),
      PAIFANG_ADS_PORT: String(adsPort),
    },
  });
  const url = `http://127.0.0.1:${adminPort}`;
  await until(async () => child.process.exitCode !== null || (await fetch(`${url}/readyz`)).ok, {
    within: 60_000,
    what: `a controller: ${child.output()}`,
  });
  return { child, url, adsPort };
}

it('after kill -9 of the controller that published, the other tells the receipt truthfully and ends every wait', async () => {
  const nodeToken = randomBytes(24).toString('base64url');
  const env = {
    PAIFANG_DATABASE_URL: await (await testPostgres()).database(),
    PAIFANG_NODE_TOKEN: nodeToken,
    PAIFANG_MASTER_KEY: '11'.repeat(32),
  };
  const [doomed, survivor] = [await replica(env), await replica(env)];
  const adminToken = /Admin token, shown this once: (\S+)/.exec(doomed.child.output())?.[1] ?? '';
  // biome-ignore lint/suspicious/noExplicitAny: answers are looked into freely
  const call = async (at: Replica, method: string, path: string, body?: unknown): Promise<any> => {
    const type = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json';
    const response = await fetch(at.url + path, {
      method,
      headers: { authorization: `Bearer ${adminToken}`, 'if-match': '*', ...(body ? { 'content-type': type } : {}) },
      ...(body ? { body: JSON.stringify(body) } : {}),
    });
    return response.json();
  };
  await call(doomed, 'POST', '/api/v1/workspaces', { name: 'shop' });
  await call(doomed, 'POST', `${base}/changesets`, { definitions: SHOP });
  // Each new connection goes to the next of the two that takes it.
  const link = await startLink('moves', [doomed.adsPort, survivor.adsPort]);
  const stays = fleetNode({ adsPort: survivor.adsPort, nodeToken }, 'stays');
  const moves = fleetNode({ adsPort: link.port, nodeToken }, 'moves');
  await Promise.all([stays.synced(), moves.synced()]);
  await until(
    async () =>
      (await call(survivor, 'GET', `${base}/nodes`)).items.filter((n: { state: string }) => n.state === 'in-step')
        .length === 2,
    { within: 20_000, what: 'both nodes are known' },
  );

  // Killed as soon as the release is made, before what its node said can be written.
  const { outcome } = await call(doomed, 'PATCH', `${base}/apis/list-orders?publish=true`, { timeoutMs: 10 });
  doomed.child.process.kill('SIGKILL');
  await doomed.child.exited;
  const { release } = outcome;
  expect(release).toBe(2);

  const cli = ['--server', survivor.url, '--token', adminToken, '--workspace', 'shop'];
  const [waited, command] = await Promise.all([
    call(survivor, 'GET', `${base}/releases/${release}/receipt?wait=acked&timeout=20s`),
    paifang(['wait', String(release), '--timeout', '20', ...cli]),
  ]);
  expect(waited).toMatchObject({ release, acked: true, timedOut: false });
  expect([command.status, command.stderr]).toEqual([0, '']);
  const receipt = await call(survivor, 'GET', `${base}/releases/${release}/receipt`);
  const nodes = new Map<string, { state: string; connected: boolean; replica: string }>();
  for (const node of receipt.nodes) nodes.set(node.node, node);
  expect([...nodes].map(([name, { state, connected }]) => [name, state, connected])).toEqual([
    ['moves', 'acked', true],
    ['stays', 'acked', true],
  ]);
  // The node that moved is told where it is now.
  expect(nodes.get('moves')?.replica).toBe(nodes.get('stays')?.replica);
  // What was not written is not known, and not made up: all of the way, or nothing.
  const { validatedMs, storedMs, compiledMs, pushedMs } = receipt.timeline;
  const steps = [validatedMs, storedMs, compiledMs, pushedMs];
  expect(steps.every((ms) => ms === null) || steps.every((ms) => typeof ms === 'number')).toBe(true);
  expect(receipt.beganAt === null).toBe(validatedMs === null);

  // It goes on as if nothing had been.
  const next = await call(survivor, 'PATCH', `${base}/apis/list-orders?publish=true&wait=acked&timeout=10s`, {
    timeoutMs: 20,
  });
  expect(next.outcome.receipt).toMatchObject({ release: 3, acked: true, timedOut: false });
}, 60_000);
