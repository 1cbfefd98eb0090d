import { describe, expect, it } from 'vitest';
import type { Kind } from '../../src/core/model/kind.js';
import { validateSpec } from '../../src/core/model/validate.js';

const API = { name: 'list', group: 'orders', match: { path: '/orders' }, upstream: { kind: 'mock' } };
const CLUSTER = { name: 'c', endpoints: [{ host: '10.0.0.1', port: 80 }] };

const told = (kind: Kind, value: unknown) =>
  validateSpec(kind, value).map(({ code, path, message, hint }) => `${code} ${path} ${message} ${hint}`);

describe('a spec', () => {
  it.each<[Kind, unknown]>([
    ['api', API],
    ['cluster', CLUSTER],
    ['group', { name: '注文.v1', hosts: ['a'] }],
    ['app', { name: '1' }],
    ['fleet', { name: 'edge', listeners: [{ name: 'http', port: 80 }] }],
    ['api', { ...API, name: '\u{20000}'.repeat(64) }],
  ])('that conforms has no fault: %s', (kind, value) => {
    expect(told(kind, value)).toEqual([]);
  });

  it.each<[string, Kind, unknown, string[]]>([
    ['no mapping', 'api', 7, ['schema  The object must be a mapping, got 7. An API: write its fields.']],
    ['null', 'app', null, ['schema  The object must be a mapping, got nothing.']],
    [
      'missing fields',
      'group',
      {},
      [
        'schema /name The object lacks the field "name". Add it. Unique per kind',
        'schema /hosts The object lacks the field "hosts". Add it. Hosts that select',
      ],
    ],
    [
      'a misspelt field',
      'api',
      { ...API, timeoutMS: 5 },
      ['unknown-field /timeoutMS The object has no field "timeoutMS". Did you mean "timeoutMs"?'],
    ],
    ['an abbreviated field', 'api', { ...API, timeout: 5 }, ['Did you mean "timeoutMs"?']],
    [
      'a field nobody meant',
      'app',
      { name: 'a', x_y_z: 1 },
      ['unknown-field /x_y_z The object has no field "x_y_z". Known here: name, id, description, enabled, grants.'],
    ],
    ['a field with odd characters', 'app', { name: 'a', 'a/b~c': 1 }, ['unknown-field /a~1b~0c']],
    [
      'a wrong enum',
      'cluster',
      { ...CLUSTER, protocol: 'htpp2' },
      ['schema /protocol protocol must be one of "http1", "http2", got "htpp2". Did you mean "http2"?'],
    ],
    [
      'lower-case methods',
      'api',
      { ...API, match: { path: '/', methods: ['get'] } },
      [
        'schema /match/methods/0 match.methods[0] must be one of "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", got "get". Did you mean "GET"?',
      ],
    ],
    [
      'a number for text',
      'api',
      { ...API, upstream: { kind: 'mock', resultCode: 1100 } },
      ['schema /upstream/resultCode upstream.resultCode must be text, got 1100. Put it in quotes: "1100".'],
    ],
    [
      'text for a number',
      'api',
      { ...API, timeoutMs: '5' },
      ['schema /timeoutMs timeoutMs must be a whole number, got "5". Write it without quotes.'],
    ],
    ['a fraction', 'api', { ...API, timeoutMs: 1.5 }, ['timeoutMs must be a whole number, got 1.5.']],
    ['not a number', 'api', { ...API, timeoutMs: Number.NaN }, ['timeoutMs must be a whole number, got NaN.']],
    [
      'out of bounds',
      'cluster',
      {
        ...CLUSTER,
        endpoints: [
          { host: 'a', port: 65_536 },
          { host: '', port: 0 },
        ],
      },
      [
        'endpoints[0].port must be at most 65535, got 65536.',
        'endpoints[1].host must have at least 1 characters, got 0.',
        'endpoints[1].port must be at least 1, got 0.',
      ],
    ],
    [
      'too long',
      'app',
      { name: 'a', description: 'x'.repeat(257) },
      ['description must have at most 256 characters, got 257.'],
    ],
    [
      'twice the same',
      'app',
      { name: 'a', grants: { apis: ['x', 'x'] } },
      ['grants.apis has "x" twice. Remove one of them.'],
    ],
    [
      'an empty list',
      'group',
      { name: 'g', hosts: null },
      ['schema /hosts hosts must be a list, got nothing. Write [] for none, or leave the field out.'],
    ],
    [
      'a bad name',
      'app',
      { name: '-a' },
      ['schema /name name does not have the form it must have: "-a". Unique per kind in the workspace; 1–64 letters'],
    ],
    ['a name too long', 'app', { name: 'x'.repeat(65) }, ['name does not have the form']],
    ['a long value, cut', 'cluster', { ...CLUSTER, protocol: 'x'.repeat(500) }, [`got "${'x'.repeat(60)}…"`]],
    [
      'union: no tag',
      'api',
      { ...API, upstream: { cluster: 'c' } },
      ['schema /upstream/kind upstream lacks the field "kind". Add it. One of "cluster", "weighted", "mock".'],
    ],
    [
      'union: unknown tag',
      'api',
      { ...API, auth: { type: 'singature', dialect: 'x' } },
      ['schema /auth/type auth.type must be one of "none", "signature", got "singature". Did you mean "signature"?'],
    ],
    ['union: no mapping', 'api', { ...API, upstream: 'c' }, ['schema /upstream upstream must be a mapping, got "c".']],
    [
      'union: only the faults of the branch meant',
      'api',
      {
        ...API,
        auth: { type: 'signature', clockSkewSeconds: 0, digests: 'x' },
        upstream: { kind: 'weighted', clusters: [{ cluster: 'c', weight: 101 }] },
      },
      [
        'unknown-field /auth/digests auth has no field "digests". Did you mean "digest"?',
        'schema /auth/clockSkewSeconds auth.clockSkewSeconds must be at least 1, got 0.',
        'schema /upstream/clusters/0/weight upstream.clusters[0].weight must be at most 100, got 101.',
      ],
    ],
    ['__proto__', 'app', JSON.parse('{"name": "a", "__proto__": 1}'), ['unknown-field /__proto__']],
  ])('is told of %s', (_, kind, value, expected) => {
    const found = told(kind, value);
    expect(found).toHaveLength(expected.length);
    for (const [i, text] of expected.entries())
      expect(found[i]).toContain(text.replace(/ An API: write its fields\.$/, ''));
  });

  it('with very many faults is refused at the cost of one', () => {
    const value = { ...CLUSTER, endpoints: Array(300_000).fill(0) };
    expect(validateSpec('cluster', value)).toHaveLength(1);
  });
});
