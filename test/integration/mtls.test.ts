import { chmodSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { beforeAll, expect, it } from 'vitest';
import { signRequest } from '../../src/core/decision/sign-request.js';
import { secretDescriptions } from '../../src/core/xds/controller-access.js';
import { Authority, fleetUri, type Issued } from '../support/authority.js';
import { paifang } from '../support/cli.js';
import { startEnvoy } from '../support/envoy.js';
import { freePort } from '../support/ports.js';
import { type Stack, startStack, WORKSPACE } from '../support/stack.js';
import { tmpDir } from '../support/tmp.js';
import { until } from '../support/until.js';

// The whole product over mutual TLS: each node bound to its certificate or token, renewals without a restart.

const HOST = 'shop.example.com';
const NAME = 'controller.test';
const authority = new Authority();
const server = () => authority.issue({ name: 'controller', alternatives: [`DNS:${NAME}`] });
const node = (fleet: string, id: string) => authority.issue({ name: id, alternatives: [fleetUri(fleet, id)] });

let dir: string;
let stack: Stack;
let credential: { accessKey: string; secretKey: string };
let nodeOne: Issued;

/** Files of a certificate and key, put in place by renaming, as one is told to. */
function put(name: string, { certificate, key }: Issued): { chain: string; key: string } {
  const paths = { chain: join(dir, `${name}.pem`), key: join(dir, `${name}.key`) };
  for (const [path, content] of [
    [paths.key, key],
    [paths.chain, certificate],
  ] as const) {
    writeFileSync(`${path}.new`, content, { mode: 0o644 });
    renameSync(`${path}.new`, path);
  }
  return paths;
}

const api = (name: string, auth?: object) => ({
  name,
  group: 'shop',
  match: { path: `/${name}` },
  upstream: { kind: 'mock', body: name },
  ...(auth && { auth }),
});

beforeAll(async () => {
  dir = tmpDir();
  const ca = join(dir, 'ca.pem');
  writeFileSync(ca, authority.certificate);
  const own = put('server', server());
  nodeOne = node('default/default', 'node-1');
  const certificate = put('node-1', nodeOne);
  const descriptions = join(dir, 'sds');
  const access = { ca, serverName: NAME, certificate, descriptions };
  mkdirSync(descriptions);
  for (const [name, content] of secretDescriptions(access))
    writeFileSync(join(descriptions, name), JSON.stringify(content));
  stack = await startStack({
    definitions: {
      groups: [{ name: 'shop', hosts: [HOST] }],
      apis: [api('open'), api('signed', { type: 'signature' })],
      apps: [{ name: 'caller', grants: { apis: ['signed'] } }],
    },
    env: {
      PAIFANG_CANARY: 'off',
      PAIFANG_ADS_CERTIFICATE: own.chain,
      PAIFANG_ADS_KEY: own.key,
      PAIFANG_ADS_CLIENT_CA: ca,
      PAIFANG_ADS_CLIENT_CERTIFICATE: 'optional',
      PAIFANG_ADS_IDENTITY: 'bound',
      PAIFANG_CONTROLLER_CA: ca,
      PAIFANG_CONTROLLER_NAME: NAME,
      PAIFANG_NODE_CERTIFICATE: certificate.chain,
      PAIFANG_NODE_KEY: certificate.key,
    },
    access,
  });
  const made = await stack.admin('POST', `${WORKSPACE}/apps/caller/credentials`, {});
  credential = made.body;
  const listeners = [{ name: 'http', address: '127.0.0.1', port: await freePort() }];
  await stack.admin('POST', `${WORKSPACE}/changesets`, { definitions: { fleets: [{ name: 'spare', listeners }] } });
});

const nodes = async () => (await stack.admin('GET', `${WORKSPACE}/nodes`)).body.items;
const found = async (id: string) => (await nodes()).find((one: { node: string }) => one.node === id);
const refused = async () => (await stack.admin('GET', '/api/v1/status')).body.refused;
const open = (path: string) => stack.ask(path, { headers: { host: HOST } });

async function signed(): Promise<number> {
  const { accessKey, secretKey: secret } = credential;
  const { headers } = signRequest({
    method: 'GET',
    target: '/signed',
    headers: [['host', HOST]],
    accessKey,
    secret,
    nowMs: Date.now(),
  });
  return (await stack.ask('/signed', { headers: { host: HOST, ...Object.fromEntries(headers) } })).status;
}

/** Serial number of the certificate that the controller shows to a connection made now. */
const served = () =>
  new Promise<string>((resolve, reject) => {
    const socket = connect(
      { host: '127.0.0.1', port: stack.adsPort, servername: NAME, ca: authority.certificate, ALPNProtocols: ['h2'] },
      () => {
        resolve(socket.getPeerCertificate().serialNumber);
        socket.destroy();
      },
    );
    socket.once('error', reject);
  });

it('requests pass; edge and Envoy are known by their certificate, and the log arrives', async () => {
  expect((await open('/open')).status).toBe(200);
  // The edge was given keys without any token.
  await until(async () => (await signed()) === 200, { what: 'a signed request' });
  for (const id of ['node-1', 'node-1-edge'])
    expect(await found(id)).toMatchObject({ identity: { by: 'certificate', serial: nodeOne.serial } });
  const { headers } = await open('/open');
  expect(await stack.query(String(headers['x-gateway-request-id']))).toMatchObject({});
});

it('the certificate of the controller is renewed: streams live on, and a new connection sees the new one', async () => {
  const before = await nodes();
  const renewed = server();
  expect(await served()).not.toBe(renewed.serial);
  put('server', renewed);
  await until(async () => (await served()) === renewed.serial, { what: 'the renewed certificate' });
  const published = await stack.admin('POST', `${WORKSPACE}/changesets?wait=acked`, {
    definitions: { apis: [api('later')] },
  });
  expect(published.body.receipt).toMatchObject({ acked: true, timedOut: false });
  expect((await open('/later')).body).toBe('later');
  const connectedAt = (all: { connectedAt: string }[]) => all.map((one) => one.connectedAt);
  expect(connectedAt(await nodes())).toEqual(connectedAt(before));
});

it('an Envoy with a certificate of another fleet is refused and named, and let in when its certificate is replaced', async () => {
  const cwd = tmpDir();
  const { chain, key } = put('node-2', node('default/default', 'node-2'));
  const made = await paifang([
    ...['bootstrap', '--node', 'node-2', '--fleet', 'spare', '--ads', `127.0.0.1:${stack.adsPort}`, '--json'],
    ...['--controller-ca', join(dir, 'ca.pem'), '--controller-name', NAME, '--certificate', chain, '--key', key],
    ...['--sds-dir', join(cwd, 'sds'), '--admin-port', String(await freePort()), '--no-failover-socket'],
  ]);
  expect(made.stderr).toContain('node-certificate.json');
  const envoy = await startEnvoy({ bootstrapYaml: made.stdout, cwd });
  const denied = async () => (await refused()).find((one: { node: string }) => one.node === 'node-2');
  const refusal = await until(denied, { what: 'the refusal' });
  expect(refusal).toMatchObject({ at: 'denied', fleet: 'default/spare' });
  expect(refusal.message).toContain('is for node "node-2" of fleet "default/default"; the peer says that it is node');
  expect(stack.controllerOutput()).toContain('a node was not let in');
  await until(() => envoy.log().includes('Set node.cluster and node.id'), { what: "the reason in Envoy's log" });
  const shown = await paifang(['status', '--server', stack.adminUrl], { env: { PAIFANG_TOKEN: stack.adminToken } });
  expect(shown.stdout).toMatch(/Not let in by this controller:\n.*node-2 of default\/spare/);
  expect(shown.stdout).toMatch(/node-1-edge .*certificate until 20/);

  const right = node('default/spare', 'node-2');
  put('node-2', right);
  const inside = await until(() => found('node-2'), { within: 30_000, what: 'node-2 to be let in' });
  expect(inside).toMatchObject({ fleet: 'default/spare', identity: { by: 'certificate', serial: right.serial } });
});

it('an Envoy with a token of its own is let in; the token and the key are shown to nobody, and renewed without a restart', async () => {
  const cwd = tmpDir();
  const file = join(cwd, 'node-3.token');
  const env = { PAIFANG_DATA_DIR: join(stack.nodeDir, '..') };
  const token = async (node: string, ...args: string[]) => {
    const { stdout, stderr } = await paifang(['node-token', '--fleet', 'spare', '--node', node, ...args], { env });
    expect(stderr).toBe('');
    writeFileSync(`${file}.new`, stdout);
    chmodSync(`${file}.new`, 0o600);
    renameSync(`${file}.new`, file);
    return stdout.trim();
  };
  // Good for another node: it is refused, and taken up again once it was replaced.
  const wrong = await token('node-4');
  const { stdout: bootstrapYaml } = await paifang([
    ...['bootstrap', '--node', 'node-3', '--fleet', 'spare', '--ads', `127.0.0.1:${stack.adsPort}`],
    ...['--controller-ca', join(dir, 'ca.pem'), '--controller-name', NAME, '--token-file', file],
    ...['--sds-dir', join(cwd, 'sds'), '--admin-port', String(await freePort()), '--no-failover-socket'],
  ]);
  const envoy = await startEnvoy({ bootstrapYaml, cwd });
  const denied = async () => (await refused()).find((one: { node: string }) => one.node === 'node-3');
  expect((await until(denied, { what: 'the refusal' })).message).toContain('The token presented is for node "node-4"');
  const right = await token('node-3', '--expires', '1h');
  const inside = await until(() => found('node-3'), { within: 30_000, what: 'node-3 to be let in' });
  expect(inside.identity).toMatchObject({ by: 'token', serial: null });
  expect(Date.parse(inside.identity.expiresAt)).toBeGreaterThan(Date.now() + 3_000_000);

  const shown = [
    await envoy.admin('/config_dump'),
    envoy.log(),
    stack.controllerOutput(),
    JSON.stringify(await refused()),
  ];
  for (const secret of [right, wrong, nodeOne.key.split('\n')[1] as string])
    for (const text of [bootstrapYaml, ...shown]) expect(text.includes(secret)).toBe(false);
});

it('a certificate without trust is refused in the handshake, and told', async () => {
  const cwd = tmpDir();
  const theirs = new Authority('somebody').issue({ name: 'node-5', alternatives: [fleetUri('default/spare')] });
  const { chain, key } = put('node-5', theirs);
  const { stdout: bootstrapYaml } = await paifang([
    ...['bootstrap', '--node', 'node-5', '--fleet', 'spare', '--ads', `127.0.0.1:${stack.adsPort}`],
    ...['--controller-ca', join(dir, 'ca.pem'), '--controller-name', NAME, '--certificate', chain, '--key', key],
    ...['--sds-dir', join(cwd, 'sds'), '--admin-port', String(await freePort()), '--no-failover-socket'],
  ]);
  await startEnvoy({ bootstrapYaml, cwd });
  const mine = async () => (await refused()).find((one: { message: string }) => one.message.includes(theirs.serial));
  expect(await until(mine, { what: 'the refusal' })).toMatchObject({ at: 'handshake', node: null });
  expect(await found('node-5')).toBeUndefined();
});
