import { randomBytes } from 'node:crypto';
import { link, mkdir, open, readFile, rm } from 'node:fs/promises';
import { dirname } from 'node:path';

/**
 * The text in `file`, without surrounding white space; when there is no such file, what `make` returns, stored with mode 0600
 * first. Of processes that do this at once, one makes the file and all return its text: it appears whole or not at all.
 */
export async function secretFile(file: string, make: () => string): Promise<string> {
  const found = await readFile(file, 'utf8').catch(missing);
  if (found !== undefined) return found.trim();
  await mkdir(dirname(file), { recursive: true });
  const fresh = `${file}.${randomBytes(6).toString('hex')}`;
  const handle = await open(fresh, 'wx', 0o600);
  try {
    await handle.writeFile(`${make()}\n`);
    await handle.sync();
    await link(fresh, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    await handle.close();
    await rm(fresh, { force: true });
  }
  return (await readFile(file, 'utf8')).trim();
}

function missing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
  return undefined;
}
