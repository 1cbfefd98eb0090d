import { chmodSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { basename, dirname, join, resolve } from 'node:path';

/** sun_path of the kernel, less the ending of the temporary name and the final zero. */
const LONGEST_PATH = 107 - '.4194304'.length;

/** A socket file while it is being put in place. Its own name is temporary; {@link publish} makes it reachable. */
export interface SocketPlace {
  /** Where to listen. */
  readonly temporary: string;
  /** Gives the listening socket its name, at once and with nothing half-made to be met under it. Owner only (0600). */
  publish(): void;
  /** Takes the name away, unless another process has put its own socket there since. */
  remove(): void;
}

/**
 * Prepares a place for a Unix socket. The directory is made (0700). A file left by a process that was killed is replaced.
 * @throws Error when the path is too long for a socket, when it is something else than a socket, or when somebody listens there.
 */
export async function socketPlace(path: string): Promise<SocketPlace> {
  const length = Buffer.byteLength(path);
  if (length > LONGEST_PATH) {
    throw new Error(
      `The socket path ${path} has ${length} bytes; the system allows ${LONGEST_PATH}. Use a shorter directory.`,
    );
  }
  mkdirSync(dirname(resolve(path)), { recursive: true, mode: 0o700 });
  const there = statSync(path, { throwIfNoEntry: false });
  if (there && !there.isSocket()) throw new Error(`${path} exists and is no socket; move it away or use another path.`);
  if (there && (await somebodyListens(path))) {
    throw new Error(`Another process listens on ${path}; is an edge running already for this node?`);
  }
  removeOrphans(path);
  const temporary = `${path}.${process.pid}`;
  rmSync(temporary, { force: true });
  let inode: number | undefined;
  return {
    temporary,
    publish() {
      chmodSync(temporary, 0o600);
      inode = statSync(temporary).ino;
      renameSync(temporary, path);
    },
    remove() {
      rmSync(temporary, { force: true });
      if (inode !== undefined && statSync(path, { throwIfNoEntry: false })?.ino === inode)
        rmSync(path, { force: true });
    },
  };
}

/** Temporary names are left over by processes that were killed while they started. */
function removeOrphans(path: string): void {
  const directory = dirname(resolve(path));
  const prefix = `${basename(path)}.`;
  for (const name of readdirSync(directory)) {
    const pid = name.startsWith(prefix) ? Number(name.slice(prefix.length)) : Number.NaN;
    if (Number.isSafeInteger(pid) && pid > 0 && !isAlive(pid)) rmSync(join(directory, name), { force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

function somebodyListens(path: string): Promise<boolean> {
  return new Promise((settle) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      settle(true);
    });
    socket.once('error', () => settle(false));
  });
}
