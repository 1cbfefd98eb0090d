import { status } from '@grpc/grpc-js';
import { beforeAll, describe, expect, it } from 'vitest';
import { TYPE } from '../../src/core/ads/resource.js';
import { deriveId } from '../../src/core/model/name.js';
import { MasterKey } from '../../src/store/master-key.js';
import { openStore } from '../../src/store/store.js';
import { XdsClient } from '../conformance/xds-client.js';
import { ADMIN_TOKEN, type AdminClient, keptLog, SHOP, testController } from '../support/admin.js';
import { paifang } from '../support/cli.js';
import { type TestPostgres, testPostgres } from '../support/postgres.js';
import { until } from '../support/until.js';

// A release that another version of the program stored, and that does not compile here.

const at = (path = '') => `/api/v1/workspaces/default${path}`;
const api = (name: string, path: string) => ({
  ...{ name, group: 'shop', match: { path } },
  upstream: { kind: 'cluster', cluster: 'orders' },
});

let postgres: TestPostgres;
beforeAll(async () => {
  postgres = await testPostgres();
});

/** Publishes an API as a controller would that knows more forms of paths. */
async function foreign(url: string, spec: ReturnType<typeof api>): Promise<void> {
  const store = await openStore({ url, masterKey: new MasterKey(Buffer.alloc(32, 0x11)), log: keptLog() });
  await store.write('default', { name: 'another version', requestId: 'r' }, async (tx) => {
    const head = {
      kind: 'api',
      name: spec.name,
      id: deriveId('default', 'api', spec.name),
      spec,
      state: 'online',
      action: 'created',
      references: [],
    };
    const [stored] = await tx.putHeads([head as never]);
    await tx.release([stored as never], [], { message: '', groupReleases: {} });
    return true;
  });
  await store.close();
}

async function states(
  controller: AdminClient,
): Promise<{ ready: number; reason?: string; release: number; fault?: string }> {
  const { status: ready, body } = await controller.call('GET', '/readyz', undefined, { authorization: '' });
  const { workspaces } = (await controller.call('GET', '/api/v1/status')).body;
  const [{ release, fault }] = workspaces;
  return { ready, reason: body.components.releases.details?.reason, release, fault };
}

const publish = (controller: AdminClient, ...apis: object[]) =>
  controller.call('POST', at('/changesets'), { message: '', definitions: { apis } });

describe('a stored release that does not compile here', { timeout: 40_000 }, () => {
  it('is told with what to do, judged with what comes after, and mended by it', async () => {
    const url = await postgres.database();
    const first = await testController(url);
    await first.call('POST', '/api/v1/workspaces', { name: 'default' });
    expect((await first.call('POST', at('/changesets'), { message: '', definitions: SHOP })).status).toBe(200);
    expect(await states(first)).toEqual({ ready: 200, release: 1 });

    await foreign(url, api('odd', 'no-slash'));
    await until(async () => (await states(first)).ready === 503, { what: 'the fault' });
    const told = await states(first);
    expect(told).toMatchObject({ release: 1 });
    expect(told.fault).toMatch(
      /^release 2 does not compile here, so release 1 stays in force here: api "odd": .*no-slash.* Mend and publish/,
    );
    expect(told.reason).toContain(told.fault);
    const env = { PAIFANG_SERVER: first.adminUrl, PAIFANG_TOKEN: ADMIN_TOKEN };
    expect((await paifang(['status'], { env })).stdout).toMatch(
      /releases +DOWN \(default: release 2 does not compile here/,
    );

    // A controller that starts now has nothing in force of the workspace, and says so.
    const second = await testController(url);
    expect(await states(second)).toMatchObject({
      ready: 503,
      release: 0,
      fault: expect.stringContaining('nothing of the workspace'),
    });

    for (const controller of [first, second]) {
      const refused = await publish(controller, api('other', '/other'));
      expect(refused.status).toBe(422);
      expect(refused.text).toContain('no-slash');
    }
    const mended = await publish(second, api('other', '/other'), api('odd', '/odd'));
    expect(mended.status).toBe(200);
    expect(await states(second)).toEqual({ ready: 200, release: 3 });
    await until(async () => (await states(first)).ready === 200, { what: 'the release at the other controller' });
    expect(await states(first)).toEqual({ ready: 200, release: 3 });
    for (const name of ['odd', 'other', 'list-orders']) {
      const { text } = await first.call('GET', `/console/config?type=Router&resourceId=${await idOf(first, name)}`);
      expect(text).toContain(name === 'list-orders' ? '"/orders"' : `"/${name}"`);
    }
    expect((await publish(first, api('more', '/more'))).body.release).toBe(4);
    await until(async () => (await states(second)).release === 4, { what: 'release 4' });
  });

  it('sends nodes that may have newer content elsewhere; others are served what is in force', async () => {
    const url = await postgres.database();
    const controller = await testController(url);
    await controller.call('POST', '/api/v1/workspaces', { name: 'default' });
    await controller.call('POST', at('/changesets'), { message: '', definitions: SHOP });
    const joined = (id: string, initial: Record<string, string>) => {
      const client = new XdsClient(controller.adsPort, 'delta', { id, cluster: 'default/edge' });
      client.send({ type: TYPE.cluster, initial });
      return client;
    };
    const holding = { 'made elsewhere': 'newer' };
    await joined('before', holding).next(TYPE.cluster);
    await foreign(url, api('odd', 'no-slash'));
    await until(async () => (await states(controller)).ready === 503, { what: 'the fault' });

    const { code, details } = await joined('holding', holding).end();
    expect([code, details]).toEqual([
      status.UNAVAILABLE,
      expect.stringMatching(/behind what is stored.*The node keeps what it has/),
    ]);
    await joined('empty', {}).next(TYPE.cluster);
    expect((await publish(controller, api('odd', '/odd'))).status).toBe(200);
    await joined('after', holding).next(TYPE.cluster);
  });

  it('is left behind by a rollback', async () => {
    const url = await postgres.database();
    const controller = await testController(url);
    await controller.call('POST', '/api/v1/workspaces', { name: 'default' });
    await controller.call('POST', at('/changesets'), { message: '', definitions: SHOP });
    await foreign(url, api('odd', 'no-slash'));
    await until(async () => (await states(controller)).ready === 503, { what: 'the fault' });
    const rolled = await controller.call('POST', at('/releases/1/rollback'), {});
    expect(rolled.status).toBe(200);
    expect(await states(controller)).toEqual({ ready: 200, release: 3 });
  });
});

async function idOf(controller: AdminClient, name: string): Promise<string> {
  return (await controller.call('GET', at(`/apis/${name}`))).body.id;
}
