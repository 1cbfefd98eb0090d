import { expect } from 'vitest';
import { type Change, Compiler, compile, type StoredObject } from '../../src/core/compile.js';
import type { Diagnostic } from '../../src/core/diagnostic.js';
import type { ApiSpec } from '../../src/core/model/api.js';
import type { Definitions, Spec } from '../../src/core/model/definitions.js';
import { KINDS, type Kind, PLURAL } from '../../src/core/model/kind.js';
import { deriveId } from '../../src/core/model/name.js';

// A small workspace, and what the compiler tells of it or of a change to it.

export const endpoints = [{ host: '10.0.0.1', port: 80 }];
export const BASE: Definitions = {
  fleets: [{ name: 'edge', listeners: [{ name: 'http', port: 80 }] }],
  clusters: [
    { name: 'orders', endpoints },
    { name: 'stock', endpoints },
  ],
  groups: [{ name: 'shop', hosts: ['shop.example.com'] }],
};
export const api = (name: string, path: string, changes: Partial<ApiSpec> = {}): ApiSpec => ({
  name,
  group: 'shop',
  match: { path },
  upstream: { kind: 'cluster', cluster: 'orders' },
  ...changes,
});
export const tell = (found: readonly Diagnostic[]) =>
  found.map((d) => `${d.code} ${d.object?.kind} ${d.object?.name} ${d.path} ${d.message} ${d.hint}`);
export const told = (definitions: Definitions) => tell(compile({ ...BASE, ...definitions }).diagnostics);
export const stored = (kind: Kind, spec: Spec): StoredObject =>
  ({ kind, name: spec.name, id: spec.id ?? deriveId('w', kind, spec.name), spec, release: 2 }) as StoredObject;

/** What is told of a change of `definitions` that are in force. */
export function toldOfChange(
  definitions: Definitions,
  change: { upserts?: StoredObject[]; removals?: Change['removals']; credentials?: NonNullable<Change['credentials']> },
): string[] {
  const compiler = new Compiler('w');
  const all = { ...BASE, ...definitions };
  const upserts = KINDS.flatMap((kind) =>
    ((all[PLURAL[kind]] ?? []) as Spec[]).map((spec) => ({ ...stored(kind, spec), release: 1 }) as StoredObject),
  );
  expect(tell(compiler.apply({ release: 1, upserts, removals: [] }).diagnostics)).toEqual([]);
  return tell(compiler.check({ release: 2, upserts: [], removals: [], ...change }));
}
