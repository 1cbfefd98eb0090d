import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ALLOWED, breaches } from './architecture/rules.js';
import { codeOf, importsOf, type SourceFile } from './architecture/source.js';
import { rootDir } from './support/envoy.js';

const root = rootDir();

describe('the house', () => {
  it('keeps its rules', () => {
    const files = ['src', 'test', 'tools'].flatMap(filesUnder);
    expect(files.length).toBeGreaterThan(20);
    expect(tell(files)).toEqual([]);
  });

  it('has no row for itself or for an unknown room in the table', () => {
    const rooms = new Set([...Object.keys(ALLOWED), 'core']);
    for (const [room, allowed] of Object.entries(ALLOWED)) {
      for (const entry of allowed) expect([...rooms], `${room} -> ${entry}`).toContain(entry.replace(':types', ''));
      expect(allowed).not.toContain(room);
    }
  });
});

describe('a breach is told with file, line and rule', () => {
  it.each<[string, string, string, string]>([
    [
      'the edge has no database',
      'src/edge/edge.ts',
      "// a\nimport { openStore } from '../store/store.js';",
      'src/edge/edge.ts:2: edge may not import store (it may: core, wire, rpc, gen:types, logger:types)',
    ],
    [
      'a re-export is an import',
      'src/wire/x.ts',
      "export * from '../controller/y.js';",
      'src/wire/x.ts:1: wire may not import controller (it may: gen, core/ads, logger:types)',
    ],
    [
      'a dynamic import is an import',
      'src/up/up.ts',
      "const m = await import('../edge/edge.js');",
      'src/up/up.ts:1: up may not import edge (it may: logger:types)',
    ],
    [
      'an import over several lines',
      'src/core/xds/route.ts',
      "import {\n  type Api,\n  Group,\n} from '../model/group.js';",
      'src/core/xds/route.ts:1: core/xds may not import core/model (it may: core/ir, core/codes, core/ads, core/accesslog:types, gen)',
    ],
    [
      'types are not values',
      'src/logs/store.ts',
      "import { parse } from '../core/accesslog/parse.js';",
      'src/logs/store.ts:1: logs may import only types of core/accesslog: write "import type"',
    ],
    [
      'a room nobody thought of',
      'src/plugins/x.ts',
      '',
      'src/plugins/x.ts:1: room plugins has no row in the table of allowed imports',
    ],
    [
      'the clock in core',
      'src/core/decision/decide.ts',
      'const a = 1;\nconst now = Date.now();',
      'src/core/decision/decide.ts:2: core is pure: it may not use the clock (Date.now); let the caller pass it in',
    ],
    ['the clock by Date', 'src/core/ir/x.ts', 'f(new Date( ));', 'new Date()'],
    ['the clock by Date without parentheses', 'src/core/ir/x.ts', 'f(new Date);', 'new Date()'],
    ['randomness', 'src/core/ir/x.ts', 'Math.random();', 'Math.random'],
    ['randomness of crypto', 'src/core/ir/x.ts', "import { randomUUID } from 'node:crypto';", 'randomness (crypto)'],
    ['the environment', 'src/core/ir/x.ts', 'process.env.X;', 'environment'],
    [
      'the environment inside a template',
      'src/core/ir/x.ts',
      `f(\`a \${g({ a: 1 }) + process.env.X} b\`);`,
      'environment',
    ],
    ['files', 'src/core/ir/x.ts', "import { readFileSync } from 'node:fs';", 'may not import node:fs'],
    ['promises of files', 'src/core/ir/x.ts', "import fs from 'node:fs/promises';", 'may not import node:fs/promises'],
    ['sockets', 'src/core/ir/x.ts', "import 'node:net';", 'may not import node:net'],
    ['Nest', 'src/core/ir/x.ts', "import { Injectable } from '@nestjs/common';", 'may not import @nestjs/common'],
    ['TypeORM', 'src/core/ir/x.ts', "import type { DataSource } from 'typeorm';", 'may not import typeorm'],
    ['gRPC', 'src/core/ir/x.ts', "import * as grpc from '@grpc/grpc-js';", 'may not import @grpc/grpc-js'],
    ['a long file', 'test/x.test.ts', 'x\n'.repeat(401), 'test/x.test.ts:401: 401 lines; a file has 400 at most'],
    ['a barrel', 'src/store/index.ts', '', 'src/store/index.ts:1: no barrels'],
    ['an empty name', 'src/edge/utils/x.ts', '', '"utils" says nothing'],
    ['an empty file name', 'src/edge/helpers.ts', '', '"helpers" says nothing'],
  ])('%s', (_, path, text, told) => {
    expect(tell([{ path, text }])).toEqual([expect.stringContaining(told)]);
  });

  it('a circle of rooms, by the rooms in it', () => {
    const files = [
      { path: 'src/rpc/a.ts', text: "import type { B } from '../wire/b.js';" },
      { path: 'src/wire/b.ts', text: "\nimport type { A } from '../rpc/a.js';" },
    ];
    expect(tell(files)).toEqual([
      'src/wire/b.ts:2: wire may not import rpc (it may: gen, core/ads, logger:types)',
      'src/wire/b.ts:2: rooms import one another in a circle: rpc -> wire -> rpc',
    ]);
  });
});

describe('no breach is told for', () => {
  it.each<[string, string, string]>([
    ['a comment', 'src/core/ir/x.ts', '// Date.now()\n/* Math.random() */ const a = 1;'],
    ['a string', 'src/core/ir/x.ts', `const a = "process.env" + 'Date.now' + \`fetch(\`;`],
    ['a regular expression with quotes', 'src/core/ir/x.ts', `const a = /['"/[/]]/; const b = 'Date.now()';`],
    ['a division', 'src/core/ir/x.ts', `const a = b / c; const d = 'process.env' / 2;`],
    ['a given time', 'src/core/ir/x.ts', 'const a = new Date(ms);'],
    ['an import in a string', 'src/up/x.ts', `const a = "import x from '../edge/edge.js'";`],
    ['types where types are allowed', 'src/logs/x.ts', "import { type R } from '../core/accesslog/record.js';"],
    ['its own room', 'src/core/xds/route.ts', "import { name } from './names.js';"],
    ['a file of 400 lines', 'src/edge/x.ts', 'x\n'.repeat(400)],
  ])('%s', (_, path, text) => {
    expect(tell([{ path, text }])).toEqual([]);
  });
});

describe('the scanner', () => {
  it('finds every form of import', () => {
    const text = [
      "import a from 'a';",
      "import b, { type B } from 'b';",
      "import { type C, type D } from 'c';",
      "import type E from 'e';",
      "import * as f from 'f';",
      "import 'g';",
      "export { h } from 'h';",
      "export type { I } from 'i';",
      "export class X {}\nexport * as j from 'j';",
      "const k = import('k');",
      "import type from 'l';",
      "import data from 'm' with { type: 'json' };",
    ].join('\n');
    const found = importsOf(text).map(({ specifier, typeOnly }) => (typeOnly ? `${specifier}:types` : specifier));
    expect(found).toEqual(['a', 'b', 'c:types', 'e:types', 'f', 'g', 'h', 'i:types', 'j', 'k', 'l', 'm']);
  });

  it('keeps lines where they are', () => {
    const text = ['a /* 1', '2 */ `', '$' + '{b}', '` // 3', 'c'].join('\n');
    expect(codeOf(text).split('\n')).toHaveLength(text.split('\n').length);
  });
});

function tell(files: readonly SourceFile[]): string[] {
  return breaches(files).map(({ file, line, message }) => `${file}:${line}: ${message}`);
}

function filesUnder(dir: string): SourceFile[] {
  return readdirSync(join(root, dir), { withFileTypes: true }).flatMap((entry) => {
    const path = `${dir}/${entry.name}`;
    if (path === 'src/gen') return [];
    if (entry.isDirectory()) return filesUnder(path);
    return /\.[cm]?[jt]sx?$/.test(entry.name) ? [{ path, text: readFileSync(join(root, path), 'utf8') }] : [];
  });
}
