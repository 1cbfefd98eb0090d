import type { ServerResponse } from 'node:http';
import { expect, it } from 'vitest';
import { drainEnvoy } from '../../src/up/envoy.js';
import { startBackend } from '../support/backend.js';
import { httpClient } from '../support/http-client.js';
import { freePort } from '../support/ports.js';
import { startStack } from '../support/stack.js';
import { until } from '../support/until.js';

it('before Envoy is stopped, running requests end and new connections are not taken', async () => {
  let held: ServerResponse | undefined;
  const backend = await startBackend('slow', (_, response) => {
    held = response;
    return true;
  });
  const stack = await startStack({
    definitions: {
      clusters: [{ name: 'c', endpoints: [{ host: '127.0.0.1', port: backend.port }] }],
      groups: [{ name: 'g', hosts: ['up.example.com'] }],
      apis: [
        {
          name: 'slow',
          group: 'g',
          match: { path: '/slow' },
          upstream: { kind: 'cluster', cluster: 'c' },
          timeoutMs: 60_000,
        },
      ],
    },
    edge: false,
  });
  const answer = stack.ask('/slow', { headers: { host: 'up.example.com' } });
  await until(() => held, { what: 'the request at the backend' });
  let drained = false;
  const draining = drainEnvoy(stack.envoyAdminPort).then(() => {
    drained = true;
  });
  await until(
    () =>
      httpClient(stack.gatewayPort)('/', {}).then(
        () => false,
        () => true,
      ),
    { what: 'the listener to be gone' },
  );
  expect(drained).toBe(false);
  held?.end('done');
  expect(await answer).toMatchObject({ status: 200, body: 'done' });
  await draining;
}, 120_000);

it('an Envoy that does not answer holds nobody up', async () => {
  await drainEnvoy(await freePort());
});
