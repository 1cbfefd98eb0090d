import { describe, expect, it } from 'vitest';
import type { SpecOf } from '../../src/core/model/definitions.js';
import type { Kind } from '../../src/core/model/kind.js';
import { checkSpec } from '../../src/core/model/rules.js';
import { validateSpec } from '../../src/core/model/validate.js';

/** Findings as `code path`, followed by message and hint; the spec must conform to its schema. */
function told<K extends Kind>(kind: K, spec: SpecOf[K]): string[] {
  expect(validateSpec(kind, spec)).toEqual([]);
  return checkSpec(kind, spec).map((d) => `${d.code} ${d.path} ${d.message} ${d.hint}`);
}
const ofPath = (path: string) =>
  told('api', { name: 'a', group: 'g', match: { path }, upstream: { kind: 'cluster', cluster: 'c' } });
const ofHost = (host: string) => told('group', { name: 'g', hosts: [host] });

describe('hosts', () => {
  it.each([
    'orders.example.com',
    'localhost',
    'a_b.example',
    '10.0.0.1',
    '[::1]',
    '[2001:db8::1]',
    'xn--mnchen-3ya.de',
    `${'a'.repeat(63)}.b`,
    '1a.2b',
  ])('%s is fine', (host) => {
    expect(ofHost(host)).toEqual([]);
  });

  it.each<[string, string]>([
    ['', 'is empty'],
    ['*.example.com', 'is a wildcard'],
    ['*', 'is a wildcard'],
    ['Orders.example.com', 'Write orders.example.com.'],
    ['orders.example.com:8080', 'Write orders.example.com.'],
    ['[::1]:80', 'Write [::1].'],
    ['10.0.0.1:80', 'Write 10.0.0.1.'],
    ['http://orders.example.com/x', 'Write orders.example.com.'],
    ['::1', 'Write [::1].'],
    ['[0:0:0:0:0:0:0:1]', 'Write [::1]'],
    ['[2001:DB8::1]', 'Write [2001:db8::1]'],
    ['münchen.de', 'Write xn--mnchen-3ya.de.'],
    ['orders.example.com.', 'neither a DNS name nor an IP address'],
    ['a..b', 'neither'],
    ['-a.example', 'neither'],
    ['1.2.3', 'neither'],
    ['256.0.0.1', 'neither'],
    ['a b', 'neither'],
    ['a/b', 'neither'],
    ['a,b', 'neither'],
    ['\u0000', 'neither'],
    [`${'a'.repeat(64)}.b`, 'neither'],
    ['[::1', 'neither'],
  ])('%s is refused', (host, expected) => {
    const found = ofHost(host);
    expect(found).toHaveLength(1);
    expect(found[0]).toContain('invalid-host /hosts/0');
    expect(found[0]).toContain(expected);
  });

  it('are listed once, fleets too', () => {
    expect(told('group', { name: 'g', hosts: ['a', 'b', 'a'], fleets: ['f', 'f'] })).toEqual([
      expect.stringContaining('duplicate-host /hosts/2'),
      expect.stringContaining('duplicate-name /fleets/1'),
    ]);
  });
});

describe('API paths', () => {
  it.each([
    '/',
    '/orders',
    '/orders/{id}',
    '/orders/*',
    '/*',
    '/{a}/{b}/x/*',
    "/a-b._~!$&'()+,;=:@",
    '/%E6%B3%A8',
    '/v1/orders:batch',
    '/...',
  ])('%s is fine', (path) => {
    expect(ofPath(path)).toEqual([]);
  });

  it.each<[string, string]>([
    ['', 'does not begin with "/"'],
    ['orders', 'does not begin with "/"'],
    ['*', 'does not begin with "/"'],
    ['/orders/', 'Write /orders'],
    ['/a//b', 'empty segment'],
    ['//', 'empty segment'],
    ['/./a', 'dot segment "."'],
    ['/a/..', 'dot segment ".."'],
    ['/a/%2e%2E/b', 'dot segment'],
    ['/a/.%2e', 'dot segment'],
    ['/a%2fb', '%2f; the gateway refuses'],
    ['/a%00', '%00; the gateway refuses'],
    ['/a%5Cb', '%5C; the gateway refuses'],
    ['/a%zz', '"%" that begins no percent-encoding'],
    ['/a%', '"%" that begins no percent-encoding'],
    ['/a?b=1', 'Write /a.'],
    ['/a#b', 'Write /a.'],
    ['/a b', 'clients send it: %20.'],
    ['/注文', 'clients send it: %E6%B3%A8.'],
    ['/a\nb', 'clients send it: %0A.'],
    ['/a\\b', 'a backslash'],
    ['/a\ud800', 'cannot stand in a path'],
    ['/a"b', '%22'],
    ['/a|b', '%7C'],
    ['/*/a', '"*" that is not the last segment'],
    ['/a*', '"*" that is not the last segment'],
    ['/{id}x', 'mixes a parameter and text'],
    ['/{', 'mixes a parameter and text'],
    ['/{}', 'is no parameter'],
    ['/{1a}', 'is no parameter'],
    ['/{id}/{id}', 'occurs twice'],
  ])('%j is refused', (path, expected) => {
    const found = ofPath(path);
    expect(found.length).toBeGreaterThan(0);
    for (const text of found) expect(text).toContain('invalid-path /match/path');
    expect(found.join('\n')).toContain(expected);
  });

  it('have all their faults told', () => {
    expect(ofPath('/a%2fb//{x}y/')).toHaveLength(4);
  });
});
