/**
 * `npm run bench startup [-- --routes 1000,5000,10000] [--runs 5] [--edits 200]`: how long a controller takes to start.
 *
 * A database that syncs to disk holds everything, with some history; the controller is killed and started again, run by
 * run. Timed from before its process is made: until it says that it is ready, and until a node that connected then has been
 * sent all it should have. The canary, an Envoy, starts beside it, as in production.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Child, startChild } from '../support/child.js';
import { closeScope, onCleanup } from '../support/cleanup.js';
import { rootDir } from '../support/envoy.js';
import { freePort } from '../support/ports.js';
import { testPostgres } from '../support/postgres.js';
import { tmpDir } from '../support/tmp.js';
import { until } from '../support/until.js';
import { cpuMs, machine, quantile, rssMiB } from './process-cost.js';
import { answer, definitions, EDITED, GROUPS } from './traffic/shape.js';
import type { Fan, FanReport } from './traffic/xds-clients.js';

const WORKSPACE = '/api/v1/workspaces/default';
const WITHIN_MS = 120_000;

const { values } = parseArgs({
  options: {
    routes: { type: 'string', default: '1000,5000,10000' },
    runs: { type: 'string', default: '5' },
    edits: { type: 'string', default: '200' },
  },
});
const runs = Number(values.runs);
const edits = Number(values.edits);

interface Start {
  readonly ready: number;
  readonly sent: number;
  readonly cpu: number;
  readonly rss: number;
}

/** A controller that can be started again on what it left. */
class Restartable {
  private child: Child | undefined;
  private token = '';

  private constructor(
    private readonly env: NodeJS.ProcessEnv,
    private readonly adminUrl: string,
    private readonly adsPort: number,
  ) {}

  static async make(): Promise<Restartable> {
    const [adminPort, adsPort] = [await freePort(), await freePort()];
    const env = {
      ...process.env,
      MALLOC_ARENA_MAX: '2', // as `paifang up` and deploy/ start it
      PAIFANG_DATA_DIR: tmpDir(),
      PAIFANG_DATABASE_URL: await (await testPostgres({})).database(),
      PAIFANG_ADMIN_PORT: String(adminPort),
      PAIFANG_ADS_PORT: String(adsPort),
    };
    const made = new Restartable(env, `http://127.0.0.1:${adminPort}`, adsPort);
    await made.start();
    made.token = /Admin token, shown this once: (\S+)/.exec(made.child?.output() ?? '')?.[1] ?? '';
    return made;
  }

  async start(): Promise<Start> {
    const node = fork(join(import.meta.dirname, 'traffic/xds-clients.js'));
    onCleanup(async () => void node.kill());
    const began = performance.now();
    const main = join(rootDir(), 'dist/main.js');
    this.child = startChild(process.execPath, ['--max-semi-space-size=8', main, 'controller'], { env: this.env });
    const child = this.child;
    const isReady = async () => (await fetch(`${this.adminUrl}/readyz`).catch(() => undefined))?.ok;
    await until(isReady, { within: WITHIN_MS, what: 'a ready controller' });
    const ready = performance.now() - began;
    if (this.token === '') return { ready, sent: Number.NaN, cpu: cpuMs(child.pid), rss: rssMiB(child.pid) };
    await everything(node, {
      address: `127.0.0.1:${this.adsPort}`,
      fleet: 'default/default',
      clients: 1,
      tables: GROUPS,
    });
    const sent = performance.now() - began;
    node.kill();
    return { ready, sent, cpu: cpuMs(child.pid), rss: rssMiB(child.pid) };
  }

  async kill(): Promise<void> {
    this.child?.process.kill('SIGKILL');
    await this.child?.exited;
  }

  async admin(method: string, path: string, body: unknown, ifMatch?: string): Promise<Response> {
    const response = await fetch(`${this.adminUrl}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${this.token}`,
        'content-type': 'application/json',
        ...(ifMatch !== undefined && { 'if-match': ifMatch }),
      },
      body: JSON.stringify(body),
    });
    if (!response.ok && response.status !== 409)
      throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return response;
  }
}

/** Resolves when the node has been sent all its route tables. */
function everything(node: ChildProcess, fan: Fan): Promise<void> {
  return new Promise((resolve, reject) => {
    node.once('message', (report: FanReport) =>
      report.kind === 'ready' ? resolve() : reject(new Error(`the node lost its stream: ${report.reason}`)),
    );
    node.send(fan);
  });
}

async function fill(controller: Restartable, routes: number): Promise<void> {
  await controller.admin('POST', '/api/v1/workspaces', { name: 'default' });
  const fleets = [{ name: 'default', listeners: [{ name: 'http', address: '127.0.0.1', port: await freePort() }] }];
  await controller.admin('POST', `${WORKSPACE}/changesets`, {
    definitions: { fleets, ...definitions(routes, await freePort()) },
  });
  const edited = { name: EDITED.name, group: EDITED.group, match: { path: EDITED.path } };
  for (let n = 1; n <= edits; n++)
    await controller.admin(
      'PUT',
      `${WORKSPACE}/apis/${EDITED.name}?publish=true`,
      { ...edited, upstream: answer(n) },
      '*',
    );
}

console.log(`startup: ${GROUPS} groups, ${edits + 1} releases in the database, ${runs} starts after kill -9`);
console.log(`machine: ${machine()}`);
for (const routes of values.routes.split(',').map(Number)) {
  try {
    const controller = await Restartable.make();
    await fill(controller, routes);
    const starts: Start[] = [];
    for (let run = 0; run < runs; run++) {
      await controller.kill();
      starts.push(await controller.start());
    }
    const column = (of: keyof Start) => starts.map((start) => start[of]);
    const told = (of: keyof Start) =>
      `p50 ${quantile(column(of), 0.5).toFixed(0)}, max ${quantile(column(of), 1).toFixed(0)}`;
    console.log(`\n${routes} APIs`);
    console.log(`  ready               ${told('ready')} ms`);
    console.log(`  a node has all      ${told('sent')} ms`);
    console.log(`  CPU until then      ${told('cpu')} ms`);
    console.log(`  memory then         ${told('rss')} MiB`);
    console.log(`  machine             ${machine()}`);
  } finally {
    await closeScope();
  }
}
