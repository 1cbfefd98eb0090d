import { beforeAll, expect, it } from 'vitest';
import { type AdminClient, SHOP, testController } from '../support/admin.js';
import { testPostgres } from '../support/postgres.js';

let admin: AdminClient;
let ws: string;
let count = 0;
const at = (path: string) => `/api/v1/workspaces/${ws}${path}`;
const names = (objects: { name: string }[]) => objects.map(({ name }) => name).sort();

beforeAll(async () => {
  admin = await testController(await (await testPostgres()).database());
});

async function shop(publish = true): Promise<void> {
  ws = `ws-${++count}`;
  await admin.call('POST', '/api/v1/workspaces', { name: ws });
  const { status } = await admin.call('POST', at('/changesets'), { definitions: SHOP, publish });
  expect(status).toBe(200);
}

it('publishes an API together with what it needs and nobody has published yet, and says so', async () => {
  await shop(false);
  const { status, body } = await admin.call('POST', at('/apis/list-orders/publish'), { message: 'go' });
  expect(status).toBe(200);
  expect(body).toMatchObject({ release: 1, removed: [] });
  expect(names(body.published)).toEqual(['edge', 'list-orders', 'orders', 'shop']);
  expect(names(body.alsoPublished)).toEqual(['edge', 'orders', 'shop']);
  const api = await admin.call('GET', at('/apis/list-orders'));
  expect(api.body).toMatchObject({ state: 'online', pending: false, inForce: { revision: 1, release: 1 } });
  expect((await admin.call('GET', at('/apps/mobile'))).body).toMatchObject({ state: 'draft', inForce: null });
  const again = await admin.call('POST', at('/apis/list-orders/publish'));
  expect(again.body).toMatchObject({ release: null, published: [] });
});

it('changes traffic only by a release: an edit stays pending until then', async () => {
  await shop();
  await admin.call('PATCH', at('/apis/list-orders'), { timeoutMs: 50 }, { 'if-match': '*' });
  const edited = await admin.call('GET', at('/apis/list-orders'));
  expect(edited.body).toMatchObject({ revision: 2, pending: true, inForce: { revision: 1, release: 1 } });
  expect((await admin.call('GET', at('/definitions?release=latest'))).body.apis[0].timeoutMs).toBeUndefined();
  const { body } = await admin.call('POST', at('/releases'), { message: 'everything pending' });
  expect(body).toMatchObject({ release: 2, published: [{ kind: 'api', name: 'list-orders' }], alsoPublished: [] });
  expect((await admin.call('GET', at('/definitions?release=latest'))).body.apis[0].timeoutMs).toBe(50);
  expect((await admin.call('GET', at('/definitions?release=1'))).body.apis[0].timeoutMs).toBeUndefined();
  const list = await admin.call('GET', at('/releases'));
  expect(list.body.items).toMatchObject([
    {
      number: 2,
      message: 'everything pending',
      summary: { published: 1, removed: 0, objects: { published: ['api/list-orders'] } },
    },
    { number: 1, summary: { published: 5 } },
  ]);
  expect((await admin.call('GET', at('/releases?limit=1&cursor=2'))).body.items).toMatchObject([{ number: 1 }]);
});

it('takes an API offline, keeps it so through a release of everything, and brings it back', async () => {
  await shop();
  const off = await admin.call('POST', at('/apis/list-orders/offline'));
  expect(off.body).toMatchObject({ release: 2, removed: [{ kind: 'api', name: 'list-orders' }] });
  expect((await admin.call('GET', at('/apis/list-orders'))).body).toMatchObject({
    state: 'offline',
    inForce: null,
    pending: false,
  });
  expect((await admin.call('POST', at('/releases'), {})).body.release).toBeNull();
  const on = await admin.call('POST', at('/apis/list-orders/publish'));
  expect(on.body).toMatchObject({ release: 3, published: [{ name: 'list-orders' }] });
  expect((await admin.call('GET', at('/apis/list-orders'))).body.state).toBe('online');
});

it('publishes and takes offline several objects in one release, and refuses what is not there', async () => {
  await shop();
  const other = { ...SHOP.apis[0], name: 'get-order', match: { path: '/orders/{id}' } };
  await admin.call('POST', at('/apis'), other);
  const { body } = await admin.call('POST', at('/releases'), {
    publish: [{ kind: 'api', name: 'get-order' }],
    offline: ['list-orders'],
  });
  expect(body).toMatchObject({ release: 2, published: [{ name: 'get-order' }], removed: [{ name: 'list-orders' }] });
  const missing = await admin.call('POST', at('/releases'), { publish: [{ kind: 'api', name: 'nobody' }] });
  expect(missing.status).toBe(404);
  expect((await admin.call('GET', at('/releases'))).body.total).toBe(2);
});

it('keeps a deleted object in force until a release, and then lets it go', async () => {
  await shop();
  await admin.call('DELETE', at('/apps/mobile'), undefined, { 'if-match': '*' });
  const gone = await admin.call('DELETE', at('/apis/list-orders'), undefined, { 'if-match': '*' });
  expect(gone.body.outcome).toMatchObject({ release: null, changes: [{ change: 'deleted' }] });
  expect((await admin.call('GET', at('/apis/list-orders'))).status).toBe(404);
  expect((await admin.call('GET', at('/apis?state=deleted'))).body.items).toMatchObject([
    { name: 'list-orders', inForce: { release: 1 } },
  ]);
  expect((await admin.call('GET', at('/definitions?release=latest'))).body.apis.length).toBe(1);
  expect((await admin.call('POST', at('/releases'), {})).body).toMatchObject({
    release: 2,
    removed: [{ name: 'list-orders' }, { name: 'mobile' }],
  });
  expect((await admin.call('GET', at('/definitions?release=latest'))).body.apis).toBeUndefined();
  expect((await admin.call('GET', at('/apis?state=deleted'))).body.total).toBe(0);
});

it('stores nothing of a change set with one fault, and tells the place of every fault in the body', async () => {
  await shop();
  const bad = {
    ...SHOP,
    clusters: [{ name: 'orders', endpoints: [{ host: '10.0.0.1', port: 1 }] }],
    groups: [...SHOP.groups, { name: 'twin', hosts: ['shop.example.com'] }],
    apis: [SHOP.apis[0], { name: 'lost', group: 'nowhere', match: { path: '/lost' }, upstream: { kind: 'mock' } }],
  };
  const unknown = await admin.call('POST', at('/changesets'), { definitions: bad });
  expect(unknown.status).toBe(422);
  expect(unknown.body.errors).toMatchObject([
    { code: 'unknown-reference', pointer: '/definitions/apis/1/group', object: { kind: 'api', name: 'lost' } },
  ]);
  const host = await admin.call('POST', at('/changesets'), { definitions: { ...bad, apis: [SHOP.apis[0]] } });
  expect(host.status).toBe(422);
  expect(host.body.errors).toMatchObject([{ code: 'duplicate-host', pointer: '/definitions/groups/1/hosts/0' }]);
  const shape = await admin.call('POST', at('/changesets'), {
    definitions: { ...bad, apis: [{ name: 'x' }], grups: [] },
    prune: 'yes',
  });
  expect(shape.body.errors.map((e: { pointer: string }) => e.pointer)).toEqual(
    expect.arrayContaining(['/prune', '/definitions/grups']),
  );
  const elsewhere = await admin.call('POST', at('/changesets'), { definitions: { workspace: 'other' } });
  expect(elsewhere.body.errors).toMatchObject([{ pointer: '/definitions/workspace' }]);

  expect((await admin.call('GET', at('/clusters/orders'))).body).toMatchObject({ revision: 1, spec: SHOP.clusters[0] });
  expect((await admin.call('GET', at('/groups'))).body.total).toBe(1);
  expect((await admin.call('GET', at('/releases'))).body.total).toBe(1);
  const audit = await admin.call('GET', at('/audit'));
  expect(audit.body.total).toBe(7);
});

it('tells the difference of a change set field by field, and prunes what it does not name', async () => {
  await shop();
  const definitions = {
    ...SHOP,
    apps: undefined,
    clusters: [{ ...SHOP.clusters[0], endpoints: [{ host: '127.0.0.1', port: 9001 }] }],
  };
  const dry = await admin.call('POST', at('/changesets?dryRun=true'), { definitions, prune: true });
  const { status, body } = await admin.call('POST', at('/changesets'), { definitions, prune: true });
  expect(status).toBe(200);
  expect({ ...body, dryRun: true }).toEqual(dry.body);
  const changes = Object.fromEntries(body.changes.map((c: { name: string; change: string }) => [c.name, c.change]));
  expect(changes).toEqual({
    edge: 'unchanged',
    orders: 'changed',
    shop: 'unchanged',
    'list-orders': 'unchanged',
    mobile: 'deleted',
  });
  expect(body.changes.find((c: { name: string }) => c.name === 'orders').fields).toEqual([
    { path: '/endpoints/0/port', before: 9000, after: 9001 },
  ]);
  expect(body).toMatchObject({ release: 2, published: [{ name: 'orders' }], removed: [{ name: 'mobile' }] });
  const none = await admin.call('POST', at('/changesets'), { definitions, prune: true });
  expect(none.body).toMatchObject({ release: null, published: [], removed: [] });
});

it('gives back as a file what it was given, as JSON and as YAML', async () => {
  await shop();
  const json = await admin.call('GET', at('/definitions'));
  expect(json.body).toEqual({ workspace: ws, ...SHOP });
  const yaml = await admin.call('GET', at('/definitions?format=yaml&release=1'));
  expect(yaml.headers.get('content-type')).toContain('application/yaml');
  expect(yaml.text).toContain('    upstream:\n      kind: cluster\n      cluster: orders\n');
});

it('compares releases, and rolls back by a new release that heads follow, save unpublished edits', async () => {
  await shop();
  const second = {
    ...SHOP,
    apps: [],
    apis: [
      { ...SHOP.apis[0], timeoutMs: 1 },
      { name: 'new', group: 'shop', match: { path: '/new' }, upstream: { kind: 'mock' } },
    ],
  };
  expect((await admin.call('POST', at('/changesets'), { definitions: second, prune: true })).body.release).toBe(2);
  const compare = await admin.call('GET', at('/releases/1/compare/2'));
  expect(compare.body.objects).toMatchObject([
    { kind: 'api', name: 'list-orders', change: 'changed', fields: [{ path: '/timeoutMs', after: 1 }] },
    { kind: 'api', name: 'new', change: 'added', after: { name: 'new' } },
    { kind: 'app', name: 'mobile', change: 'removed', before: SHOP.apps[0] },
  ]);
  expect(
    (await admin.call('GET', at('/releases/2/compare/1'))).body.objects.map((o: { change: string }) => o.change),
  ).toEqual(['changed', 'removed', 'added']);
  await admin.call('PATCH', at('/apis/list-orders'), { timeoutMs: 2 }, { 'if-match': '*' });

  const dry = await admin.call('POST', at('/releases/1/rollback?dryRun=true'));
  const { status, body } = await admin.call('POST', at('/releases/1/rollback'), { message: 'back' });
  expect(status).toBe(200);
  expect({ ...body, dryRun: true }).toEqual(dry.body);
  expect(body).toMatchObject({ release: 3, removed: [{ name: 'new' }], kept: [{ name: 'list-orders' }] });
  expect(names(body.published)).toEqual(['list-orders', 'mobile']);
  expect((await admin.call('GET', at('/releases/3'))).body).toMatchObject({ rollbackOf: 1, message: 'back' });
  expect((await admin.call('GET', at('/releases/1/compare/3'))).body.objects).toEqual([]);
  expect((await admin.call('GET', at('/apis/list-orders'))).body).toMatchObject({
    pending: true,
    spec: { timeoutMs: 2 },
    inForce: { revision: 1 },
  });
  expect((await admin.call('GET', at('/apis/new'))).body).toMatchObject({ state: 'offline', inForce: null });
  expect((await admin.call('GET', at('/apps/mobile'))).body).toMatchObject({ state: 'published', pending: false });
  expect((await admin.call('POST', at('/releases/9/rollback'))).status).toBe(404);

  expect((await admin.call('POST', at('/releases/0/rollback'))).body).toMatchObject({ release: 4, published: [] });
  expect((await admin.call('GET', at('/definitions?release=latest'))).body).toEqual({ workspace: ws });
  expect((await admin.call('POST', at('/releases/2/rollback'))).body.release).toBe(5);
  expect((await admin.call('GET', at('/releases/2/compare/5'))).body.objects).toEqual([]);
});

it('numbers concurrent publications without gap or loss', async () => {
  await shop();
  const apis = Array.from({ length: 20 }, (_, i) => ({
    name: `a${i}`,
    group: 'shop',
    match: { path: `/a${i}` },
    upstream: { kind: 'mock' },
  }));
  const replies = await Promise.all(apis.map((api) => admin.call('POST', at('/apis?publish=true'), api)));
  expect(replies.map((r) => r.status)).toEqual(apis.map(() => 201));
  expect(replies.map((r) => r.body.outcome.release).sort((a, b) => a - b)).toEqual(apis.map((_, i) => i + 2));
  expect((await admin.call('GET', at('/definitions?release=latest'))).body.apis.length).toBe(21);
  const racers = await Promise.all(
    Array.from({ length: 8 }, (_, i) =>
      admin.call('PATCH', at('/apis/a0?publish=true'), { timeoutMs: i + 1 }, { 'if-match': '"1"' }),
    ),
  );
  expect(racers.filter((r) => r.status === 200).length).toBe(1);
  expect(racers.filter((r) => r.status === 412).length).toBe(7);
});
