import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isShared } from '../controller-access.js';

/**
 * What keys on disk are encrypted with: the token all edges share, which is kept elsewhere and does not end; else a secret of
 * this node's own in `last-good.key`, made once with mode 0600: certificates and tokens of single nodes are renewed, and what is kept must
 * be readable afterwards.
 */
export function keepingSecret(token: string | undefined, dataDir: string): string {
  if (isShared(token)) return token;
  const file = join(dataDir, 'last-good.key');
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  try {
    writeFileSync(file, `${randomBytes(32).toString('base64url')}\n`, { mode: 0o600, flag: 'wx' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  const secret = readFileSync(file, 'utf8').trim();
  if (secret.length >= 32) return secret;
  throw new Error(`${file} holds no secret. Remove it; the last good configuration is then fetched anew.`);
}
