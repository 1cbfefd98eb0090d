import { beforeAll, expect, it, onTestFinished } from 'vitest';
import { paifang, paifangJson } from '../support/cli.js';
import { freePort } from '../support/ports.js';
import { type Stack, startStack } from '../support/stack.js';
import { until } from '../support/until.js';

const HOST = 'drill.example.com';

let stack: Stack;
let edge: string;

beforeAll(async () => {
  const toolPort = await freePort();
  edge = `http://127.0.0.1:${toolPort}`;
  stack = await startStack({
    definitions: {
      groups: [{ name: 'g', hosts: [HOST] }],
      apis: [{ name: 'hello', group: 'g', match: { path: '/hello' }, upstream: { kind: 'mock', body: 'hello' } }],
    },
    env: { PAIFANG_EDGE_TOOL_PORT: String(toolPort) },
  });
}, 120_000);

interface Report {
  readonly phase: string;
  readonly config: { source: string };
  readonly coldStart: { kind: string; resources?: Record<string, number> };
  readonly handBackMs?: number;
  readonly probes: { answered: number; failed: number };
  readonly lost: boolean;
}

it('takes the controller away from one edge, and tells that nothing was lost', async () => {
  const probe = ['--probe', `http://127.0.0.1:${stack.gatewayPort}/hello`, '--host', HOST];
  const report = await paifangJson<Report>([
    ...['drill', 'controller-outage', '--seconds', '2', '--edge', edge],
    ...probe,
  ]);
  expect(report).toMatchObject({ phase: 'done', config: { source: 'controller' }, lost: false, probes: { failed: 0 } });
  expect(report.probes.answered).toBeGreaterThan(0);
  expect(report.coldStart).toMatchObject({
    kind: 'served',
    resources: { Listener: 1, RouteConfiguration: 1, ScopedRouteConfiguration: 1 },
  });
  expect(report.handBackMs).toBeLessThan(60_000);
});

it('a controller that is connected and says nothing is seen, and is not taken away', async () => {
  const healthz = async () =>
    (await (await fetch(`${edge}/healthz`)).json()) as {
      readonly status: string;
      readonly ads: { readonly kind: string; readonly since?: string };
      readonly config: { readonly ageSeconds: number };
    };
  const silentSeconds = async () => {
    const text = await (await fetch(`${edge}/metrics`)).text();
    return Number(/^paifang_edge_controller_silent_seconds (\S+)$/m.exec(text)?.[1]);
  };
  expect([(await healthz()).ads, await silentSeconds()]).toEqual([{ kind: 'synced' }, 0]);
  const { controller } = stack.pids;
  process.kill(controller, 'SIGSTOP');
  onTestFinished(() => void process.kill(controller, 'SIGCONT'));
  // The drill asks before it begins, however lately the controller was heard.
  const said = await paifang(['drill', 'controller-outage'], {
    env: { PAIFANG_EDGE_TOOL_PORT: new URL(edge).port },
  });
  expect([said.status, said.stderr]).toEqual([3, expect.stringMatching(/connected but silent since 20\S+Z/)]);
  const { status, ads, config } = await healthz();
  expect([status, ads.kind]).toEqual(['UP', 'silent']);
  const silentMs = Date.now() - Date.parse(ads.since as string);
  expect(config.ageSeconds).toBeGreaterThanOrEqual(2);
  expect(config.ageSeconds * 1000).toBeLessThanOrEqual(silentMs + 1000);
  expect(await silentSeconds()).toBeGreaterThan(2);
  process.kill(controller, 'SIGCONT');
  await until(async () => (await healthz()).ads.kind === 'synced', { what: 'the controller again' });
  expect([(await healthz()).config.ageSeconds, await silentSeconds()]).toEqual([0, 0]);
  // And it is seen when nobody asks.
  process.kill(controller, 'SIGSTOP');
  await until(async () => (await healthz()).ads.kind === 'silent', { within: 20_000, what: 'that it is silent' });
  process.kill(controller, 'SIGCONT');
  await until(async () => (await healthz()).ads.kind === 'synced', { what: 'the controller again' });
});

it('while one is under way there is no second, and the edge says that the controller is away', async () => {
  const start = (seconds: string) =>
    fetch(`${edge}/tool/drill/controller-outage?seconds=${seconds}`, { method: 'POST' });
  expect((await start('0')).status).toBe(400);
  expect((await start('600')).status).toBe(202);
  expect((await start('1')).status).toBe(409);
  const said = await paifang(['drill', 'controller-outage', '--edge', edge]);
  expect([said.status, said.stderr]).toEqual([3, expect.stringContaining('A drill is under way')]);
  // The edge ends although it is in the middle of it.
  await stack.stopEdge();
  const nobody = await paifang(['drill', 'controller-outage'], {
    env: { PAIFANG_EDGE_TOOL_PORT: new URL(edge).port },
  });
  expect([nobody.status, nobody.stderr]).toEqual([
    4,
    expect.stringContaining(`No edge answers at ${edge} (connection refused)`),
  ]);
});
