import { closeSync, openSync, readdirSync, readFileSync, writeSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { parseDigestLine } from '../../src/core/accesslog/digest.js';
import { LogAgent } from '../../src/edge/log/log-agent.js';
import { LogCollector } from '../../src/logs/collector.js';
import { type Child, startChild } from '../support/child.js';
import { onCleanup } from '../support/cleanup.js';
import { startEnvoy } from '../support/envoy.js';
import { freePort } from '../support/ports.js';
import { tmpDir } from '../support/tmp.js';
import { until } from '../support/until.js';
import { embedded, opened } from './logs/embedded.js';
import { accessLine } from './logs/lines.js';

/** Moments at which the agent is killed. */
const MOMENTS = [
  'before its batch is stored',
  'after that, before the answer',
  'after the answer',
  'as the digest grows',
] as const;
type Moment = (typeof MOMENTS)[number];

it('stores and digests every line once, over kill -9 at any moment', { timeout: 180_000 }, async () => {
  const dir = tmpDir();
  const log = join(dir, 'access.log');
  const store = await opened(await embedded(join(dir, 'store')), { exclusive: true });
  const collector = new LogCollector(store);
  let writer = openSync(log, 'a');
  let agent: Child | undefined;
  let killAt: Moment | undefined;
  let kills = 0;
  let reopened = 0;

  const kill = (moment: Moment) => {
    if (killAt !== moment || !agent) return;
    killAt = undefined;
    kills++;
    agent.process.kill('SIGKILL');
  };
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    } catch {
      return; // the agent was killed while it sent
    }
    if (request.url === '/reopen') {
      closeSync(writer);
      writer = openSync(log, 'a');
      reopened++;
      return response.end();
    }
    const { offset, ...origin } = JSON.parse(String(request.headers['x-batch']));
    kill('before its batch is stored');
    const receipt = await collector.collect({ ...origin, offset: BigInt(offset), lines: Buffer.concat(chunks) });
    kill('after that, before the answer');
    response.end(JSON.stringify({ storedTo: Number(receipt.storedTo), unparsed: receipt.unparsed }));
    response.once('close', () => kill('after the answer'));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onCleanup(() => {
    server.closeAllConnections();
    server.close();
    closeSync(writer);
  });

  const start = async () => {
    const options = {
      accessLog: log,
      checkpoint: join(dir, 'checkpoint.json'),
      digest: { path: join(dir, 'mosng-digest.log'), maxBytes: 400_000, keep: 100 },
      node: 'node-1',
      cluster: 'killed/main',
      rotation: { maxBytes: 700_000, keep: 100, hardMaxBytes: 1e9 },
      collector: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    };
    const child = join(import.meta.dirname, 'logs/agent-child.mjs');
    const started = startChild(process.execPath, [child, JSON.stringify(options)]);
    agent = started;
    await until(() => started.output().includes('ready'), { what: 'the agent to start' });
    return started;
  };
  const digest = () =>
    readdirSync(dir)
      .filter((name) => name.startsWith('mosng-digest.log'))
      .map((name) => readFileSync(join(dir, name), 'utf8'))
      .join('');

  let written = 0;
  const write = (count: number) => {
    for (const end = written + count; written < end; written++) {
      const line = accessLine(`w${written}`, { workspace: 'killed' });
      const cut = (written * 7919) % line.length; // written in two parts, as a full buffer of Envoy's would be
      writeSync(writer, line.slice(0, cut));
      writeSync(writer, line.slice(cut));
    }
  };

  for (let round = 0; round < 12; round++) {
    const child = await start();
    const moment = MOMENTS[round % MOMENTS.length] as Moment;
    let armed = false;
    let gone = false;
    child.exited.then(() => {
      gone = true;
    });
    // Traffic goes on until the kill has come, and while nobody runs.
    const until1500 = written + 1500;
    let before = 0;
    await until(
      async () => {
        write(100);
        await turn();
        if (!armed && written > until1500) {
          armed = true;
          killAt = moment;
          before = digest().length;
        }
        if (armed && digest().length > before) kill('as the digest grows');
        return gone;
      },
      { within: 20_000, what: `the kill ${moment}` },
    );
    write(100);
  }
  const last = await start();
  const allThere = () => collector.stats().lines >= written && digest().split('\n').length - 1 === written;
  await until(() => reopened > 0, { within: 30_000, what: 'a rotation' });
  await until(allThere, { within: 60_000, what: `${written} lines` });
  await last.stop();

  expect(kills).toBe(12);
  expect(collector.stats()).toMatchObject({ lines: written, unparsed: 0, refused: 0 });
  expect(await store.counts('killed')).toEqual({ lines: written, unparsed: 0 });
  const ids = digest()
    .split('\n')
    .slice(0, -1)
    .map((line) => parseDigestLine(line, 0)?.traceId);
  expect(new Set(ids).size).toBe(written);
  expect(ids).toHaveLength(written);
});

it('has Envoy itself rotate its log under load and loses no line', { timeout: 60_000 }, async () => {
  const dir = tmpDir();
  const port = await freePort();
  const envoy = await startEnvoy({
    cwd: dir,
    bootstrapYaml: bootstrap(port),
    args: ['--file-flush-interval-msec', '50'],
  });
  const shipped: string[] = [];
  const agent = await LogAgent.start({
    accessLog: join(dir, 'access.log'),
    checkpoint: join(dir, 'checkpoint.json'),
    digest: { path: join(dir, 'mosng-digest.log'), maxBytes: 1 << 30, keep: 1 },
    node: 'node-1',
    cluster: 'shop/main',
    ship: async ({ offset, lines }) => {
      shipped.push(...lines.toString().split('\n').slice(0, -1));
      return { storedTo: offset + lines.length, unparsed: 0 };
    },
    reopenLogs: async () => void (await envoy.admin('/reopen_logs', 'POST')),
    rotation: { maxBytes: 10_000, keep: 100, hardMaxBytes: 1e9 },
    utcOffsetMinutes: () => 0,
  });
  onCleanup(() => agent.close());
  let sent = 0;
  const rotations = () => readdirSync(dir).filter((name) => /^access\.log\.\d+$/.test(name)).length;
  await until(
    async () => {
      const ids = Array.from({ length: 20 }, () => `e${sent++}`);
      await Promise.all(ids.map((id) => fetch(`http://127.0.0.1:${port}/${id}`).then((r) => r.text())));
      return rotations() >= 4;
    },
    { within: 30_000, what: 'four rotations' },
  );
  await until(() => shipped.length === sent, { what: `${sent} lines` });
  const paths = shipped.map((line) => JSON.parse(line).path as string);
  expect(new Set(paths).size).toBe(sent);
  await until(() => agent.stats().digestLines === sent, { what: 'digest lines' });
  expect(agent.stats()).toMatchObject({ unparsed: 0, lostBytes: 0 });
});

function bootstrap(port: number): object {
  const type = (name: string) => ({ '@type': `type.googleapis.com/envoy.extensions.${name}` });
  const address = (port_value: number) => ({ socket_address: { address: '127.0.0.1', port_value } });
  const json_format = {
    path: '%REQ(:PATH)%',
    method: '%REQ(:METHOD)%',
    response_code: '%RESPONSE_CODE%',
    start_time: '%START_TIME%',
  };
  return {
    admin: { address: address(0) },
    static_resources: {
      listeners: [
        {
          address: address(port),
          filter_chains: [
            {
              filters: [
                {
                  name: 'hcm',
                  typed_config: {
                    ...type('filters.network.http_connection_manager.v3.HttpConnectionManager'),
                    stat_prefix: 'test',
                    access_log: [
                      {
                        name: 'file',
                        typed_config: {
                          ...type('access_loggers.file.v3.FileAccessLog'),
                          path: 'access.log',
                          log_format: { json_format },
                        },
                      },
                    ],
                    http_filters: [{ name: 'router', typed_config: type('filters.http.router.v3.Router') }],
                    route_config: {
                      virtual_hosts: [
                        {
                          name: 'all',
                          domains: ['*'],
                          routes: [{ match: { prefix: '/' }, direct_response: { status: 200 } }],
                        },
                      ],
                    },
                  },
                },
              ],
            },
          ],
        },
      ],
    },
  };
}
