import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { beforeAll, describe, expect, it } from 'vitest';
import { type Backend, startBackend } from '../support/backend.js';
import { selfSigned } from '../support/certificate.js';
import { onCleanup } from '../support/cleanup.js';
import { type Stack, startStack, WORKSPACE } from '../support/stack.js';
import { until } from '../support/until.js';

// The changes an operator fears, each as one change set at the front door, with requests running before, through and after
// it on a real Envoy with two workers. What is answered is checked, not only that something is.

const APIS = 12;
const paths = Array.from({ length: APIS }, (_, n) => `/service-${n}`);

let stack: Stack;
let blue: Backend;
let green: Backend;

const cluster = (name: string, port: number, more: object = {}) => ({
  name,
  endpoints: [{ host: '127.0.0.1', port }],
  ...more,
});
const api = (name: string, group: string, path: string, to: string) => ({
  name,
  group,
  match: { path },
  upstream: { kind: 'cluster', cluster: to },
});
const apisOf = (group: string, to: string, prefix = group) =>
  paths.map((path, n) => api(`${prefix}-${n}`, group, path, to));

/** A group with its own APIs and cluster. */
const shop = (name: string, port: number, hosts = [`${name}.test`]) => ({
  clusters: [cluster(name, port)],
  groups: [{ name, hosts }],
  apis: apisOf(name, name),
});

type Definitions = Readonly<Record<string, readonly { readonly name: string; readonly [field: string]: unknown }[]>>;
/** All definitions there are, as a file under version control would hold them. */
const file = new Map<string, Map<string, { readonly name: string }>>();

beforeAll(async () => {
  [blue, green] = [await startBackend('blue'), await startBackend('green')];
  const base = shop('base', blue.port);
  stack = await startStack({ definitions: base, edge: false, concurrency: 2 });
  write(base);
  write({ fleets: [(await stack.admin('GET', `${WORKSPACE}/fleets/default`)).body.spec] });
}, 90_000);

function write(definitions: Definitions): void {
  for (const [kind, objects] of Object.entries(definitions)) {
    const held = file.get(kind) ?? new Map();
    file.set(kind, held);
    for (const object of objects) held.set(object.name, object);
  }
}

/** Changes the file, publishes all of it as one change set, and resolves when every node has that in force. */
async function change(definitions: Definitions, gone: Definitions = {}): Promise<void> {
  write(definitions);
  for (const [kind, objects] of Object.entries(gone)) for (const { name } of objects) file.get(kind)?.delete(name);
  const all = Object.fromEntries([...file].map(([kind, objects]) => [kind, [...objects.values()]]));
  const path = `${WORKSPACE}/changesets?wait=acked&timeout=30s`;
  const { status, body } = await stack.admin('POST', path, { prune: true, definitions: all });
  expect({ status, body }).toMatchObject({ status: 200, body: { receipt: { acked: true, timedOut: false } } });
}

interface Told {
  readonly asked: number;
  readonly failed: readonly string[];
  readonly by: Readonly<Record<string, number>>;
}

/** Requests to every path of `hosts`, eight at a time, until `work` is done and each host was asked some times after it. */
async function under(hosts: readonly string[], work: () => Promise<void>): Promise<Told> {
  let asked = 0;
  let after = 0;
  let done = false;
  const failed: string[] = [];
  const by: Record<string, number> = {};
  const enough = hosts.length * APIS;
  const worker = async () => {
    while (!done || after < enough) {
      const n = asked++;
      if (done) after++;
      const host = hosts[n % hosts.length] as string;
      const path = paths[Math.floor(n / hosts.length) % APIS] as string;
      const answer = await stack.ask(path, { headers: { host } }).catch((error: Error) => error);
      if (answer instanceof Error) failed.push(`${host}${path}: ${answer.message}`);
      else if (answer.status !== 200)
        failed.push(
          `${host}${path}: ${answer.status} ${answer.headers['x-gateway-result-code']} ${answer.body.slice(0, 80)}`,
        );
      else {
        const { backend, path: seen } = JSON.parse(answer.body);
        by[backend] = (by[backend] ?? 0) + 1;
        if (seen !== path) failed.push(`${host}${path} reached the backend as ${seen}`);
      }
    }
  };
  const workers = Array.from({ length: 8 }, worker);
  await until(() => asked > enough, { what: 'requests on their way' });
  try {
    await work();
  } finally {
    done = true;
  }
  await Promise.all(workers);
  return { asked, failed, by };
}

/** Whom the next request reaches; the result code when it is nobody. */
async function reached(host: string): Promise<unknown> {
  const answer = await stack.ask(paths[0] as string, { headers: { host } });
  return answer.status === 200 ? JSON.parse(answer.body).backend : answer.headers['x-gateway-result-code'];
}

describe('no request fails while', { timeout: 90_000 }, () => {
  it('a host is new: served from its first request on, others undisturbed', async () => {
    const { failed } = await under(['base.test'], async () => {
      for (let n = 0; n < 5; n++) {
        await change(shop(`new-${n}`, green.port));
        expect(await reached(`new-${n}.test`)).toBe('green');
      }
    });
    expect(failed).toEqual([]);
  });

  it('a host moves to another group, and back, and changes places with a host of that group', async () => {
    await change(shop('left', blue.port, ['left.test', 'moving.test']));
    await change(shop('right', green.port));
    const hosts = (left: string[], right: string[]) => ({
      groups: [
        { name: 'left', hosts: left },
        { name: 'right', hosts: right },
      ],
    });
    const { failed, by } = await under(['left.test', 'moving.test', 'right.test'], async () => {
      expect(await reached('moving.test')).toBe('blue');
      await change(hosts(['left.test'], ['right.test', 'moving.test']));
      expect(await reached('moving.test')).toBe('green');
      await change(hosts(['left.test', 'moving.test'], ['right.test']));
      await change(hosts(['right.test', 'moving.test'], ['left.test']));
      expect([await reached('left.test'), await reached('right.test')]).toEqual(['green', 'blue']);
    });
    expect(failed).toEqual([]);
    expect(Object.keys(by).sort()).toEqual(['blue', 'green']);
  });

  it('a group is split in two, and the halves are joined again', async () => {
    await change(shop('whole', blue.port, ['one.test', 'two.test']));
    const hosts = ['one.test', 'two.test'];
    const { failed } = await under(hosts, async () => {
      await change({
        clusters: [cluster('half', green.port)],
        groups: [
          { name: 'whole', hosts: ['one.test'] },
          { name: 'half', hosts: ['two.test'] },
        ],
        apis: apisOf('half', 'half'),
      });
      expect([await reached('one.test'), await reached('two.test')]).toEqual(['blue', 'green']);
      await change({ groups: [{ name: 'whole', hosts }] }, shop('half', 0));
      expect(await reached('two.test')).toBe('blue');
    });
    expect(failed).toEqual([]);
  });

  it('a cluster goes over to TLS, to another CA, and back to plain text', async () => {
    const servers = await Promise.all(['first', 'second'].map(tlsBackend));
    await change(shop('secure', blue.port));
    const { failed, by } = await under(['secure.test'], async () => {
      for (const { port, caPem, sni } of servers) {
        await change({ clusters: [cluster('secure', port, { tls: { caPem, sni } })] });
        expect(await reached('secure.test')).toBe(sni);
      }
      await change({ clusters: [cluster('secure', blue.port)] });
      expect(await reached('secure.test')).toBe('blue');
    });
    expect(failed).toEqual([]);
    expect(Object.keys(by).sort()).toEqual(['blue', 'first.internal', 'second.internal']);
  });

  it('its neighbour cluster is emptied and filled, and its own is emptied once nothing leads there', async () => {
    await change({
      ...shop('draining', blue.port),
      clusters: [cluster('draining', blue.port), cluster('fresh', green.port)],
    });
    await change(shop('neighbour', blue.port));
    const { failed } = await under(['draining.test'], async () => {
      await change({ clusters: [{ name: 'neighbour', endpoints: [] }] });
      expect(await reached('neighbour.test')).toBe('4000');
      await change({ clusters: [{ name: 'draining', endpoints: [] }], apis: apisOf('draining', 'fresh') });
      expect(await reached('draining.test')).toBe('green');
      await change({ clusters: [cluster('neighbour', blue.port), cluster('draining', blue.port)] });
      expect(await reached('neighbour.test')).toBe('blue');
      await change({ clusters: [{ name: 'fresh', endpoints: [] }], apis: apisOf('draining', 'draining') });
      expect(await reached('draining.test')).toBe('blue');
    });
    expect(failed).toEqual([]);
  });

  it('everything is renamed at once: groups, APIs and clusters', async () => {
    await change(shop('old', blue.port, ['brand.test', 'brand.example']));
    let before = 'old';
    const { failed } = await under(['brand.test', 'brand.example'], async () => {
      for (const [name, port] of [
        ['better', green.port],
        ['best', blue.port],
        ['old', green.port],
      ] as const) {
        await change(shop(name, port, ['brand.test', 'brand.example']), shop(before, 0));
        before = name;
        expect(await reached('brand.test')).toBe(port === green.port ? 'green' : 'blue');
      }
    });
    expect(failed).toEqual([]);
  });
});

/** A backend behind TLS that answers with its own name. */
async function tlsBackend(name: string): Promise<{ port: number; caPem: string; sni: string }> {
  const sni = `${name}.internal`;
  const { certPem, keyPem } = selfSigned(sni);
  const server = createServer({ cert: certPem, key: keyPem }, (request, response) => {
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ backend: sni, path: request.url }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onCleanup(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(() => resolve()));
  });
  return { port: (server.address() as AddressInfo).port, caPem: certPem, sni };
}
