import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { paifang, paifangJson } from '../support/cli.js';
import { validate } from '../support/envoy.js';
import { tmpDir } from '../support/tmp.js';

const GOOD = `
fleets:
  - name: public
    listeners: [{ name: http, port: 8088 }]
clusters:
  - name: orders
    endpoints: [{ host: 127.0.0.1, port: 8090 }]
groups:
  - name: shop
    hosts: [shop.test]
  - name: weather
    hosts: [weather.test]
apis:
  - name: list-orders
    group: shop
    match: { path: /orders, methods: [GET] }
    auth: { type: signature }
    upstream: { kind: cluster, cluster: orders }
  - name: today
    group: weather
    match: { path: /today }
    upstream: { kind: mock, body: '{}' }
apps:
  - name: web
    grants: { groups: [shop] }
`;

interface Compiled {
  ok: boolean;
  diagnostics: { code: string; line?: number; column?: number; path: string; file: string; hint: string }[];
  apis: number;
  groups: number;
  compileMs: number;
  peakRssMiB: number;
  edit?: { recompiled: number; groups: number };
}

function file(text: string, name = 'gateway.yaml'): string {
  const path = join(tmpDir(), name);
  writeFileSync(path, text);
  return path;
}

describe('paifang compile', () => {
  it('says what it compiled, how long it took and with how much memory', async () => {
    const { status, stdout, stderr } = await paifang(['compile', file(GOOD)]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toMatch(/^2 APIs in 2 groups compiled in \d+ ms \(read in \d+ ms\), peak RSS \d+ MiB\.\n$/);
  });

  it.each(['list-orders', 'today'])('recompiles one group for an edit of %s', async (api) => {
    const { ok, edit } = await paifangJson<Compiled>(['compile', file(GOOD), '--edit', api]);
    expect(ok).toBe(true);
    expect(edit).toMatchObject({ api, recompiled: 1, groups: 2 });
  });

  it('compiles 5000 APIs in 200 groups and an edit of one recompiles one group', async () => {
    const { stdout } = await paifang([
      'compile',
      file(JSON.stringify(large(5000, 200)), 'big.json'),
      '--edit',
      'api-77',
    ]);
    expect(stdout).toMatch(/^5000 APIs in 200 groups compiled in \d+ ms/);
    expect(stdout).toMatch(/^Edit of API api-77: recompiled 1 of 200 groups in [\d.]+ ms\.$/m);
  });

  it('writes every stage, one file a resource type, and says nothing secret', async () => {
    const out = join(tmpDir(), 'out');
    const { status } = await paifang(['compile', file(GOOD), '-o', out]);
    expect(status).toBe(0);
    expect(readdirSync(out).sort()).toEqual(['diagnostics.yaml', 'public']);
    const names = readdirSync(join(out, 'public'));
    for (const name of ['gateway', 'Listener', 'RouteConfiguration', 'ScopedRouteConfiguration', 'Cluster', 'Policy']) {
      expect(names).toContain(`${name}.yaml`);
    }
    const scopes = parse(readFileSync(join(out, 'public/ScopedRouteConfiguration.yaml'), 'utf8'));
    expect(scopes.map((scope: { name: string }) => scope.name)).toEqual(['shop.test', 'weather.test']);
  });

  it('prints one stage for a pipe, with the figures out of the way', async () => {
    const { stdout, stderr } = await paifang(['compile', file(GOOD), '--emit', 'ir']);
    expect(stderr).toContain('2 APIs in 2 groups');
    const gateway = parse(stdout);
    expect(gateway.groups.map((group: { name: string }) => group.name).sort()).toEqual(['shop', 'weather']);
  });

  it('gives the same bytes whatever the order of the objects', async () => {
    const definitions = parse(GOOD);
    const reversed = Object.fromEntries(
      Object.entries(definitions)
        .reverse()
        .map(([kind, objects]) => [kind, [...(objects as object[])].reverse()]),
    );
    const emit = async (value: unknown) =>
      (await paifang(['compile', '-', '--emit', 'ir,xds,policy'], { input: JSON.stringify(value) })).stdout;
    expect(await emit(reversed)).toBe(await emit(definitions));
  });

  it('ends with 1 and places every fault', async () => {
    const bad = GOOD.replace('cluster: orders }', 'cluster: nope }').replace('path: /today', 'path: today');
    const path = file(bad);
    const { status, stdout, stderr } = await paifang(['compile', path, '--emit', 'xds']);
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toContain(`${path}:${lineOf(bad, 'cluster: nope')}:32: error unknown-reference: api list-orders:`);
    expect(stderr).toContain(`${path}:${lineOf(bad, 'path: today')}:14: error invalid-path: api today:`);
    expect(stderr).toMatch(/^2 errors in /m);
  });

  it.each([
    [['--emit', 'everything'], /--emit does not know "everything"/],
    [['--edit', 'nobody'], /no API "nobody"/],
    [['-o', '/dev/null/out'], /cannot be written/],
  ])('refuses %j', async (args, why) => {
    const { status, stderr } = await paifang(['compile', file(GOOD), ...args]);
    expect(status).toBe(2);
    expect(stderr).toMatch(why);
  });
});

describe('paifang validate', () => {
  it('is content with a good file', async () => {
    const path = file(GOOD);
    expect(await paifang(['validate', '-f', path])).toEqual({ status: 0, stdout: `${path} is valid.\n`, stderr: '' });
  });

  it('tells all faults at once, each with place, pointer, code and hint', async () => {
    const bad = GOOD.replace('port: 8088', 'prot: 8088').replace('name: web', 'name: "we b"');
    const { ok, diagnostics } = await paifangJson<Compiled>(['validate', '-f', file(bad)]);
    expect(ok).toBe(false);
    expect(diagnostics.map(({ path, line }) => [path, line])).toEqual(
      expect.arrayContaining([
        ['/fleets/0/listeners/0/prot', lineOf(bad, 'prot:')],
        ['/apps/0/name', lineOf(bad, 'we b')],
      ]),
    );
    for (const { code, hint } of diagnostics) expect(code && hint).toBeTruthy();
  });

  it.each<[string, string | Buffer]>([
    ['nothing', ''],
    ['no text', Buffer.from([0xff, 0xfe, 0x00, 0xd8])],
    ['bytes that are no UTF-8', Buffer.from([0x67, 0xc3, 0x28])],
    ['cut off', 'groups: [{ name: shop'],
    ['not a mapping', '- a\n- b'],
    ['a list where a mapping belongs', 'groups: { name: shop }'],
    ['a key twice', 'groups: []\ngroups: []'],
    ['very deep', '['.repeat(100_000)],
    [
      'an alias bomb',
      `a: &a [x,x,x,x,x,x,x,x,x]\n${'bcdefghi'.replace(
        /./g,
        (c) =>
          `${c}: &${c} [${Array(9)
            .fill(`*${String.fromCharCode(c.charCodeAt(0) - 1)}`)
            .join()}]\n`,
      )}`,
    ],
    ['unknown kinds', 'routes: []'],
    ['a tag that constructs', 'groups: !!js/function "function(){}"'],
  ])('refuses %s without falling over', async (_, input) => {
    const { status, stdout, stderr } = await paifang(['validate', '-f', '-'], { input });
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toMatch(/^stdin(:\d+:\d+)?: error [a-z-]+: /);
    expect(stderr).not.toContain('internal error');
  });

  it('ends with 2 when the file cannot be read', async () => {
    for (const path of ['/no/such/file.yaml', '/']) {
      const { status, stderr } = await paifang(['validate', '-f', path]);
      expect(status).toBe(2);
      expect(stderr).toContain('cannot be read');
    }
  });
});

describe('paifang bootstrap', () => {
  it('prints what Envoy accepts', async () => {
    const { status, stdout } = await paifang(['bootstrap', '--node', 'gw-1', '--fleet', 'public', '-w', 'team-a']);
    expect(status).toBe(0);
    expect(parse(stdout).node).toMatchObject({ id: 'gw-1', cluster: 'team-a/public' });
    expect(await validate(stdout)).toMatchObject({ ok: true });
  });

  it('is the same as JSON', async () => {
    const args = ['bootstrap', '--node', 'gw-1', '--fleet', 'public', '--ads', '[::1]:9999'];
    const { stdout } = await paifang(args);
    expect(await paifangJson(args)).toEqual(parse(stdout));
    expect(stdout).toContain('9999');
  });

  it('keeps names that YAML 1.1 reads as something else', async () => {
    for (const node of ['n', 'on', '12:30', '010']) {
      const { stdout } = await paifang(['bootstrap', '--node', node, '--fleet', 'f']);
      expect(await validate(stdout)).toMatchObject({ ok: true });
      expect(parse(stdout, { version: '1.1' }).node.id).toBe(node);
    }
  });

  it('names DNS servers for Envoy', async () => {
    const args = [
      'bootstrap',
      '--node',
      'gw-1',
      '--fleet',
      'f',
      '--dns-server',
      '10.0.0.2',
      '10.0.0.3:5353',
      '[fd00::2]:53',
    ];
    const { stdout } = await paifang(args);
    const { resolvers } = parse(stdout).typed_dns_resolver_config.typed_config;
    expect(resolvers.map((r: { socket_address: object }) => Object.values(r.socket_address).join(' '))).toEqual([
      '10.0.0.2 53',
      '10.0.0.3 5353',
      'fd00::2 53',
    ]);
    expect(await validate(stdout)).toMatchObject({ ok: true });
  });

  it('says where the node stands and what it may take, from options or from variables', async () => {
    const args = ['bootstrap', '--node', 'gw-1', '--fleet', 'f'];
    const told = (text: string) => {
      const { node, overload_manager: manager } = parse(text);
      const { max_heap_size_bytes: heap } = JSON.parse(
        /\{[^{}]*max_heap_size_bytes[^{}]*\}/.exec(JSON.stringify(manager))?.[0] ?? '{}',
      );
      return { ...node.locality, heap: Number(heap), connections: JSON.stringify(manager).includes('"123"') };
    };
    const given = { region: 'east', zone: 'z', sub_zone: 'e1', heap: 512 * 2 ** 20, connections: true };
    const options = [
      '--region',
      'east',
      '--zone',
      'z',
      '--room',
      'e1',
      '--max-heap',
      '512',
      '--max-connections',
      '123',
    ];
    const byOptions = await paifang([...args, ...options]);
    expect(told(byOptions.stdout)).toEqual(given);
    expect(await validate(byOptions.stdout)).toMatchObject({ ok: true });
    const place = { PAIFANG_NODE_REGION: 'east', PAIFANG_NODE_ZONE: 'z', PAIFANG_NODE_ROOM: 'e1' };
    const limits = { PAIFANG_ENVOY_MAX_HEAP_MIB: '512', PAIFANG_ENVOY_MAX_CONNECTIONS: '123' };
    const byVariables = await paifang(args, { env: { ...place, ...limits } });
    expect(byVariables.stdout).toBe(byOptions.stdout);
    const silent = await paifang(args, { env: { PAIFANG_NODE_REGION: '', PAIFANG_ENVOY_MAX_HEAP_MIB: '' } });
    expect(told(silent.stdout)).toEqual({ heap: 2 ** 31, connections: false });
  });

  it.each([
    [['--max-heap', '2GiB'], /not a number from 64/],
    [['--ads', 'controller'], /host:port/],
    [['--dns-server', 'dns.internal'], /IP addresses/],
    [['--dns-server', '10.0.0.2:0'], /not a port/],
    [['--ads', 'h:70000'], /not a port/],
    [['--admin-port', 'x'], /not a port/],
    [['--node', 'a\nb'], /node id/],
    [['--fleet', 'a/b'], /name of a fleet/],
    [['-w', 'Team A'], /workspace name/],
  ])('refuses %j', async (args, why) => {
    const { status, stdout, stderr } = await paifang(['bootstrap', '--node', 'n', '--fleet', 'f', ...args]);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toMatch(why);
  });
});

/** Line of `text`, from 1, in which `part` stands first. */
function lineOf(text: string, part: string): number {
  return text.slice(0, text.indexOf(part)).split('\n').length;
}

function large(apis: number, groups: number) {
  const range = (n: number) => Array.from({ length: n }, (_, i) => i);
  return {
    fleets: [{ name: 'public', listeners: [{ name: 'http', port: 8088 }] }],
    clusters: range(50).map((i) => ({ name: `cluster-${i}`, endpoints: [{ host: `10.0.0.${i + 1}`, port: 80 }] })),
    groups: range(groups).map((i) => ({ name: `group-${i}`, hosts: [`g${i}.test`] })),
    apis: range(apis).map((i) => ({
      name: `api-${i}`,
      group: `group-${i % groups}`,
      match: { path: `/api-${i}/{id}` },
      upstream: { kind: 'cluster', cluster: `cluster-${i % 50}` },
    })),
  };
}
