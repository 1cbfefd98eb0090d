import { chmodSync, existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { AdminClient } from './admin-client.js';

/** What the demo's printed requests need. */
export interface Demo {
  readonly accessKey: string;
  /** File that holds the App's secret key, readable by its owner only. */
  readonly secretFile: string;
}

const WORKSPACE = '/api/v1/workspaces/default';
const ACCESS_KEY = 'demo-app-key';

/** The fleet that `paifang up` runs an Envoy for. */
export function fleet(host: string, port: number) {
  return {
    name: 'default',
    description: 'The Envoy of `paifang up`.',
    listeners: [{ name: 'http', address: host, port }],
  };
}

/** The demo's objects. Hosts are names that reach this machine without any set-up. */
export function demoDefinitions(backendPort: number, gateway: { host: string; port: number }) {
  return {
    fleets: [fleet(gateway.host, gateway.port)],
    clusters: [
      {
        name: 'demo-backend',
        description: 'The demo backend of `paifang up`.',
        endpoints: [{ host: '127.0.0.1', port: backendPort }],
      },
    ],
    groups: [
      { name: 'demo', description: 'A group to try things with.', hosts: ['demo.localhost', 'localhost', '127.0.0.1'] },
    ],
    apis: [
      {
        name: 'demo-hello',
        description: 'Open to everyone.',
        group: 'demo',
        match: { path: '/hello/{name}', methods: ['GET'] },
        upstream: { kind: 'cluster', cluster: 'demo-backend' },
        resultCodeHeader: true,
      },
      {
        name: 'demo-orders',
        description: 'Only for Apps that were granted it, with a signature.',
        group: 'demo',
        match: { path: '/orders/*' },
        auth: { type: 'signature' },
        upstream: { kind: 'cluster', cluster: 'demo-backend' },
        resultCodeHeader: true,
      },
      {
        name: 'demo-weather',
        description: 'A mock: no backend is asked.',
        group: 'demo',
        match: { path: '/weather', methods: ['GET'] },
        upstream: { kind: 'mock', body: '{"city":"Hangzhou","sky":"clear","celsius":21}' },
      },
      {
        name: 'demo-status',
        description: "Answers with the status asked for: see how a backend's status becomes a result code.",
        group: 'demo',
        match: { path: '/status/{code}', methods: ['GET'] },
        upstream: { kind: 'cluster', cluster: 'demo-backend' },
        resultCodeHeader: true,
      },
      {
        name: 'demo-slow',
        description: 'Gives up after 300 ms.',
        group: 'demo',
        match: { path: '/delay/{ms}', methods: ['GET'] },
        upstream: { kind: 'cluster', cluster: 'demo-backend' },
        timeoutMs: 300,
      },
    ],
    apps: [{ name: 'demo-app', description: 'The caller of the demo.', grants: { apis: ['demo-orders'] } }],
  };
}

/**
 * Makes the fleet, and in an empty workspace the demo. On later starts only what depends on the settings of this run (ports)
 * is brought up to date; what people made of the rest stays. Returns what the printed requests need, if the demo is there.
 */
export async function ensureDemo(
  admin: AdminClient,
  options: { dataDir: string; backendPort: number; host: string; port: number; demo: boolean },
): Promise<Demo | undefined> {
  const secretFile = join(options.dataDir, 'demo-app.key');
  const existing = await admin.find(`${WORKSPACE}`);
  if (!existing) await admin.post('/api/v1/workspaces', { name: 'default' });
  const { items } = (await admin.get(`${WORKSPACE}/fleets`)) as { items: unknown[] };
  const definitions = demoDefinitions(options.backendPort, options);
  if (items.length === 0) {
    const first = options.demo ? definitions : { fleets: definitions.fleets };
    await admin.post(`${WORKSPACE}/changesets`, { message: 'First start', definitions: first });
    if (!options.demo) return undefined;
    const credential = (await admin.post(`${WORKSPACE}/apps/demo-app/credentials`, { accessKey: ACCESS_KEY })) as {
      secretKey: string;
    };
    writeFileSync(secretFile, `${credential.secretKey}\n`, { mode: 0o600 });
    chmodSync(secretFile, 0o600);
  } else {
    await follow(admin, options, definitions);
  }
  return existsSync(secretFile) ? { accessKey: ACCESS_KEY, secretFile } : undefined;
}

/** Publishes the ports of this run where they differ from those of the last one. */
async function follow(
  admin: AdminClient,
  options: { host: string; port: number; backendPort: number },
  definitions: ReturnType<typeof demoDefinitions>,
): Promise<void> {
  const current = (await admin.find(`${WORKSPACE}/fleets/default`)) as
    | { spec: { listeners: { name: string; address?: string; port: number }[] } }
    | undefined;
  const backend = (await admin.find(`${WORKSPACE}/clusters/demo-backend`)) as
    | { spec: { endpoints: { host: string; port: number }[] } }
    | undefined;
  const changed: { fleets?: unknown[]; clusters?: unknown[] } = {};
  if (current) {
    const http = current.spec.listeners.find((listener) => listener.name === 'http');
    if (http && (http.port !== options.port || (http.address ?? '0.0.0.0') !== options.host)) {
      const listeners = current.spec.listeners.map((listener) =>
        listener === http ? { ...http, address: options.host, port: options.port } : listener,
      );
      changed.fleets = [{ ...current.spec, listeners }];
    }
  }
  const endpoint = backend?.spec.endpoints[0];
  if (
    backend &&
    backend.spec.endpoints.length === 1 &&
    endpoint?.host === '127.0.0.1' &&
    endpoint.port !== options.backendPort
  )
    changed.clusters = definitions.clusters.map((cluster) => ({ ...backend.spec, endpoints: cluster.endpoints }));
  if (Object.keys(changed).length > 0)
    await admin.post(`${WORKSPACE}/changesets`, { message: 'Ports of `paifang up` changed', definitions: changed });
}
