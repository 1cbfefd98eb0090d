import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fromBinary } from '@bufbuild/protobuf';
import { type FileDescriptorProto, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { describe, expect, it } from 'vitest';
import { envoyPath, rootDir } from '../support/envoy.js';
import { tmpDir } from '../support/tmp.js';

const root = rootDir();
const set = fromBinary(FileDescriptorSetSchema, readFileSync(join(root, 'build/envoy.binpb')));
const file = (name: string) => set.file.find((candidate) => candidate.name === name) as FileDescriptorProto;

describe("Envoy's descriptors", () => {
  it('are those of the Envoy that runs', () => {
    const out = join(tmpDir(), 'again.binpb');
    execFileSync(
      process.execPath,
      [join(root, 'tools/extract-descriptors.mjs'), envoyPath(), 'envoy/protos.txt', out],
      {
        cwd: root,
      },
    );
    expect(readFileSync(out).equals(readFileSync(join(root, 'build/envoy.binpb')))).toBe(true);
  });

  it('come whole, each file after what it imports', () => {
    const seen = new Set<string>();
    for (const { name, dependency } of set.file) {
      for (const imported of dependency) expect(seen, `${imported}, imported by ${name}`).toContain(imported);
      seen.add(name);
    }
    const wanted = readFileSync(join(root, 'envoy/protos.txt'), 'utf8').match(/^[a-z].*\.proto$/gm) ?? [];
    expect(wanted.length).toBeGreaterThan(50);
    expect(wanted.filter((name) => !seen.has(name))).toEqual([]);
    expect(wanted.filter((name) => !existsSync(join(root, 'src/gen', name.replace(/\.proto$/, '_pb.ts'))))).toEqual([]);
  });

  it('carry JSON names and validation rules', () => {
    const listener = file('envoy/config/listener/v3/listener.proto').messageType.find(
      ({ name }) => name === 'Listener',
    );
    const field = listener?.field.find(({ name }) => name === 'filter_chains');
    expect(field?.jsonName).toBe('filterChains');
    const route = file('envoy/config/route/v3/route.proto');
    expect(route.dependency).toContain('validate/validate.proto');
  });

  it('that are wanted and not there are all named', () => {
    const dir = tmpDir();
    writeFileSync(
      join(dir, 'wanted'),
      'envoy/no/such.proto\nenvoy/service/discovery/v3/ads.proto # there\nnor/this.proto\n',
    );
    const extract = (binary: string) =>
      spawnSync(process.execPath, [
        join(root, 'tools/extract-descriptors.mjs'),
        binary,
        join(dir, 'wanted'),
        join(dir, 'o'),
      ]);
    const some = extract(envoyPath());
    expect(some.status).toBe(1);
    expect(String(some.stderr)).toMatch(/envoy\/no\/such\.proto\n\s+nor\/this\.proto\n$/);
    const none = extract(join(root, 'package.json'));
    expect(none.status).toBe(1);
    expect(String(none.stderr)).toContain('carries no protobuf descriptors');
  });
});
