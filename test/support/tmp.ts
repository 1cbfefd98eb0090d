import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onCleanup } from './cleanup.js';

/**
 * A new empty folder, removed with all that is in it when the test ends (or the file, when made in a beforeAll).
 * Its path is short enough for a Unix socket in it. Other users may enter it: PostgreSQL does not run as root.
 */
export function tmpDir(): string {
  const dir = mkdtempSync(join(tmpdir(), 'pf-'));
  chmodSync(dir, 0o755);
  const remove = () => rmSync(dir, { recursive: true, force: true, maxRetries: 3 });
  process.once('exit', remove);
  onCleanup(() => {
    process.off('exit', remove);
    remove();
  });
  return dir;
}
