import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { describe, expect, it } from 'vitest';
// @ts-expect-error: the generator is plain JavaScript, because set-up and npm scripts run it without a compiler.
import { REFERENCE, referencePages } from '../tools/docs.mjs';
import { rootDir } from './support/envoy.js';

const root = rootDir();

describe('docs/reference', () => {
  it('says what the code says (refresh it with: npm run docs)', async () => {
    const made: Map<string, string> = await referencePages();
    const folder = join(root, REFERENCE);
    expect(readdirSync(folder).sort()).toEqual([...made.keys()].sort());
    for (const [name, text] of made) {
      expect(readFileSync(join(folder, name), 'utf8'), `${name} is stale; run: npm run docs`).toBe(text);
    }
  });
});

describe('the pages', () => {
  const pages = ['README.md', 'CHANGELOG.md', ...markdownUnder('docs')];

  it.each(pages)('%s has no link that leads nowhere', (page) => {
    const text = readFileSync(join(root, page), 'utf8').replace(/```[\s\S]*?```/g, '');
    for (const [, target] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^(https?:|#)/.test(target as string)) continue;
      const [path, fragment] = (target as string).split('#') as [string, string?];
      const file = normalize(join(root, dirname(page), path));
      expect(() => readdirSync(dirname(file)), `${page} -> ${target}`).not.toThrow();
      expect(entries(dirname(file)), `${page} -> ${target}`).toContain(relative(dirname(file), file));
      if (fragment !== undefined) expect(anchorsOf(file), `${page} -> ${target}`).toContain(fragment);
    }
  });

  it.each(pages)('%s names no file of the sources that is not there', (page) => {
    const text = readFileSync(join(root, page), 'utf8');
    for (const [, path] of text.matchAll(/`((?:src|test|tools|proto|envoy|docs)\/[\w./-]+)`/g)) {
      const file = normalize(join(root, path as string)).replace(/\/$/, '');
      expect(entries(dirname(file)), `${page} names ${path}`).toContain(relative(dirname(file), file));
    }
  });

  it.each(pages)('%s shows no verb that the command line does not have', (page) => {
    const cli = readFileSync(join(root, REFERENCE, 'cli.md'), 'utf8');
    const verbs = new Set([...cli.matchAll(/^## paifang ([a-z-]+)$/gm)].map(([, verb]) => verb));
    const text = readFileSync(join(root, page), 'utf8');
    const shown = [...text.matchAll(/(?:`|^\s*\$? ?|npx )paifang ([a-z][a-z-]*)/gm)].map(([, verb]) => verb);
    expect(shown.filter((verb) => !verbs.has(verb))).toEqual([]);
  });

  it.each(pages)('%s names no variable that nothing reads', (page) => {
    const known = new Set(readFileSync(join(root, REFERENCE, 'config.md'), 'utf8').match(/PAIFANG_[A-Z_]+/g));
    const named = readFileSync(join(root, page), 'utf8').match(/PAIFANG_[A-Z_]*[A-Z]/g) ?? [];
    expect(named.filter((name) => !known.has(name))).toEqual([]);
  });

  it('ADRs are numbered without gaps and have the four parts', () => {
    const files = readdirSync(join(root, 'docs/adr')).sort();
    expect(files.map((name) => Number(name.slice(0, 4)))).toEqual(files.map((_, i) => i + 1));
    for (const name of files) {
      const text = readFileSync(join(root, 'docs/adr', name), 'utf8');
      for (const part of ['Status', 'Context', 'Decision', 'Consequences']) {
        expect(text, name).toMatch(new RegExp(`^## ${part}$`, 'm'));
      }
    }
  });
});

function markdownUnder(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return markdownUnder(path);
    return entry.name.endsWith('.md') ? [path] : [];
  });
}

function entries(folder: string): string[] {
  return readdirSync(folder);
}

/** Anchors GitHub makes of the headings of a page. */
function anchorsOf(file: string): string[] {
  return [...readFileSync(file, 'utf8').matchAll(/^#+ (.+)$/gm)].map(([, title]) =>
    (title as string)
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(' ', '-'),
  );
}
