import { beforeAll, expect, it } from 'vitest';
import { paifang, paifangJson } from '../support/cli.js';
import { freePort } from '../support/ports.js';
import { type Stack, startStack } from '../support/stack.js';

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
  const nobody = await paifang(['drill', 'controller-outage', '--edge', edge]);
  expect([nobody.status, nobody.stderr]).toEqual([4, expect.stringContaining('No edge answers')]);
});
