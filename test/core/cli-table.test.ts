import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { difference } from '../../src/cli/difference.js';
import { table } from '../../src/cli/table.js';
import { cut, visible, width } from '../../src/cli/terminal.js';
import type { Definitions } from '../../src/core/model/definitions.js';

describe('width of text on a terminal', () => {
  it.each([
    ['plain', 5],
    ['订单', 4],
    ['한국어', 6],
    ['e\u0301', 1],
    ['\u200b', 0],
    ['🚀', 2],
    ['ＦＵＬＬ', 8],
    ['\u001b[31mred\u001b[39m', 3],
    ['', 0],
  ])('%j takes %i columns', (text, columns) => {
    expect(width(text)).toBe(columns);
  });

  it('what is cut fits, and says that it was cut', () => {
    expect(cut('订单列表', 5)).toBe('订单…');
    expect(cut('short', 5)).toBe('short');
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.integer({ min: 1, max: 40 }), (text, most) => {
        expect(width(cut(visible(text), most))).toBeLessThanOrEqual(most);
      }),
    );
  });

  it('nothing that is made visible controls the terminal', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what must not be there.
        expect(visible(text)).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/);
      }),
    );
  });
});

describe('a table', () => {
  const rows = [
    { name: 'a', path: '/orders/with/a/rather/long/path', ms: 7 },
    { name: '订单', path: '/x', ms: 1234 },
  ];
  const spec = [
    { head: 'NAME', cell: (r: (typeof rows)[number]) => r.name },
    { head: 'PATH', cell: (r: (typeof rows)[number]) => r.path, flexible: true },
    { head: 'MS', cell: (r: (typeof rows)[number]) => r.ms, right: true },
  ];

  it('is never cut in a pipe', () => {
    expect(table(rows, spec, undefined).split('\n')).toEqual([
      'NAME  PATH                               MS',
      'a     /orders/with/a/rather/long/path     7',
      '订单  /x                               1234',
    ]);
  });

  it('is cut to a narrow terminal where a column may give way', () => {
    const lines = table(rows, spec, 24).split('\n');
    expect(lines).toEqual(['NAME  PATH            MS', 'a     /orders/wit…     7', '订单  /x            1234']);
    for (const line of lines) expect(width(line)).toBeLessThanOrEqual(24);
  });
});

describe('the difference of two sets of definitions', () => {
  const before: Definitions = {
    groups: [{ name: 'a', hosts: ['a.test', 'b.test'] }],
    apps: [{ name: 'gone' }],
  };

  it('is empty for equal content, in whatever order it is written', () => {
    const after: Definitions = { apps: [{ name: 'gone' }], groups: [{ hosts: ['a.test', 'b.test'], name: 'a' }] };
    expect(difference(before, after, { prune: true })).toEqual([]);
  });

  it('names each value by its pointer; a list is compared by position', () => {
    const after: Definitions = {
      groups: [{ name: 'a', hosts: ['b.test'], description: 'new' }],
      apps: [{ name: 'come' }],
    };
    expect(difference(before, after, { prune: true })).toEqual([
      {
        kind: 'group',
        name: 'a',
        change: 'changed',
        fields: [
          { path: '/hosts/0', before: 'a.test', after: 'b.test' },
          { path: '/hosts/1', before: 'b.test' },
          { path: '/description', after: 'new' },
        ],
      },
      { kind: 'app', name: 'come', change: 'created', fields: [] },
      { kind: 'app', name: 'gone', change: 'deleted', fields: [] },
    ]);
    expect(difference(before, after, { prune: false }).map(({ name }) => name)).toEqual(['a', 'come']);
  });
});
