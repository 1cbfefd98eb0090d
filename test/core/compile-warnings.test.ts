import { describe, expect, it } from 'vitest';
import type { ApiSpec } from '../../src/core/model/api.js';
import { api, stored, told, toldOfChange } from '../support/diagnostics.js';

describe('what compiles and will be regretted', () => {
  const signed = (name: string, path: string, changes: Partial<ApiSpec> = {}) =>
    api(name, path, { auth: { type: 'signature' }, ...changes });
  const warned = (found: readonly string[]) => found.filter((text) => text.startsWith('open-around-guarded'));

  it('an open pattern around a guarded API that leads to the same cluster, told at what was touched', () => {
    const apis = [api('any', '/*'), signed('secret', '/admin/secret')];
    expect(told({ apis })).toEqual([
      'open-around-guarded api secret /match/path /admin/secret asks for a signature, and the open API "any" (/*) of the group leads to the same cluster: a spelling that only the backend takes for the same path, such as /admin/secret;x, goes around it. Give open and guarded APIs different hosts or clusters, or narrow the open pattern. If the backend takes no ";x" and tells letter case apart, nothing is wrong.',
    ]);
    const [guarded] = apis.slice(1) as [ApiSpec];
    const [found] = toldOfChange({ apis: [guarded] }, { upserts: [stored('api', api('any', '/*'))] });
    expect(found).toContain(
      'open-around-guarded api any /match/path /* is open and leads to the same cluster as the API "secret"',
    );
    const untouched = toldOfChange({ apis: [guarded] }, { upserts: [stored('api', api('other', '/other'))] });
    expect(warned(untouched)).toEqual([]);
  });

  it.each<[string, ApiSpec[], number]>([
    ['a parameter beside a literal', [api('o', '/orders/{id}'), signed('g', '/orders/export')], 1],
    ['a prefix around a prefix', [api('o', '/a/*'), signed('g', '/a/b/*')], 1],
    ['a prefix of parameters', [api('o', '/{x}/*'), signed('g', '/a/{y}/c')], 1],
    [
      'weighted clusters that share one',
      [
        api('o', '/*', {
          upstream: {
            kind: 'weighted',
            clusters: [
              { cluster: 'orders', weight: 50 },
              { cluster: 'stock', weight: 50 },
            ],
          },
        }),
        signed('g', '/a'),
      ],
      1,
    ],
    ['each guarded API', [api('o', '/*'), signed('g', '/a'), signed('h', '/b')], 2],
    ['a prefix does not hold the path before it', [api('o', '/orders/*'), signed('g', '/orders')], 0],
    ['an exact path is one spelling', [api('o', '/orders/open'), signed('g', '/orders/*')], 0],
    ['an exact path within a guarded parameter', [api('o', '/orders/open'), signed('g', '/orders/{id}')], 0],
    ['a literal elsewhere', [api('o', '/open/*'), signed('g', '/a/b')], 0],
    ['another cluster', [api('o', '/*', { upstream: { kind: 'cluster', cluster: 'stock' } }), signed('g', '/a')], 0],
    ['a mock', [api('o', '/*', { upstream: { kind: 'mock' } }), signed('g', '/a')], 0],
    [
      'other methods',
      [
        api('o', '/*', { match: { path: '/*', methods: ['GET'] } }),
        signed('g', '/a', { match: { path: '/a', methods: ['POST'] } }),
      ],
      0,
    ],
    ['all of them guarded', [signed('o', '/*'), signed('g', '/a')], 0],
  ])('open patterns: %s', (_, apis, count) => {
    expect(warned(told({ apis }))).toHaveLength(count);
  });

  it('a cluster in several rooms that Envoy cannot see to be ill', () => {
    const rooms = (...names: (string | undefined)[]) =>
      names.map((room, i) => ({
        host: `10.0.0.${i + 1}`,
        port: 80,
        ...(room !== undefined && { region: 'east', room }),
      }));
    const of = (endpoints: object[], more: object = {}) =>
      told({ clusters: [{ name: 'orders', endpoints, ...more }] as never }).filter((text) =>
        text.startsWith('no-failover'),
      );
    expect(of(rooms('a', 'b'))).toEqual([
      'no-failover cluster orders  The endpoints of "orders" stand in 2 places, but Envoy is not told how to see that some are ill: it never leaves the nearest ones. Give the cluster a healthCheck or outlierDetection.',
    ]);
    expect(of(rooms('a', undefined))).toHaveLength(1);
    expect(of(rooms('a', 'b'), { healthCheck: { path: '/' } })).toEqual([]);
    expect(of(rooms('a', 'b', 'b'), { outlierDetection: {} })).toEqual([
      'no-failover cluster orders /outlierDetection Of 3 endpoints, outlier detection may eject 10 %, which is none: Envoy never leaves the nearest ones. Set maxEjectionPercent to 34 or more, or give the cluster a healthCheck.',
    ]);
    expect(of(rooms('a', 'b', 'b'), { outlierDetection: { maxEjectionPercent: 34 } })).toEqual([]);
    expect(of(rooms('a', 'a'))).toEqual([]);
    expect(of(rooms(undefined, undefined))).toEqual([]);
  });
});
