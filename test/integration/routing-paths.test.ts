import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import type { GroupIr, RouteIr } from '../../src/core/ir/group.js';
import { pick } from '../../src/core/ir/pick.js';
import { startGateway, type TestGateway } from '../support/gateway.js';
import { groupIr, mock, routeIr } from '../support/ir.js';

// Which API of a group takes a request, on a real Envoy, as a list of routes and as a matcher tree. Each API is a mock that
// answers its own name.

const FORMS = [
  ['as a list', { longestList: 1_000_000 }],
  ['as a matcher tree', { longestList: 0 }],
] as const;

const answering = (match: string, name = match): RouteIr => routeIr(match, mock(name), { apiId: name, apiName: name });

/** The documented order, ascending: of those that match a path, the last is the one. */
const DOCUMENTED = [
  '/*',
  '/{id}',
  '/path',
  '/{id}/*',
  '/{id}/{name}',
  '/{id}/temp',
  '/path/*',
  '/path/{id}',
  '/path/temp',
  '/{id}/{name}/{path}',
];

const FURTHER = groupIr(
  ['further.example.com'],
  [
    '/',
    '/orders',
    'GET /orders/{id}',
    'DELETE,PUT /orders/{id}',
    '/orders/{id}/items/*',
    'GET /only-get',
    'POST /both',
    '/both',
    '/pets/*',
    '/a.b+c(d)$e/{x}',
    '/a.b+c(d)$e/f',
    '/~tilde/%E4%B8%AD/*',
    '/semi;v=1,2@x:y!/{q}',
  ].map((match) => answering(match)),
);

describe.each(FORMS)('%s', (_, options) => {
  let gateway: TestGateway;
  let tables: readonly GroupIr[];
  let seed: number;
  beforeAll(async () => {
    seed = Math.floor(Math.random() * 2 ** 31);
    tables = fc.sample(table, { numRuns: 40, seed }).map((routes, i) => groupIr([`t${i}.example.com`], routes));
    const documented = groupIr(
      ['documented.example.com'],
      DOCUMENTED.map((match) => answering(match)),
    );
    gateway = await startGateway({ groups: [documented, FURTHER, large, ...tables] }, options);
  });

  const taken = async (host: string, path: string, method = 'GET'): Promise<string> => {
    const answer = await gateway.ask(path, { method, headers: { host } });
    return answer.headers['x-gateway-result-code'] === '1100'
      ? answer.body
      : `${answer.headers['x-gateway-result-code']}`;
  };

  test.each([
    ['/path', '/path'],
    ['/other', '/{id}'],
    ['/', '/*'],
    ['/path/temp', '/path/temp'],
    ['/path/other', '/path/{id}'],
    ['/path/', '/path/*'],
    ['/path/1/2/3', '/path/*'],
    ['/other/temp', '/{id}/temp'],
    ['/other/other', '/{id}/{name}'],
    ['/other/', '/{id}/*'],
    ['/path/temp/x', '/{id}/{name}/{path}'],
    ['/other/1/2/3', '/{id}/*'],
    ['/path/temp?path=/other', '/path/temp'],
  ])('documented precedence: %s is for %s', async (path, name) => {
    expect(await taken('documented.example.com', path)).toBe(name);
  });

  test.each([
    ['GET', '/', '/'],
    ['GET', '/orders', '/orders'],
    ['GET', '/orders/', '3000'],
    ['GET', '/ORDERS', '3000'],
    ['GET', '/orders/7', 'GET /orders/{id}'],
    ['PUT', '/orders/7', 'DELETE,PUT /orders/{id}'],
    ['POST', '/orders/7', '3000'],
    ['GET', '/orders/7/8', '3000'],
    ['GET', '/orders/7/items', '3000'],
    ['GET', '/orders/7/items/', '/orders/{id}/items/*'],
    ['GET', '/orders/7/items/1/2', '/orders/{id}/items/*'],
    ['GET', '/orders/?x=/items/', '3000'],
    ['GET', '/only-get', 'GET /only-get'],
    ['POST', '/only-get', '3000'],
    ['POST', '/both', 'POST /both'],
    ['GET', '/both', '/both'],
    ['GET', '/pets', '3000'],
    ['GET', '/petshop', '3000'],
    ['GET', '/pets/', '/pets/*'],
    ['GET', '/a.b+c(d)$e/f', '/a.b+c(d)$e/f'],
    ['GET', '/a.b+c(d)$e/9', '/a.b+c(d)$e/{x}'],
    ['GET', '/aXb+c(d)$e/9', '3000'],
    ['GET', '/~tilde/%E4%B8%AD/x', '/~tilde/%E4%B8%AD/*'],
    ['GET', '/semi;v=1,2@x:y!/1', '/semi;v=1,2@x:y!/{q}'],
  ])('%s %s is for %s', async (method, path, name) => {
    expect(await taken('further.example.com', path, method)).toBe(name);
  });

  test('a group of 1,200 APIs finds each of them', async () => {
    for (const i of [0, 1, 299, 300, 399]) {
      expect(await taken('large.example.com', `/exact/${i}`)).toBe(`e${i}`);
      expect(await taken('large.example.com', `/p${i}/7/x`)).toBe(`p${i}`);
      expect(await taken('large.example.com', `/q${i}/anything/below`)).toBe(`q${i}`);
    }
    expect(await taken('large.example.com', '/exact/400')).toBe('3000');
  });

  test('of random tables Envoy takes the route the model takes', async () => {
    for (const { hosts, routes } of tables) {
      const requests = fc.sample(request, { numRuns: 25, seed });
      for (const [method, path] of requests) {
        const want = pick(routes, method, path)?.apiId ?? '3000';
        const where = `seed ${seed}, ${method} ${path} among ${routes.map(({ apiId }) => apiId).join(' | ')}`;
        expect(await taken(hosts[0] as string, path, method), where).toBe(want);
      }
    }
  });
});

const large = groupIr(
  ['large.example.com'],
  Array.from({ length: 400 }, (_, i) => [
    answering(`/exact/${i}`, `e${i}`),
    answering(`/p${i}/{id}/x`, `p${i}`),
    answering(`/q${i}/*`, `q${i}`),
  ]).flat(),
);

const literal = fc.constantFrom('a', 'b', 'c.d');
const segment = fc.oneof({ weight: 3, arbitrary: literal }, { weight: 2, arbitrary: fc.constant('{}') });
const method = fc.constantFrom('GET', 'POST', 'PUT');

/** Few names and short paths, so that patterns meet. */
const table: fc.Arbitrary<RouteIr[]> = fc
  .uniqueArray(
    fc.record({
      segments: fc.array(segment, { maxLength: 4 }),
      prefix: fc.boolean(),
      methods: fc.uniqueArray(method, { maxLength: 2 }),
    }),
    { maxLength: 30, selector: ({ segments, prefix, methods }) => JSON.stringify([segments, prefix, methods.sort()]) },
  )
  .map((apis) =>
    apis.map(({ segments, prefix, methods }, i) => {
      const written = segments.map((text, at) => (text === '{}' ? `{p${at}}` : text));
      const path = `/${[...written, ...(prefix ? ['*'] : [])].join('/')}`;
      return answering(
        `${methods.length > 0 ? `${methods.sort().join(',')} ` : ''}${path}`,
        `${i}: ${methods} ${path}`,
      );
    }),
  );

const request: fc.Arbitrary<[string, string]> = fc.tuple(
  method,
  fc
    .tuple(fc.array(fc.constantFrom('a', 'b', 'c.d', 'cxd', 'z'), { maxLength: 5 }), fc.boolean())
    .map(([parts, slash]) => `/${parts.join('/')}${slash && parts.length > 0 ? '/' : ''}`),
);
