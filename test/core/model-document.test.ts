import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { inDocument, type ReadDocument, readDefinitions } from '../../src/core/model/document.js';
import * as a from '../property/arbitrary.js';

const YAML = `
workspace: shop
groups:
  - name: orders
    hosts: [orders.example.com]
apis:
  - name: list
    group: orders
    match: { path: /orders }
    upstream: { kind: mock, body: "[]" }
`;
const told = ({ diagnostics }: ReadDocument) =>
  diagnostics.map(({ code, path, message }) => `${code} ${path} ${message}`);
const codes = ({ diagnostics }: ReadDocument) => [...new Set(diagnostics.map((d) => d.code))];

describe('a definitions file', () => {
  it('is read as YAML', () => {
    const read = readDefinitions(YAML);
    expect(told(read)).toEqual([]);
    expect(read.definitions?.apis?.[0]?.match).toEqual({ path: '/orders' });
    expect(read.pointerOf('api', 'list')).toBe('/apis/0');
    expect(read.pointerOf('api', 'none')).toBe('');
  });

  it('is read as JSON, the same', () => {
    const { definitions } = readDefinitions(YAML);
    const text = JSON.stringify(definitions, null, 2);
    for (const format of ['json', 'yaml', undefined] as const) {
      expect(readDefinitions(text, format).definitions).toEqual(definitions);
    }
    expect(readDefinitions(new TextEncoder().encode(`\ufeff${text}`)).definitions).toEqual(definitions);
  });

  it('may use flow mappings that are no JSON', () => {
    expect(
      readDefinitions('{workspace: shop, groups: [{name: a, hosts: [a.example.com]}]}').definitions?.workspace,
    ).toBe('shop');
  });

  it('may use aliases for whole values', () => {
    const read = readDefinitions(`
apis:
  - { name: a, group: g, match: { path: /a }, upstream: &mock { kind: mock } }
  - { name: b, group: g, match: { path: /b }, upstream: *mock }
groups: [{ name: g, hosts: [g.example.com] }]`);
    expect(told(read)).toEqual([]);
    expect(read.definitions?.apis?.[1]?.upstream).toEqual({ kind: 'mock' });
  });

  it('tells all faults at once, those of shape and those of the rules', () => {
    const read = readDefinitions(`
groups:
  - { name: a, hosts: [UPPER.example.com] }
  - { name: b, hosts: [] }
  - { name: b, hosts: [b.example.com], host: x }
apis:
  - { name: x, group: a, match: { path: orders }, upstream: { kind: clutser, cluster: c } }
  - { name: y, group: a, match: { path: /y/ }, upstream: { kind: mock, resultCode: "0000" } }
`);
    expect(read.definitions).toBeUndefined();
    expect(told(read)).toEqual([
      'schema /groups/1/hosts hosts must have at least 1 items, got 0.',
      'unknown-field /groups/2/host The object has no field "host".',
      'duplicate-name /groups/2/name The group "b" is defined twice; the first is /groups/1.',
      'schema /apis/0/upstream/kind upstream.kind must be one of "cluster", "weighted", "mock", got "clutser".',
      'invalid-host /groups/0/hosts/0 "UPPER.example.com" has upper-case letters; hosts are compared without case.',
      'invalid-path /apis/1/match/path "/y/" ends with "/".',
      'unknown-result-code /apis/1/upstream/resultCode The catalogue has no result code 0000.',
    ]);
  });

  it('gives findings of the compiler their place', () => {
    const object = { kind: 'api', name: 'list' } as const;
    const finding = {
      code: 'unknown-reference',
      severity: 'error',
      path: '/group',
      object,
      message: 'm',
      hint: 'h',
    } as const;
    expect(inDocument([finding, { ...finding, path: '' }], readDefinitions(YAML)).map((d) => d.path)).toEqual([
      '/apis/0/group',
      '/apis/0',
    ]);
  });
});

describe('what cannot be read is told, with its place', () => {
  it.each<[string, string | Uint8Array, 'yaml' | 'json' | undefined, string]>([
    ['an empty file', '', undefined, 'schema  The document is empty.'],
    ['only comments', '# nothing\n', 'yaml', 'schema  The document is empty.'],
    ['null in JSON', 'null', 'json', 'schema  The document is empty.'],
    ['a list', '- a', 'yaml', 'schema  The object must be a mapping, got a list.'],
    ['text', 'hello', 'yaml', 'schema  The object must be a mapping, got "hello".'],
    ['an unknown top field', 'api: []', 'yaml', 'unknown-field /api The object has no field "api".'],
    [
      'truncated JSON',
      '{"apis": [{"name": "a"',
      'json',
      'syntax /apis/0 Line 1, column 23: expected "," or "}", found the end of the document.',
    ],
    [
      'a cut string',
      '{"workspace": "sh',
      'json',
      'syntax /workspace Line 1, column 15: expected a string that ends on its line, with valid escapes, found "\\"sh".',
    ],
    [
      'a comma too many',
      '{\n "apis": [1,]}',
      'json',
      'syntax /apis/1 Line 2, column 13: expected a value, found "]}".',
    ],
    ['something behind', '{} x', 'json', 'syntax  Line 1, column 4: expected the end of the document, found "x".'],
    ['a bad escape', '{"workspace": "\\x"}', 'json', 'syntax /workspace Line 1, column 15: expected a string'],
    [
      'a bare word',
      '{"workspace": shop}',
      'json',
      'syntax /workspace Line 1, column 15: expected a value, found "shop}".',
    ],
    [
      'a key twice in JSON',
      '{"workspace": "a",\n"workspace": "b"}',
      'json',
      'duplicate-key /workspace Line 2, column 1: the key "workspace" occurs twice in one mapping.',
    ],
    [
      'a key twice in YAML',
      'apis: []\napis: []',
      'yaml',
      'duplicate-key /apis Line 2, column 1: the key "apis" occurs twice in one mapping.',
    ],
    [
      'a tab for indentation',
      'groups:\n\t- name: a',
      'yaml',
      'syntax  Line 2, column 1: Tabs are not allowed as indentation',
    ],
    ['an open quote', 'workspace: "shop', 'yaml', 'syntax  Line 1, column 17: Missing closing "quote'],
    [
      'two documents',
      'workspace: a\n---\nworkspace: b',
      'yaml',
      'syntax  Line 2, column 1: A second document begins here',
    ],
    [
      'a tag',
      'workspace: !!binary aGk=',
      'yaml',
      'syntax /workspace Line 1, column 21: the tag tag:yaml.org,2002:binary; only those of the core schema are read.',
    ],
    [
      'a tag of a collection',
      'apis: !!set { a }',
      'yaml',
      'syntax /apis Line 1, column 13: the tag tag:yaml.org,2002:set',
    ],
    ['a local tag', 'apis: !x [1]', 'yaml', 'syntax'],
    ['YAML 1.1', '%YAML 1.1\n---\nworkspace: a', 'yaml', 'syntax  The document says it is YAML 1.1.'],
    [
      'a merge key',
      'groups:\n- &a { name: a, hosts: [a] }\n- { <<: *a, name: b }',
      'yaml',
      'syntax /groups/1 Line 3, column 5: a merge key (<<); YAML 1.2 has none.',
    ],
    ['an alias to nothing', 'workspace: *shop', 'yaml', 'syntax'],
    [
      'an alias to itself',
      'apis: &a [*a]',
      'yaml',
      'syntax /apis/0 Line 1, column 11: the alias *a has no anchor before it, or stands inside it.',
    ],
    ['a key that is a list', '{[a]: b}', 'yaml', 'syntax  Line 1, column 2: a key that is no plain text.'],
    ['a NUL', 'workspace: a\0', 'yaml', 'syntax  Line 1, column 13: a NUL character; this is no text.'],
    ['UTF-16', new Uint8Array([0xff, 0xfe, 0x61, 0]), undefined, 'syntax  The document is UTF-16, not UTF-8.'],
    ['gzip', new Uint8Array([0x1f, 0x8b, 8, 0]), undefined, 'syntax  The document is compressed (gzip).'],
    ['Latin-1', new Uint8Array([0x61, 0x3a, 0x20, 0xe4]), undefined, 'syntax  The document is not UTF-8.'],
    ['deep JSON', '['.repeat(100_000), 'json', 'limit'],
    ['deep YAML', '['.repeat(100_000), 'yaml', 'limit  The document is nested deeper than 64 levels.'],
    ['deep block YAML', `${'- '.repeat(70)}a`, 'yaml', 'limit'],
    [
      'too large',
      'a'.repeat(32 * 1024 * 1024 + 1),
      'yaml',
      'limit  The document has 32.0 MiB; at most 32 MiB are read.',
    ],
    [
      '__proto__',
      '{"__proto__": {"workspace": "a"}}',
      'json',
      'unknown-field /__proto__ The object has no field "__proto__".',
    ],
    [
      '__proto__ in YAML',
      '__proto__: { workspace: a }',
      'yaml',
      'unknown-field /__proto__ The object has no field "__proto__".',
    ],
  ])('%s', (_, input, format, expected) => {
    const read = readDefinitions(input, format);
    expect(read.definitions).toBeUndefined();
    expect(told(read)[0]).toContain(expected);
    for (const { hint } of read.diagnostics) expect(hint).not.toBe('');
  });

  it('a billion laughs', () => {
    const lines = ['a: &a0 [x, x, x, x, x, x, x, x, x, x]'];
    for (let i = 1; i <= 9; i++)
      lines.push(
        `b${i}: &a${i} [${Array(10)
          .fill(`*a${i - 1}`)
          .join(', ')}]`,
      );
    expect(codes(readDefinitions(lines.join('\n'), 'yaml'))).toEqual(['limit']);
  });

  it('nesting made of aliases', () => {
    const lines = ['a: &a0 [x]'];
    for (let i = 1; i <= 70; i++) lines.push(`b${i}: &a${i} [*a${i - 1}]`);
    expect(codes(readDefinitions(lines.join('\n'), 'yaml'))).toEqual(['limit']);
  });

  it('a flood of faults, cut off', () => {
    const read = readDefinitions(`{"apis": [${Array(20_000).fill('{}').join()}]}`, 'json');
    expect(read.diagnostics.length).toBe(1001);
    expect(read.diagnostics.at(-1)?.code).toBe('limit');
    const junk = readDefinitions('}\n'.repeat(500_000), 'yaml');
    expect(codes(junk)).toEqual(['syntax']);
    expect(junk.diagnostics.length).toBeLessThanOrEqual(20);
  });
});

describe('the readers', () => {
  it('never throw, whatever the input', () => {
    const soup = fc.array(
      fc.constantFrom(
        '{',
        '}',
        '[',
        ']',
        ':',
        ',',
        '"',
        "'",
        '\n',
        '  ',
        '- ',
        '&a ',
        '*a',
        '!!str ',
        '|',
        '>',
        '#',
        '<<',
        '? ',
        '---',
        '%',
        '\t',
        '\\',
        'apis',
        'name',
        '1',
        '\u{10ffff}',
        '\ud800',
      ),
      { maxLength: 40 },
    );
    const input = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.uint8Array(),
      soup.map((parts) => parts.join('')),
      fc.json(),
    );
    fc.assert(
      fc.property(input, fc.constantFrom('yaml', 'json', undefined), (text, format) => {
        const read = readDefinitions(text, format);
        expect(read.definitions === undefined).toBe(read.diagnostics.length > 0);
      }),
      { numRuns: 2000 },
    );
  });

  it('read JSON as JSON.parse does', () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        const read = readDefinitions(`{"workspace": ${text}}`, 'json');
        expect(read.diagnostics.some((d) => d.code === 'syntax')).toBe(false);
      }),
      { numRuns: 500 },
    );
  });

  it('read back what was written, in either format, and notice when it is cut off', () => {
    fc.assert(
      fc.property(
        a.definitions,
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        (definitions, where) => {
          const json = JSON.stringify(definitions);
          expect(readDefinitions(json, 'json').definitions).toEqual(definitions);
          expect(readDefinitions(stringify(definitions), 'yaml').definitions).toEqual(definitions);
          const cut = readDefinitions(json.slice(0, Math.floor(json.length * where)), 'json');
          expect(cut.definitions).toBeUndefined();
          expect(cut.diagnostics.length).toBeGreaterThan(0);
        },
      ),
      { numRuns: 60 },
    );
  });
});
