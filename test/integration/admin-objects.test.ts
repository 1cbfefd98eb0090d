import { beforeAll, expect, it } from 'vitest';
import { type AdminClient, SHOP, testController } from '../support/admin.js';
import { testPostgres } from '../support/postgres.js';

let admin: AdminClient;
let ws: string;
let count = 0;
const at = (path: string) => `/api/v1/workspaces/${ws}${path}`;

beforeAll(async () => {
  admin = await testController(await (await testPostgres()).database());
});

/** A workspace of its own for each test. */
async function workspace(): Promise<string> {
  ws = `ws-${++count}`;
  expect((await admin.call('POST', '/api/v1/workspaces', { name: ws })).status).toBe(201);
  return ws;
}

it('creates, reads, replaces, patches and deletes an object, each change with a new revision', async () => {
  await workspace();
  const made = await admin.call('POST', at('/clusters'), SHOP.clusters[0]);
  expect(made.status).toBe(201);
  expect(made.headers.get('location')).toBe(at('/clusters/orders'));
  expect(made.etag).toBe('"1"');
  expect(made.body).toMatchObject({
    kind: 'cluster',
    revision: 1,
    state: 'draft',
    pending: true,
    inForce: null,
    spec: SHOP.clusters[0],
  });
  expect(made.body.outcome).toMatchObject({
    dryRun: false,
    release: null,
    changes: [{ change: 'created', name: 'orders' }],
  });

  const read = await admin.call('GET', at(`/clusters/${made.body.id}`));
  expect(read.body.name).toBe('orders');

  const replaced = await admin.call(
    'PUT',
    at('/clusters/orders'),
    { ...SHOP.clusters[0], connectTimeoutMs: 50 },
    { 'if-match': '"1"' },
  );
  expect(replaced.status).toBe(200);
  expect(replaced.body.outcome.changes).toEqual([
    {
      kind: 'cluster',
      name: 'orders',
      change: 'changed',
      revision: 2,
      fields: [{ path: '/connectTimeoutMs', after: 50 }],
    },
  ]);

  const patched = await admin.call(
    'PATCH',
    at('/clusters/orders'),
    { connectTimeoutMs: null, protocol: 'http2' },
    { 'if-match': replaced.etag },
  );
  expect(patched.body.spec).toEqual({ ...SHOP.clusters[0], protocol: 'http2' });
  expect(patched.etag).toBe('"3"');

  const same = await admin.call('PATCH', at('/clusters/orders'), { protocol: 'http2' }, { 'if-match': '*' });
  expect(same.body.outcome.changes).toMatchObject([{ change: 'unchanged', revision: 3 }]);

  expect((await admin.call('DELETE', at('/clusters/orders'), undefined, { 'if-match': '"3"' })).status).toBe(200);
  expect((await admin.call('GET', at('/clusters/orders'))).status).toBe(404);
  const history = await admin.call('GET', at('/clusters/orders/revisions'));
  expect(history.body.items.map((r: { revision: number }) => r.revision)).toEqual([3, 2, 1]);

  const again = await admin.call('POST', at('/clusters'), SHOP.clusters[0]);
  expect(again.body.revision).toBe(4);
});

it('asks for the revision a change is meant for, and tells the current one when it is stale', async () => {
  await workspace();
  await admin.call('POST', at('/groups'), SHOP.groups[0]);
  const missing = await admin.call('PUT', at('/groups/shop'), SHOP.groups[0]);
  expect(missing.status).toBe(428);
  expect(missing.headers.get('content-type')).toContain('application/problem+json');
  const stale = await admin.call('DELETE', at('/groups/shop'), undefined, { 'if-match': '"7"' });
  expect(stale.status).toBe(412);
  expect(stale.etag).toBe('"1"');
  expect(stale.body.detail).toContain('is at revision 1, not 7');
  expect((await admin.call('DELETE', at('/groups/shop'), undefined, { 'if-match': 'banana' })).status).toBe(400);
  expect((await admin.call('GET', at('/groups/shop'))).status).toBe(200);
});

it('tells every fault of an object at once, with pointers and hints', async () => {
  await workspace();
  const { status, body } = await admin.call('POST', at('/apis'), {
    name: 'x',
    group: 'shop',
    match: { path: 7, methods: ['GRAB'] },
    upstream: { kind: 'cluster' },
    timeoutms: 5,
  });
  expect(status).toBe(422);
  expect(body).toMatchObject({ type: 'urn:paifang:problem:invalid-definitions', status: 422 });
  const pointers = body.errors.map((e: { pointer: string }) => e.pointer).sort();
  expect(pointers).toEqual(['/match/methods/0', '/match/path', '/timeoutms', '/upstream/cluster']);
  for (const error of body.errors) expect(error.hint.length).toBeGreaterThan(5);
  expect(body.errors.find((e: { pointer: string }) => e.pointer === '/timeoutms')).toMatchObject({
    code: 'unknown-field',
    hint: expect.stringContaining('timeoutMs'),
  });

  const dangling = await admin.call('POST', at('/apis'), SHOP.apis[0]);
  expect(dangling.status).toBe(422);
  expect(dangling.body.errors.map((e: { code: string; pointer: string }) => [e.code, e.pointer])).toEqual([
    ['unknown-reference', '/group'],
    ['unknown-reference', '/upstream/cluster'],
  ]);
});

it('refuses to delete what others refer to, and names them', async () => {
  await workspace();
  await admin.call('POST', at('/changesets'), { definitions: SHOP, publish: false });
  const { status, body } = await admin.call('DELETE', at('/clusters/orders'), undefined, { 'if-match': '*' });
  expect(status).toBe(409);
  expect(body.errors).toMatchObject([{ code: 'still-referenced', object: { kind: 'api', name: 'list-orders' } }]);
  expect((await admin.call('GET', at('/clusters/orders'))).status).toBe(200);
});

it('refuses names that are taken, names that change, ids that are taken and ids that change', async () => {
  await workspace();
  await admin.call('POST', at('/changesets'), { definitions: SHOP });
  const taken = await admin.call('POST', at('/groups'), SHOP.groups[0]);
  expect([taken.status, taken.body.errors[0].code]).toEqual([409, 'duplicate-name']);
  const renamed = await admin.call('PATCH', at('/groups/shop'), { name: 'store' }, { 'if-match': '*' });
  expect([renamed.status, renamed.body.errors[0].code]).toEqual([422, 'name-changed']);
  const { id } = (await admin.call('GET', at('/groups/shop'))).body;
  const sameId = await admin.call('POST', at('/groups'), { name: 'store', id, hosts: ['b.example.com'] });
  expect([sameId.status, sameId.body.errors[0].code]).toEqual([422, 'duplicate-id']);
  const newId = await admin.call('PATCH', at('/groups/shop'), { id: 'another' }, { 'if-match': '*' });
  expect([newId.status, newId.body.errors[0].code]).toEqual([422, 'id-changed']);
});

it('pages and filters lists', async () => {
  await workspace();
  const apis = Array.from({ length: 7 }, (_, i) => ({
    name: `api-${i}`,
    ...(i === 3 ? { description: 'the 100% odd_one' } : {}),
    group: i < 5 ? 'shop' : 'desk',
    match: { path: `/p${i}` },
    upstream: i % 2 ? { kind: 'mock' } : { kind: 'cluster', cluster: 'orders' },
  }));
  const groups = [...SHOP.groups, { name: 'desk', hosts: ['desk.example.com'] }];
  const set = await admin.call('POST', at('/changesets'), { definitions: { ...SHOP, groups, apis, apps: [] } });
  expect(set.status).toBe(200);
  const names = async (query: string) => {
    const { body } = await admin.call('GET', at(`/apis${query}`));
    return body.items.map((item: { name: string }) => item.name.slice(4)).join('');
  };
  const first = await admin.call('GET', at('/apis?limit=3'));
  expect(first.body).toMatchObject({ total: 7, next: 'api-2' });
  const second = await admin.call('GET', at(`/apis?limit=3&cursor=${first.body.next}`));
  expect(second.body.items.map((i: { name: string }) => i.name)).toEqual(['api-3', 'api-4', 'api-5']);
  const last = await admin.call('GET', at(`/apis?limit=3&cursor=${second.body.next}`));
  expect([last.body.items.length, last.body.next]).toEqual([1, undefined]);
  expect(await names('?group=desk')).toBe('56');
  expect(await names('?cluster=orders')).toBe('0246');
  expect(await names('?cluster=orders&group=desk')).toBe('6');
  expect(await names('?prefix=api-1')).toBe('1');
  expect(await names('?prefix=api%25')).toBe('');
  expect(await names('?q=100%25%20ODD_')).toBe('3');
  expect(await names('?q=/p6')).toBe('6');
  expect(await names('?state=offline')).toBe('');
  await admin.call('PATCH', at('/apis/api-2'), { timeoutMs: 77 }, { 'if-match': '*' });
  expect(await names('?pending=true')).toBe('2');
});

it('stores nothing in a dry run, and tells what would happen, even what would forbid publishing', async () => {
  await workspace();
  await admin.call('POST', at('/changesets'), { definitions: SHOP });
  const clash = { ...SHOP.apis[0], name: 'twin' };
  const dry = await admin.call('POST', at('/apis?dryRun=true'), clash);
  expect(dry.status).toBe(200);
  expect(dry.body.outcome).toMatchObject({
    dryRun: true,
    release: null,
    changes: [{ change: 'created', name: 'twin' }],
  });
  expect(dry.body.outcome.diagnostics).toMatchObject([{ code: 'ambiguous-match', severity: 'error' }]);
  expect((await admin.call('GET', at('/apis/twin'))).status).toBe(404);
  const published = await admin.call(
    'PATCH',
    at('/apis/list-orders?dryRun=true&publish=true'),
    { timeoutMs: 9 },
    { 'if-match': '*' },
  );
  expect(published.body.outcome).toMatchObject({ dryRun: true, release: 2, published: [{ name: 'list-orders' }] });
  expect((await admin.call('GET', at('/apis/list-orders'))).body.revision).toBe(1);
  expect((await admin.call('GET', at('/releases'))).body.total).toBe(1);
  const audit = await admin.call('GET', at('/audit?action=created'));
  expect(audit.body.total).toBe(5);
});

it('keeps workspaces apart, and deletes only empty ones', async () => {
  const first = await workspace();
  await admin.call('POST', at('/clusters'), SHOP.clusters[0]);
  await workspace();
  expect((await admin.call('GET', at('/clusters'))).body.total).toBe(0);
  expect((await admin.call('POST', '/api/v1/workspaces', { name: ws })).status).toBe(409);
  expect((await admin.call('DELETE', `/api/v1/workspaces/${first}`)).status).toBe(409);
  expect((await admin.call('DELETE', at(''))).status).toBe(204);
  expect((await admin.call('GET', at(''))).status).toBe(404);
  expect((await admin.call('POST', at('/clusters'), SHOP.clusters[0])).status).toBe(404);
  expect((await admin.call('POST', '/api/v1/workspaces', { name: ws })).status).toBe(201);
  expect((await admin.call('POST', at('/clusters'), SHOP.clusters[0])).body.revision).toBe(1);
});

it('writes who did what into the audit, under the id of the request', async () => {
  await workspace();
  await admin.call('POST', at('/changesets'), { definitions: SHOP, message: 'first' }, { 'x-request-id': 'req-1' });
  const { body } = await admin.call('GET', at('/audit?requestId=req-1&limit=2'));
  expect(body.total).toBe(6);
  expect(body.items[0]).toMatchObject({
    action: 'released',
    author: 'admin',
    release: 1,
    message: 'first',
    requestId: 'req-1',
  });
  const rest = await admin.call('GET', at(`/audit?requestId=req-1&cursor=${body.next}`));
  expect(rest.body.items.length).toBe(4);
  await admin.call('PATCH', at('/groups/shop'), { description: 'd' }, { 'if-match': '*' });
  const one = await admin.call('GET', at('/audit?kind=group&name=shop&action=changed'));
  expect(one.body.items).toMatchObject([{ revision: 2, changes: [{ path: '/description', after: 'd' }] }]);
});
