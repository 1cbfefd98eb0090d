import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { AccessLine } from '../../src/core/accesslog/record.js';
import type { ClusterIr } from '../../src/core/ir/cluster.js';
import type { FleetIr } from '../../src/core/ir/fleet.js';
import type { GroupIr } from '../../src/core/ir/group.js';
import { type RunningEnvoy, startEnvoy } from './envoy.js';
import { type Answer, type Ask, httpClient } from './http-client.js';
import { fleetIr } from './ir.js';
import { freePort } from './ports.js';
import { type StaticOptions, staticBootstrap } from './static-gateway.js';
import { tmpDir } from './tmp.js';
import { until } from './until.js';

/** An Envoy that serves resolved definitions, without control plane. */
export interface TestGateway {
  readonly port: number;
  readonly envoy: RunningEnvoy;
  readonly dir: string;
  ask(path: string, ask?: Ask): Promise<Answer>;
  /** The log line of an answered request, by its id. */
  line(answer: Answer): Promise<AccessLine>;
  /** All lines once there are at least `count`. */
  lines(count: number): Promise<AccessLine[]>;
}

export async function startGateway(
  {
    groups,
    clusters = [],
    fleet = {},
  }: { groups: readonly GroupIr[]; clusters?: readonly ClusterIr[]; fleet?: Partial<FleetIr> },
  options: StaticOptions & { readonly dir?: string } = {},
): Promise<TestGateway> {
  const port = await freePort();
  const dir = options.dir ?? tmpDir();
  const listeners = [{ name: 'http', address: '127.0.0.1', port }];
  const gateway = { fleet: fleetIr({ listeners, ...fleet }), groups, clusters };
  const envoy = await startEnvoy({
    bootstrapYaml: staticBootstrap(gateway, options),
    cwd: dir,
    // Envoy writes its log every ten seconds unless the buffer is full; a test need not wait so long.
    args: ['--file-flush-interval-msec', '20'],
  });
  const ask = httpClient(port);
  await until(() => ask('/', { headers: { host: 'nobody.example' } }), { what: 'the listener to answer' });
  const lines = async (count: number) =>
    until(
      () => {
        const file = join(dir, gateway.fleet.accessLogPath);
        const all = existsSync(file) ? readFileSync(file, 'utf8').trimEnd().split('\n') : [];
        return all.length >= count && all.map((line) => JSON.parse(line) as AccessLine);
      },
      { what: `${count} log lines` },
    );
  const line = async (answer: Answer) => {
    const id = answer.headers[gateway.fleet.headers.requestId];
    return until(async () => (await lines(1)).find((entry) => entry.request_id === id), { what: `log line of ${id}` });
  };
  return { port, envoy, dir, ask, line, lines };
}
