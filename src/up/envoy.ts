import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Child, startChild } from './child.js';

/** Path of the Envoy set-up found, or the one given. @throws with what to do when there is none. */
export function envoyBinary(given: string | undefined): string {
  if (given) {
    if (existsSync(given)) return given;
    throw new Error(
      `PAIFANG_ENVOY names ${given}, which does not exist. Correct it, or unset it to use the one set-up found.`,
    );
  }
  const note = fileURLToPath(new URL('../../build/envoy.json', import.meta.url));
  try {
    const { path } = JSON.parse(readFileSync(note, 'utf8')) as { path: string };
    if (existsSync(path)) return path;
  } catch {
    // No set-up yet; said below.
  }
  throw new Error(
    'No Envoy was found. Run `npm run setup`, or set PAIFANG_ENVOY to the path of an Envoy 1.40 or newer.',
  );
}

/** How long requests may take to end when Envoy is stopped, in ms. */
const DRAIN_MS = 10_000;

export interface EnvoyOptions {
  readonly binary: string;
  /** Its working directory: bootstrap.json, access.log and sockets are here. */
  readonly directory: string;
  readonly runDir: string;
  /** File that takes its own messages. */
  readonly logFile: string;
  readonly bootstrap: object;
  readonly adminPort: number;
  readonly concurrency: number;
}

/** Starts Envoy with a bootstrap. */
export function startEnvoy(options: EnvoyOptions): Child {
  const file = join(options.directory, 'bootstrap.json');
  writeFileSync(file, JSON.stringify(options.bootstrap, null, 2), { mode: 0o600 });
  return startChild({
    name: 'envoy',
    command: options.binary,
    args: [
      '--config-path',
      'bootstrap.json',
      '--use-dynamic-base-id',
      '--drain-time-s',
      '5',
      '--parent-shutdown-time-s',
      '6',
      // Otherwise a request is seen in the log up to ten seconds later.
      '--file-flush-interval-msec',
      '200',
      '--log-level',
      'warning',
      ...(options.concurrency > 0 ? ['--concurrency', String(options.concurrency)] : []),
    ],
    cwd: options.directory,
    runDir: options.runDir,
    logFile: options.logFile,
  });
}

/** Whether Envoy's admin lists a listener on `port`: `/ready` alone does not prove that it listens. */
export async function listens(adminPort: number, port: number): Promise<boolean> {
  try {
    const text = await get(`http://127.0.0.1:${adminPort}/listeners?format=json`);
    const statuses =
      (JSON.parse(text) as { listener_statuses?: { local_address?: { socket_address?: { port_value?: number } } }[] })
        .listener_statuses ?? [];
    return statuses.some((status) => status.local_address?.socket_address?.port_value === port);
  } catch {
    // Not up yet; the caller asks again.
    return false;
  }
}

/**
 * Ends Envoy's listeners and waits until no request runs any more, or for {@link DRAIN_MS}: at SIGTERM it would cut them off.
 * No time is left for load balancers to turn away, as there are none before an Envoy on one machine; the units of deploy/ do.
 */
export async function drainEnvoy(adminPort: number): Promise<void> {
  const admin = `http://127.0.0.1:${adminPort}`;
  const running = `${admin}/stats?format=json&filter=${encodeURIComponent('^http\\..*\\.downstream_rq_active$')}`;
  try {
    await get(`${admin}/healthcheck/fail`, 'POST');
    await get(`${admin}/drain_listeners`, 'POST');
    for (const end = performance.now() + DRAIN_MS; performance.now() < end; ) {
      const { stats } = JSON.parse(await get(running)) as { stats: readonly { name: string; value?: number }[] };
      if (stats.every(({ name, value = 0 }) => value === 0 || name.startsWith('http.admin.'))) return;
      await new Promise((done) => setTimeout(done, 50));
    }
  } catch {
    // It does not answer: it is gone, or will be ended by force.
  }
}

function get(url: string, method = 'GET'): Promise<string> {
  return new Promise((resolve, reject) => {
    const outgoing = request(url, { method, timeout: 1000 }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () => resolve(text));
      response.on('error', reject);
    });
    outgoing.on('timeout', () => outgoing.destroy(new Error('timed out')));
    outgoing.on('error', reject);
    outgoing.end();
  });
}
