import { Ajv2020 } from 'ajv/dist/2020.js';
import { beforeAll, expect, it } from 'vitest';
import { type AdminClient, SHOP, testController } from '../support/admin.js';
import { fleetNode } from '../support/fleet-nodes.js';
import { testPostgres } from '../support/postgres.js';

// biome-ignore lint/suspicious/noExplicitAny: a document that is walked freely
type Json = Record<string, any>;

let admin: AdminClient;
let document: Json;
const base = '/api/v1/workspaces/shop';

beforeAll(async () => {
  admin = await testController(await (await testPostgres()).database());
  const reply = await admin.call('GET', '/openapi.json');
  document = reply.body;
  await admin.call('POST', '/api/v1/workspaces', { name: 'shop' });
});

/** A check of a schema of the document, references followed. */
function checker() {
  const ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: true });
  ajv.addSchema({ $id: 'doc:', ...document });
  return (pointer: string[], value: unknown) => {
    const path = pointer.map((part) => encodeURIComponent(part.replaceAll('~', '~0').replaceAll('/', '~1'))).join('/');
    const validate = ajv.compile({ $ref: `doc:#/${path}` });
    return validate(value) ? [] : (validate.errors ?? []).map((e) => `${e.instancePath} ${e.message}`);
  };
}

it('is OpenAPI 3.1 whose references lead somewhere and whose operations have unique ids', () => {
  expect(document.openapi).toBe('3.1.0');
  const text = JSON.stringify(document);
  for (const [, name] of text.matchAll(/"#\/components\/schemas\/([^"]+)"/g))
    expect(document.components.schemas).toHaveProperty([name as string]);
  const operations = Object.values<Json>(document.paths).flatMap((methods) => Object.values<Json>(methods));
  const ids = operations.map((o) => o.operationId);
  expect(new Set(ids).size).toBe(ids.length);
  expect(ids.length).toBeGreaterThan(50);
  for (const operation of operations) {
    expect(operation.summary.length).toBeGreaterThan(5);
    for (const parameter of operation.parameters.filter((p: Json) => p.in === 'path'))
      expect(parameter.required).toBe(true);
  }
  for (const path of Object.keys(document.paths)) {
    for (const [method, operation] of Object.entries<Json>(document.paths[path])) {
      const named = operation.parameters.filter((p: Json) => p.in === 'path').map((p: Json) => p.name);
      expect([method, path, named]).toEqual([method, path, [...path.matchAll(/\{(\w+)\}/g)].map((m) => m[1])]);
    }
  }
});

it('has the schemas that requests are checked by', () => {
  const check = checker();
  const of = (name: string, value: unknown) => check(['components', 'schemas', name], value);
  for (const [kind, list] of [
    ['Fleet', SHOP.fleets],
    ['Cluster', SHOP.clusters],
    ['Group', SHOP.groups],
    ['Api', SHOP.apis],
    ['App', SHOP.apps],
  ] as const) {
    expect(of(`${kind}Spec`, list[0])).toEqual([]);
    expect(of(`${kind}Spec`, { ...list[0], surprise: 1 })).not.toEqual([]);
    expect(of(`${kind}Spec`, { ...list[0], name: 'a b' })).not.toEqual([]);
  }
  expect(of('Definitions', SHOP)).toEqual([]);
  expect(of('Definitions', { ...SHOP, apis: [{}] })).not.toEqual([]);
});

it('describes the answers that are really given', async () => {
  const check = checker();
  const steps: [
    method: string,
    path: string,
    status: number,
    template: string,
    body?: unknown,
    headers?: Record<string, string>,
  ][] = [
    ['POST', '/api/v1/workspaces', 201, '/api/v1/workspaces', { name: 'other' }],
    ['POST', '/api/v1/workspaces', 409, '/api/v1/workspaces', { name: 'other' }],
    ['GET', '/api/v1/workspaces', 200, '/api/v1/workspaces'],
    ['POST', `${base}/changesets`, 200, '/api/v1/workspaces/{workspace}/changesets', { definitions: SHOP }],
    ['POST', `${base}/changesets`, 422, '/api/v1/workspaces/{workspace}/changesets', { definitions: { apis: [{}] } }],
    ['GET', `${base}/apis`, 200, '/api/v1/workspaces/{workspace}/apis'],
    ['GET', `${base}/fleets/edge`, 200, '/api/v1/workspaces/{workspace}/fleets/{name}'],
    ['POST', `${base}/apps`, 201, '/api/v1/workspaces/{workspace}/apps', { name: 'web' }],
    [
      'PATCH',
      `${base}/groups/shop`,
      200,
      '/api/v1/workspaces/{workspace}/groups/{name}',
      { description: 'd' },
      { 'if-match': '"1"' },
    ],
    [
      'PATCH',
      `${base}/groups/shop`,
      412,
      '/api/v1/workspaces/{workspace}/groups/{name}',
      { description: 'd' },
      { 'if-match': '"1"' },
    ],
    ['PATCH', `${base}/groups/shop`, 428, '/api/v1/workspaces/{workspace}/groups/{name}', { description: 'd' }],
    [
      'PATCH',
      `${base}/groups/shop`,
      415,
      '/api/v1/workspaces/{workspace}/groups/{name}',
      {},
      { 'if-match': '*', 'content-type': 'application/json' },
    ],
    ['GET', `${base}/groups/shop/revisions`, 200, '/api/v1/workspaces/{workspace}/groups/{name}/revisions'],
    [
      'DELETE',
      `${base}/groups/shop`,
      409,
      '/api/v1/workspaces/{workspace}/groups/{name}',
      undefined,
      { 'if-match': '*' },
    ],
    ['DELETE', `${base}/apps/web`, 200, '/api/v1/workspaces/{workspace}/apps/{name}', undefined, { 'if-match': '*' }],
    [
      'POST',
      `${base}/apps/mobile/credentials`,
      201,
      '/api/v1/workspaces/{workspace}/apps/{name}/credentials',
      { accessKey: 'k' },
    ],
    ['GET', `${base}/apps/mobile/credentials`, 200, '/api/v1/workspaces/{workspace}/apps/{name}/credentials'],
    [
      'PATCH',
      `${base}/apps/mobile/credentials/k`,
      200,
      '/api/v1/workspaces/{workspace}/apps/{name}/credentials/{accessKey}',
      { enabled: false },
    ],
    [
      'PUT',
      `${base}/clusters/orders/endpoints/a`,
      201,
      '/api/v1/workspaces/{workspace}/clusters/{name}/endpoints/{id}',
      { host: '10.0.0.1', port: 1, region: 'east', ttlSeconds: 60 },
    ],
    ['GET', `${base}/clusters/orders/endpoints`, 200, '/api/v1/workspaces/{workspace}/clusters/{name}/endpoints'],
    ['POST', `${base}/releases`, 200, '/api/v1/workspaces/{workspace}/releases', {}],
    ['GET', `${base}/releases`, 200, '/api/v1/workspaces/{workspace}/releases'],
    ['GET', `${base}/releases/1`, 200, '/api/v1/workspaces/{workspace}/releases/{number}'],
    ['GET', `${base}/releases/1/receipt`, 200, '/api/v1/workspaces/{workspace}/releases/{number}/receipt'],
    ['GET', `${base}/releases/1/receipt?wait=acked`, 200, '/api/v1/workspaces/{workspace}/releases/{number}/receipt'],
    ['GET', `${base}/releases/99/receipt`, 404, '/api/v1/workspaces/{workspace}/releases/{number}/receipt'],
    ['GET', `${base}/nodes`, 200, '/api/v1/workspaces/{workspace}/nodes'],
    ['GET', `${base}/nodes/gw-1`, 200, '/api/v1/workspaces/{workspace}/nodes/{node}'],
    ['GET', `${base}/nodes/nobody`, 404, '/api/v1/workspaces/{workspace}/nodes/{node}'],
    ['GET', '/console/config?type=Router&resourceId=list-orders', 200, '/console/config'],
    ['GET', '/console/config?type=Metadata&resourceId=nobody', 404, '/console/config'],
    ['GET', '/console/config?type=Else&resourceId=x', 400, '/console/config'],
    ['GET', `${base}/releases/0/compare/1`, 200, '/api/v1/workspaces/{workspace}/releases/{a}/compare/{b}'],
    [
      'POST',
      `${base}/releases/1/rollback?wait=acked`,
      200,
      '/api/v1/workspaces/{workspace}/releases/{number}/rollback',
    ],
    ['GET', `${base}/definitions`, 200, '/api/v1/workspaces/{workspace}/definitions'],
    ['GET', `${base}/audit`, 200, '/api/v1/workspaces/{workspace}/audit'],
    ['GET', `${base}/requests`, 503, '/api/v1/workspaces/{workspace}/requests'],
    ['GET', '/api/v1/codes/1000', 200, '/api/v1/codes/{code}'],
    ['GET', '/api/v1/codes', 200, '/api/v1/codes'],
    ['GET', '/api/v1/status', 200, '/api/v1/status'],
    ['GET', '/actuator/readiness', 200, '/actuator/readiness'],
    ['GET', '/actuator/health', 200, '/actuator/health'],
    ['GET', '/readyz', 200, '/readyz'],
    ['GET', '/livez', 200, '/livez'],
    ['GET', '/api/v1/workspaces/none/apis', 404, '/api/v1/workspaces/{workspace}/apis'],
  ];
  for (const [method, path, status, template, body, headers] of steps) {
    if (path === `${base}/nodes`) await fleetNode(admin, 'gw-1').synced();
    const reply = await admin.call(method, path, body, headers);
    expect([method, path, reply.status, reply.status === status ? '' : reply.text]).toEqual([method, path, status, '']);
    const pointer = ['paths', template, method.toLowerCase(), 'responses', String(status)];
    const described = pointer.reduce<Json>((at, key) => at[key], document);
    const type = (reply.headers.get('content-type') ?? '').split(';')[0] as string;
    expect([path, type, Object.keys(described.content ?? {})]).toEqual([path, type, [type]]);
    expect([path, check([...pointer, 'content', type, 'schema'], reply.body)]).toEqual([path, []]);
  }
  const metrics = await admin.call('GET', '/metrics');
  expect(metrics.headers.get('content-type')).toContain('text/plain');
  expect(metrics.text).toMatch(/paifang_release\{workspace="shop"\} \d+/);
  expect(metrics.text).toMatch(
    /paifang_admin_request_seconds_count\{operation="GET \/api\/v1\/workspaces\/:workspace\/apis",status="200"\} 1/,
  );
});

it('describes every route that is there', async () => {
  // A route of the router that no operation describes would answer something other than 404 to a method nobody documents.
  const documented = new Set(
    Object.entries<Json>(document.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((m) => `${m.toUpperCase()} ${path}`),
    ),
  );
  const concrete = (path: string) => path.replaceAll(/\{\w+\}/g, '1');
  for (const path of Object.keys(document.paths)) {
    for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE']) {
      if (documented.has(`${method} ${path}`)) continue;
      const { status } = await admin.call(method, concrete(path));
      expect([method, path, status]).toEqual([method, path, 404]);
    }
  }
});
