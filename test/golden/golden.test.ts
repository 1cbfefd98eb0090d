import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { validate } from '../support/envoy.js';
import { staticBootstrap } from '../support/static-gateway.js';
import { pipeline } from './pipeline.js';

// Each folder of cases/ is one case, named by what it shows. definitions.yaml is its input; all other files are what the
// compiler makes of it, stage by stage. A real Envoy judges each.

const CASES = join(import.meta.dirname, 'cases');
const INPUT = 'definitions.yaml';
const REWRITE = 'UPDATE_GOLDEN=1 npx vitest run test/golden';
const update = process.env.UPDATE_GOLDEN === '1';
if (update && process.env.CI)
  throw new Error('UPDATE_GOLDEN is set where CI is: goldens are rewritten by people who read them.');

const names = readdirSync(CASES).sort();

test('there are cases', () => {
  expect(names.length).toBeGreaterThanOrEqual(20);
});

describe.each(names)('%s', (name) => {
  const folder = join(CASES, name);
  const { files, gateways } = pipeline(readFileSync(join(folder, INPUT)));

  test('is compiled as recorded', () => {
    const recorded = filesOf(folder).filter((file) => file !== INPUT);
    if (update) return rewrite(folder, files, recorded);
    const hint = `Read the difference. If it is right: ${REWRITE}`;
    expect([...files.keys()].sort(), `Files of ${name}. ${hint}`).toEqual(recorded.sort());
    for (const [file, text] of files) {
      expect(text, `${name}/${file}. ${hint}`).toBe(readFileSync(join(folder, file), 'utf8'));
    }
  });

  if (gateways.length === 0) {
    test('has errors, so there is nothing for Envoy', () => {
      expect(files.get('diagnostics.yaml')).toContain('severity: error');
    });
    return;
  }
  test('is accepted by Envoy', async () => {
    for (const gateway of gateways) {
      const { ok, output } = await validate(staticBootstrap(gateway, { grpc: true }));
      expect(ok, output).toBe(true);
    }
  });
});

/** Files below `folder`, by their paths from there. */
function filesOf(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1));
}

function rewrite(folder: string, files: ReadonlyMap<string, string>, recorded: readonly string[]): void {
  for (const orphan of recorded.filter((file) => !files.has(file))) rmSync(join(folder, orphan));
  for (const [file, text] of files) {
    const path = join(folder, file);
    mkdirSync(dirname(path), { recursive: true });
    if (!existsSync(path) || readFileSync(path, 'utf8') !== text) writeFileSync(path, text);
  }
}
