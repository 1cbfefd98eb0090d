import { beforeAll, expect, it } from 'vitest';
import { type Stack, startStack, WORKSPACE } from '../support/stack.js';
import { until } from '../support/until.js';

const HOST = 'shop.example.com';
const api = (auth?: object) => ({
  name: 'hello',
  group: 'shop',
  match: { path: '/hello' },
  upstream: { kind: 'mock', body: 'hello' },
  ...(auth && { auth }),
});

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({ definitions: { groups: [{ name: 'shop', hosts: [HOST] }], apis: [api()] } });
});

const nodes = async () => (await stack.admin('GET', `${WORKSPACE}/nodes`)).body.items;
const status = async () => (await stack.ask('/hello', { headers: { host: HOST } })).status;
const publish = async (auth?: object) =>
  (await stack.admin('POST', `${WORKSPACE}/changesets?wait=acked`, { definitions: { apis: [api(auth)] } })).body
    .receipt;

it('an Envoy and its edge are told apart, paired, and both waited for; an edge that ends is not', async () => {
  const inStep = async () => {
    const found = await nodes();
    return found.length === 2 && found.every((n: { state: string }) => n.state === 'in-step') && found;
  };
  const [envoy, edge] = await until(inStep, { what: 'both in step' });
  expect(envoy).toMatchObject({ node: 'node-1', role: 'envoy', beside: 'node-1-edge' });
  expect(edge).toMatchObject({ node: 'node-1-edge', role: 'edge', beside: 'node-1' });

  // A new policy goes to the edge, the route that names it to Envoy.
  const signed = await publish({ type: 'signature' });
  expect(signed).toMatchObject({ acked: true, timedOut: false });
  const types = signed.nodes.map((n: { types: { type: string }[] }) => n.types.map(({ type }) => type));
  // An edge also keeps what its Envoy should have, for the case that no controller answers.
  expect(types).toEqual([['RouteConfiguration'], ['RouteConfiguration', 'Policy']]);
  expect(await status()).toBe(400);
  // The policy stays for a while for requests on their way; nobody waits for that, and nobody is stuck by it.
  const open = await publish({ type: 'none' });
  expect(open).toMatchObject({ acked: true, timedOut: false });
  expect(await status()).toBe(200);
  expect((await nodes()).map((n: { state: string }) => n.state)).toEqual(['in-step', 'in-step']);

  await stack.stopEdge();
  await until(async () => (await nodes())[1].state === 'away', { what: 'the edge is away' });
  expect(await publish({ type: 'signature' })).toMatchObject({ acked: true, timedOut: false });
});
