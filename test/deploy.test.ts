import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { describeSettings } from '../src/config/describe.js';
import { CLIENT_VARIABLES } from '../src/config/load.js';
import { readDefinitions } from '../src/core/model/document.js';
import { rootDir } from './support/envoy.js';

const root = rootDir();
const settings = describeSettings();
const files = filesUnder('deploy').map((path) => ({ path, text: readFileSync(join(root, path), 'utf8') }));
const verbs = new Set(
  ['src/main.ts', ...filesUnder('src/cli')].flatMap((file) =>
    [...readFileSync(join(root, file), 'utf8').matchAll(/\.command\('([a-z-]+)/g)].map(([, verb]) => verb as string),
  ),
);

interface Service {
  image: string;
  build?: { dockerfile: string; target: string };
  environment?: Record<string, string>;
  ports?: string[];
  volumes?: string[];
  command?: string[];
  entrypoint?: string[];
  network_mode?: string;
  pre_stop?: { command: string[] }[];
  stop_grace_period?: string;
  healthcheck?: { test: string[] };
}
const { services } = parse(read('compose.yaml'), { merge: true }) as { services: Record<string, Service> };
const service = (name: string) => services[name] as Service;
const units = Object.fromEntries(
  ['controller', 'edge', 'envoy'].map((name) => [name, unit(read(`systemd/paifang-${name}.service`))]),
) as Record<'controller' | 'edge' | 'envoy', Map<string, string[]>>;

describe('every file of deploy/', () => {
  it('is looked at', () => {
    expect(files.map(({ path }) => path)).toEqual(
      expect.arrayContaining(['deploy/Dockerfile', 'deploy/compose.yaml', 'deploy/systemd/paifang-envoy.service']),
    );
    expect(verbs).toContain('controller');
    expect(verbs).toContain('bootstrap');
  });

  it.each(files)('$path names only variables that are read', ({ text }) => {
    const known = [...settings.map(({ env }) => env), ...CLIENT_VARIABLES];
    for (const [name] of text.matchAll(/\bPAIFANG_[A-Z_]+/g)) expect(known).toContain(name);
  });

  it.each(files)('$path calls only verbs that exist', ({ text }) => {
    const called = text.matchAll(/(?:`|^|controller |sudo )paifang ([a-z]+)\b|main\.js"? ([a-z]+)\b/gm);
    for (const [line, named, run] of called) expect([...verbs], line).toContain(named ?? run);
  });

  it.each(files)('$path gives no secret a value', ({ text }) => {
    const secret = [...settings.filter((setting) => setting.secret).map(({ env }) => env), 'POSTGRES_PASSWORD'];
    const given = new RegExp(`\\b(?:${secret.join('|')})\\s*(?:=|:(?!\\?))\\s*(\\S+)`, 'g');
    for (const [line, value] of text.matchAll(given)) expect(value, line).toMatch(/^\$[({A-Z]/);
    for (const [url, password] of text.matchAll(/\w+:\/\/[^\s:/@]+:([^\s@]+)@/g)) expect(password, url).toMatch(/^\$/);
  });

  it.each(files)('$path names no path of deploy/ that is not there', ({ text }) => {
    const present = files.map(({ path }) => path);
    for (const [, path] of text.matchAll(/(?:\/opt\/paifang\/|[\s"'])(deploy\/[\w./-]*\w)/g)) {
      if (path === 'deploy/.env') continue;
      expect(present.some((file) => file === path || file.startsWith(`${path}/`))).toBe(true);
    }
  });
});

describe('compose.yaml', () => {
  it('refuses to start without its secrets', () => {
    for (const { environment = {} } of Object.values(services))
      for (const [name, value] of Object.entries(environment))
        if (/PASSWORD|KEY|TOKEN|DATABASE_URL/.test(name)) expect(value, name).toMatch(/\$\{[A-Z_]+:\?[^}]+\}/);
  });

  it('publishes the ports that are the defaults, on loopback', () => {
    expect(service('controller').ports).toEqual([published('admin.port')]);
    expect(service('node').ports).toEqual([published('up.gatewayPort')]);
    for (const name of ['postgres', 'edge', 'envoy']) expect(service(name).ports).toBeUndefined();
  });

  it('asks for health where it is told', () => {
    const url = (name: string) =>
      /http:\/\/[^']+/.exec((service(name).healthcheck as { test: string[] }).test.join())?.[0];
    expect(url('controller')).toBe(`http://127.0.0.1:${defaultOf('admin.port')}/readyz`);
    expect(url('edge')).toBe(`http://127.0.0.1:${defaultOf('edge.configPort')}/healthz`);
    expect(url('envoy')).toBe(`${defaultOf('edge.envoyAdmin')}/ready`);
  });

  it('leads edge and Envoy to the controller under one name, in one network and one directory', () => {
    const [edge, envoy] = [service('edge'), service('envoy')];
    expect(edge.environment).toEqual({ ...envoy.environment, PAIFANG_NODE_TOKEN: expect.any(String) });
    expect(envoy.environment?.PAIFANG_CONTROLLER).toBe(`controller:${defaultOf('ads.port')}`);
    expect(envoy.environment?.PAIFANG_NODE_CLUSTER).toContain(defaultOf('edge.cluster'));
    expect([edge.network_mode, envoy.network_mode]).toEqual(['service:node', 'service:node']);
    expect(edge.volumes).toEqual(envoy.volumes);
    expect(edge.volumes?.[0]?.split(':')[1]).toBe(/PAIFANG_EDGE_DIR=(\S+)/.exec(read('Dockerfile'))?.[1]);
  });

  it('runs verbs, and targets, that exist', () => {
    expect(verbs).toContain(service('edge').command?.[0]);
    for (const { build } of Object.values(services))
      if (build) expect(read('Dockerfile')).toMatch(new RegExp(`^FROM base AS ${build.target}$`, 'm'));
  });
});

describe('Dockerfile', () => {
  const text = read('Dockerfile');

  it('runs a verb that exists, as a user of its own', () => {
    const [paifang] = text.split('FROM base AS ').slice(-1) as [string];
    expect(paifang).toContain('ENTRYPOINT ["paifang"]');
    expect(verbs).toContain(/^CMD \["([a-z]+)"\]/m.exec(paifang)?.[1]);
    expect(text).toMatch(/^USER [1-9]\d*:[1-9]\d*$/m);
  });

  it('starts Envoy as the unit does', () => {
    const line = /^CMD (\["envoy".*)$/m.exec(text)?.[1] as string;
    expect((JSON.parse(line) as string[]).slice(1)).toEqual(words('envoy', 'ExecStart').slice(1));
  });

  it('keeps secrets and what is built elsewhere out of the build', () => {
    const ignored = read('Dockerfile.dockerignore').split('\n');
    for (const line of ['.git', 'node_modules', 'dist', '.paifang', '**/.env']) expect(ignored).toContain(line);
  });
});

describe('the units', () => {
  it.each(['controller', 'edge', 'envoy'] as const)('%s is confined and comes back', (name) => {
    expect(Object.fromEntries(units[name])).toMatchObject({
      NoNewPrivileges: ['yes'],
      ProtectSystem: ['strict'],
      ProtectHome: ['yes'],
      PrivateTmp: ['yes'],
      Restart: ['always'],
      User: [name === 'controller' ? 'paifang' : 'paifang-node'],
      StateDirectory: [name === 'controller' ? 'paifang' : 'paifang-node'],
    });
  });

  it('start the edge before Envoy, and let Envoy outlive it', () => {
    expect(units.envoy.get('After')?.join(' ').split(' ')).toContain('paifang-edge.service');
    expect(units.envoy.get('Wants')).toContain('paifang-edge.service');
    for (const hard of ['Requires', 'BindsTo', 'PartOf']) expect(units.envoy.get(hard)).toBeUndefined();
  });

  it('run Envoy in the directory of the edge', () => {
    const directory = `PAIFANG_EDGE_DIR=${units.envoy.get('WorkingDirectory')}`;
    expect(units.edge.get('Environment')).toContain(directory);
    expect(units.envoy.get('Environment')).toContain(directory);
  });

  it('give the node token to the edge alone', () => {
    expect(units.edge.get('EnvironmentFile')).toEqual(['/etc/paifang/node.env', '/etc/paifang/edge.env']);
    expect(units.envoy.get('EnvironmentFile')).toEqual(['/etc/paifang/node.env']);
  });
});

describe('stopping Envoy', () => {
  const drainTime = Number(words('envoy', 'ExecStart')[words('envoy', 'ExecStart').indexOf('--drain-time-s') + 1]);

  it('drains, waits for requests, and only then is killed', () => {
    const wait = Number(words('envoy', 'ExecStop').at(-1));
    expect(wait).toBeGreaterThan(drainTime);
    expect(Number(units.envoy.get('TimeoutStopSec'))).toBeGreaterThan(wait);
  });

  it('does so in a container too', () => {
    const { pre_stop, stop_grace_period } = service('envoy');
    expect(pre_stop?.[0]?.command.slice(1)).toEqual(words('envoy', 'ExecStop').slice(1));
    expect(stop_grace_period).toBe(`${units.envoy.get('TimeoutStopSec')}s`);
  });
});

it('fleet.yaml is a definitions file for the port that is published', () => {
  const { definitions, diagnostics } = readDefinitions(read('fleet.yaml'));
  expect(diagnostics).toEqual([]);
  expect(definitions?.fleets?.map(({ listeners }) => listeners.map(({ port }) => port))).toEqual([
    [defaultOf('up.gatewayPort')],
  ]);
});

function read(path: string): string {
  return readFileSync(join(root, 'deploy', path), 'utf8');
}

function filesUnder(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name !== '.env')
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1))
    .sort();
}

function defaultOf(key: string): unknown {
  const found = settings.find((setting) => setting.key === key);
  if (found === undefined) throw new Error(`no setting is called ${key}`);
  return found.default;
}

function published(key: string): string {
  return `127.0.0.1:${defaultOf(key)}:${defaultOf(key)}`;
}

/** Assignments of a unit file; a name may be given more than once. */
function unit(text: string): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const [, name, value] of text.matchAll(/^([A-Za-z]+)=(.*)$/gm))
    found.set(name as string, [...(found.get(name as string) ?? []), value as string]);
  return found;
}

function words(name: keyof typeof units, command: string): string[] {
  return (units[name].get(command) ?? []).join(' ').split(' ');
}
