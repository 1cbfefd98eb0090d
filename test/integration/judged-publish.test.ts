import { rootCertificates } from 'node:tls';
import { beforeAll, describe, expect, it } from 'vitest';
import { type AdminClient, SHOP, testController } from '../support/admin.js';
import { envoyPath } from '../support/envoy.js';
import { testPostgres } from '../support/postgres.js';
import { until } from '../support/until.js';

// What is published is judged by a real Envoy before it is.

const base = '/api/v1/workspaces/shop';
const good = rootCertificates[0] as string;
/** Cut off by a hasty copy: every certificate in it can be read, what is left over cannot. */
const cut = `${good}\n-----BEGIN CERTIFICATE-----\nMIIB`;
const canaryOf = async (admin: AdminClient) => (await admin.call('GET', '/api/v1/status')).body.components.canary;

let admin: AdminClient;
beforeAll(async () => {
  admin = await testController(await (await testPostgres()).database(), { canary: envoyPath() });
  await admin.call('POST', '/api/v1/workspaces', { name: 'shop' });
  const reply = await admin.call('POST', `${base}/changesets`, { definitions: SHOP });
  expect(reply.body).toMatchObject({ release: 1, judgement: { verdict: 'accepted', resources: 5 } });
});

const cluster = (caPem: string) => ({
  name: 'orders',
  endpoints: [{ host: '127.0.0.1', port: 9000 }],
  tls: { caPem, sni: 'orders.example.com' },
});

describe('a publication Envoy refuses', () => {
  it('is 422 and names object, field and Envoy’s reason; nothing is stored', async () => {
    for (const dryRun of ['?dryRun=true', '']) {
      const reply = await admin.call('POST', `${base}/changesets${dryRun}`, {
        definitions: { clusters: [cluster(cut)] },
      });
      expect(reply.status).toBe(422);
      expect(reply.body.errors).toEqual([
        {
          code: 'envoy-refused',
          severity: 'error',
          object: { kind: 'cluster', name: 'orders' },
          pointer: '/definitions/clusters/0/tls/caPem',
          message: expect.stringContaining('Failed to load trusted CA certificates'),
          hint: expect.any(String),
        },
      ]);
    }
    expect((await admin.call('GET', `${base}/clusters/orders`)).body.spec ?? {}).not.toHaveProperty('tls');
    expect((await admin.call('GET', '/metrics')).text).toMatch(/paifang_judge_seconds_count\{verdict="refused"\} 2/);
  });

  it('stores a draft, but tells it in a dry run and refuses to publish it', async () => {
    const dry = await admin.call('PUT', `${base}/clusters/orders?dryRun=true`, cluster(cut), { 'if-match': '*' });
    expect(JSON.stringify(dry.body)).toContain('envoy-refused');
    expect((await admin.call('PUT', `${base}/clusters/orders`, cluster(cut), { 'if-match': '*' })).status).toBe(200);
    const release = await admin.call('POST', `${base}/releases`, {});
    expect(release.status).toBe(422);
    expect(release.body.errors[0]).toMatchObject({ code: 'envoy-refused', pointer: '/tls/caPem' });
    const mended = await admin.call('PUT', `${base}/clusters/orders?publish=true`, cluster(good), { 'if-match': '*' });
    expect(mended.body.outcome).toMatchObject({ release: 2, judgement: { verdict: 'accepted' } });
  });
});

describe('a canary that does not answer', () => {
  it('holds nobody up: drafts are stored meanwhile, and the publication goes on without a verdict', async () => {
    const { pid } = (await canaryOf(admin)).details;
    process.kill(pid, 'SIGSTOP');
    try {
      const published = admin.call(
        'PATCH',
        `${base}/clusters/orders?publish=true`,
        { connectTimeoutMs: 7 },
        { 'if-match': '*' },
      );
      let done = false;
      void published.then(() => {
        done = true;
      });
      for (let i = 0; i < 5; i++) {
        const draft = await admin.call('POST', `${base}/groups`, {
          name: `draft-${i}`,
          hosts: [`draft-${i}.example.com`],
        });
        expect(draft.status).toBe(201);
      }
      expect(done).toBe(false);
      expect((await published).body.outcome).toMatchObject({
        release: 3,
        judgement: { verdict: 'not judged', reason: expect.stringContaining('no verdict') },
      });
    } finally {
      process.kill(pid, 'SIGCONT');
    }
  });

  it('is replaced when it dies, and judges again', async () => {
    const { pid } = (await canaryOf(admin)).details;
    process.kill(pid, 'SIGKILL');
    await until(async () => ![undefined, pid].includes((await canaryOf(admin)).details.pid), {
      what: 'another canary',
    });
    const refused = await admin.call(
      'PATCH',
      `${base}/clusters/orders?publish=true`,
      { tls: { caPem: cut } },
      { 'if-match': '*' },
    );
    expect(refused.status).toBe(422);
  });
});
