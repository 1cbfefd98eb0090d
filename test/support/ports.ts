import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';

// The kernel hands out ports of its ephemeral range to outgoing connections and to listeners on port 0, so a port taken
// from there could be gone before the process under test binds it.
const LOWEST = 15_000;
const HIGHEST = 32_000;
const reservations = join(tmpdir(), `paifang-ports-${userInfo().uid}`);
const mine = new Set<number>();
process.on('exit', () => {
  for (const port of mine) rmSync(join(reservations, String(port)), { force: true });
});

/**
 * A TCP port on which nothing listens, below the ephemeral range. It is reserved for this process until it ends: no other
 * test process on this machine is given it. Rejects when no port is free.
 */
export async function freePort(): Promise<number> {
  mkdirSync(reservations, { recursive: true });
  const span = Math.min(HIGHEST, lowestEphemeral()) - LOWEST;
  const start = Math.floor(Math.random() * span);
  for (let i = 0; i < span; i++) {
    const port = LOWEST + ((start + i) % span);
    if (!reserve(port)) continue;
    if (await nothingListens(port)) return port;
    release(port);
  }
  throw new Error(`no free TCP port between ${LOWEST} and ${LOWEST + span}`);
}

function lowestEphemeral(): number {
  try {
    return Number(readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8').split(/\s+/)[0]);
  } catch {
    return HIGHEST; // not Linux; the other systems begin at 49152
  }
}

/** One file a port, made exclusively, with the owner's process id in it; the file of a dead owner counts for nothing. */
function reserve(port: number): boolean {
  const file = join(reservations, String(port));
  for (let attempt = 0; attempt < 2; attempt++) {
    try {
      writeFileSync(file, String(process.pid), { flag: 'wx' });
      mine.add(port);
      return true;
    } catch {
      if (isHeld(file)) return false;
      rmSync(file, { force: true });
    }
  }
  return false;
}

function isHeld(file: string): boolean {
  try {
    const owner = Number(readFileSync(file, 'utf8'));
    if (owner === 0) return true; // being written this moment
    process.kill(owner, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

function release(port: number): void {
  mine.delete(port);
  rmSync(join(reservations, String(port)), { force: true });
}

function nothingListens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host: '0.0.0.0', exclusive: true }, () => server.close(() => resolve(true)));
  });
}
