import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { bootstrap } from '../../src/core/xds/bootstrap.js';
import { type ControllerAccess, secretDescriptions } from '../../src/core/xds/controller-access.js';
import { paifang } from '../support/cli.js';
import { validate } from '../support/envoy.js';
import { tmpDir } from '../support/tmp.js';

const ACCESS: ControllerAccess = {
  descriptions: 'sds',
  ca: 'ca.pem',
  serverName: 'controller.corp',
  certificate: { chain: '/etc/paifang/n.pem', key: 'tls/n.key' },
  tokenFile: 'n.token',
};

const made = (controllerAccess?: ControllerAccess) =>
  bootstrap({
    nodeId: 'gw-1',
    nodeCluster: 'a/b',
    adsAddress: 'controller.corp',
    adsPort: 9876,
    edgeSocket: 'authz.sock',
    failoverSocket: 'failover.sock',
    adminAddress: '127.0.0.1',
    adminPort: 0,
    ...(controllerAccess && { controllerAccess }),
  });
// biome-ignore lint/suspicious/noExplicitAny: looked into freely
const clusters = (of: any): any[] => of.static_resources.clusters;
const descriptions = (access: ControllerAccess) =>
  Object.fromEntries(
    // biome-ignore lint/suspicious/noExplicitAny: looked into freely
    [...secretDescriptions(access)].map(([name, { resources }]: [string, any]) => [name, resources[0]]),
  );

describe('access to the controller', () => {
  it('is plain text without a filter unless it is asked for', () => {
    expect(JSON.stringify(made())).not.toMatch(/transport_socket|credential/);
  });

  it('is of the cluster of the controller alone: edge and failover stay behind their sockets', () => {
    const [ads, ...others] = clusters(made(ACCESS));
    expect(ads.transport_socket.typed_config).toMatchObject({
      sni: 'controller.corp',
      common_tls_context: { alpn_protocols: ['h2'] },
    });
    expect(JSON.stringify(others)).not.toMatch(/transport_socket|credential/);
  });

  it('names files that Envoy watches, in folders, and holds no secret', () => {
    const found = descriptions(ACCESS);
    expect(Object.keys(found)).toEqual(['controller-ca.json', 'node-certificate.json', 'node-token.json']);
    expect(found['controller-ca.json'].validation_context).toEqual({
      trusted_ca: { filename: './ca.pem' },
      match_typed_subject_alt_names: [{ san_type: 'DNS', matcher: { exact: 'controller.corp' } }],
    });
    expect(found['node-certificate.json'].tls_certificate).toEqual({
      certificate_chain: { filename: '/etc/paifang/n.pem' },
      private_key: { filename: 'tls/n.key' },
    });
    expect(found['node-token.json'].generic_secret).toEqual({ secret: { filename: './n.token' } });
    for (const name of Object.keys(found)) expect(JSON.stringify(made(ACCESS))).toContain(`"sds/${name}"`);
  });

  it('checks an IP address as one, and sends none as a name', () => {
    const byAddress = { ...ACCESS, serverName: '10.0.0.7' };
    const found = descriptions(byAddress)['controller-ca.json'];
    expect(found.validation_context.match_typed_subject_alt_names[0].san_type).toBe('IP_ADDRESS');
    expect(clusters(made(byAddress))[0].transport_socket.typed_config.sni).toBeUndefined();
  });

  it('is accepted by Envoy', async () => {
    const dir = tmpDir();
    const access = { ...ACCESS, descriptions: dir };
    for (const [name, content] of secretDescriptions(access)) writeFileSync(join(dir, name), JSON.stringify(content));
    const { ok, output } = await validate(made(access));
    expect(ok, output).toBe(true);
  });
});

describe('paifang bootstrap', () => {
  const run = (cwd: string, ...args: string[]) =>
    paifang(['bootstrap', '--node', 'n', '--fleet', 'f', ...args], { cwd });

  it('writes the descriptions beside what it prints, and says so', async () => {
    const cwd = tmpDir();
    const { status, stdout, stderr } = await run(cwd, '--token-file', 'n.token');
    expect(status).toBe(0);
    expect(stdout).toContain('sds/node-token.json');
    expect(stderr).toBe(
      'wrote sds/node-token.json\nThe token goes over the network in plain text: --controller-ca turns on TLS.\n',
    );
    expect(readFileSync(join(cwd, 'sds/node-token.json'), 'utf8')).toContain('./n.token');
  });

  it.each([
    [['--certificate', 'a.pem'], '--certificate and --key go together'],
    [['--certificate', 'a.pem', '--key', 'a.key'], 'need --controller-ca'],
    [['--controller-name', 'x'], 'need --controller-ca'],
  ])('%j is a fault of usage', async (args, message) => {
    const { status, stderr } = await run(tmpDir(), ...args);
    expect(status).toBe(2);
    expect(stderr).toContain(message);
  });
});

describe('paifang node-token', () => {
  const env = { PAIFANG_MASTER_KEY: '11'.repeat(32) };
  const token = (...args: string[]) => paifang(['node-token', ...args], { env });

  it('prints a token and nothing else, or what it is for as JSON', async () => {
    const { stdout, stderr } = await token('--fleet', 'f', '--node', 'n');
    expect([stdout, stderr]).toEqual([expect.stringMatching(/^pfn1\.[\w-]+\.[\w-]{43}\n$/), '']);
    const { stdout: shown } = await token('--fleet', 'f', '-w', 'ws', '--expires', '2h', '--json');
    const { expiresAt, ...what } = JSON.parse(shown);
    expect(what).toMatchObject({ fleet: 'ws/f', node: null });
    expect(Math.abs(Date.parse(expiresAt) - Date.now() - 7_200_000)).toBeLessThan(60_000);
  });

  it.each([
    [['--fleet', '/'], 'cannot be the name of a fleet'],
    [['--fleet', 'f', '--node', 'a b'], 'cannot be a node id'],
    [['--fleet', 'f', '--expires', 'soon'], 'neither a length nor a time'],
    [['--fleet', 'f', '--expires', '2020-01-01T00:00:00Z'], 'has passed'],
    [['--fleet', 'f', '--expires', '9999d'], 'ten years at most'],
  ])('%j is a fault of usage', async (args, message) => {
    const { status, stderr } = await token(...args);
    expect(status).toBe(2);
    expect(stderr).toContain(message);
  });

  it('makes no master key of its own', async () => {
    const { status, stderr } = await paifang(['node-token', '--fleet', 'f'], { env: { PAIFANG_DATA_DIR: tmpDir() } });
    expect(status).toBe(2);
    expect(stderr).toContain('PAIFANG_MASTER_KEY: is needed');
  });
});
