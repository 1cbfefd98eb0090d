import { createServer } from 'node:net';

export interface PortUse {
  readonly host: string;
  readonly port: number;
  readonly what: string;
  /** How to choose another one, e.g. `PAIFANG_ADMIN_PORT`. */
  readonly option: string;
}

/** Which of the ports are taken, as sentences that name port, purpose and option. Port 0 is never taken. */
export async function portsInUse(uses: readonly PortUse[]): Promise<string[]> {
  const faults: string[] = [];
  for (const use of uses) {
    if (use.port === 0) continue;
    const twin = uses.find(
      (other) => other !== use && other.port === use.port && uses.indexOf(other) < uses.indexOf(use),
    );
    if (twin)
      faults.push(
        `Port ${use.port} is meant for both ${twin.what} and ${use.what}: change ${twin.option} or ${use.option}.`,
      );
    else if (await isTaken(use.host, use.port))
      faults.push(
        `Port ${use.port} on ${use.host}, for ${use.what}, is in use: stop what uses it, or set ${use.option} to another port.`,
      );
  }
  return faults;
}

function isTaken(host: string, port: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(true);
      else reject(new Error(`${host}:${port} cannot be listened on: ${error.message}`));
    });
    probe.listen({ host, port, exclusive: true }, () => probe.close(() => resolve(false)));
  });
}

/** A free port of the loopback interface. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen({ host: '127.0.0.1', port: 0 }, () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}
