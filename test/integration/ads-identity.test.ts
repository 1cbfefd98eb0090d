import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { connect as connectTcp } from 'node:net';
import { join } from 'node:path';
import { connect, type TLSSocket } from 'node:tls';
import { status } from '@grpc/grpc-js';
import { beforeAll, describe, expect, it } from 'vitest';
import { makeBoundToken } from '../../src/core/ads/bound-token.js';
import { resource, TYPE } from '../../src/core/ads/resource.js';
import { type CertificateError, CertificateFiles, type CertificatePaths } from '../../src/wire/certificate-files.js';
import { ChannelSecurity } from '../../src/wire/channel-security.js';
import { addLogService, createLogClient } from '../../src/wire/log-service.js';
import { fleetUri, type Issued } from '../support/authority.js';
import { onCleanup } from '../support/cleanup.js';
import {
  ask,
  authority,
  FLEET,
  files,
  guardedDir,
  KEY,
  OTHER,
  open,
  replace,
  SERVER_NAMES,
  SOON,
  security,
  serve,
  stranger,
} from '../support/guarded-ads.js';
import { until } from '../support/until.js';

let dir: string;

beforeAll(() => {
  dir = guardedDir();
});

const uri = (fleet: string, node?: string) => ({ name: 'node', alternatives: [fleetUri(fleet, node)] });

describe('a client certificate', () => {
  it('lets the node it names and its edge in, with keys, and nobody else', async () => {
    const { server, refused } = await serve();
    const mine = await security(authority.issue(uri(FLEET, 'gw-1')));
    const node = await ask(server.port, { security: mine, type: TYPE.app });
    expect(node).toMatchObject({ names: ['a'], ended: undefined });
    const edge = await ask(server.port, { security: mine, node: 'gw-1-edge', beside: 'gw-1', type: TYPE.app });
    expect(edge.names).toEqual(['a']);
    for (const claim of [{ node: 'gw-2' }, { fleet: OTHER }, { node: 'gw-2-edge', beside: 'gw-2' }, { fleet: 'x/y' }]) {
      const { ended } = await ask(server.port, { security: mine, ...claim });
      expect(ended?.code).toBe(status.PERMISSION_DENIED);
      expect(ended?.details).toMatch(
        /^The client certificate with serial [0-9A-F]+ is for node "gw-1" of fleet "acme\/prod"; the peer says/,
      );
      // Whether there is such a fleet is nothing it needs to know.
      expect(ended?.details).not.toContain('published');
    }
    expect(refused).toHaveLength(4);
    expect(refused[0]).toMatchObject({ at: 'denied', node: 'gw-2', fleet: FLEET });
  });

  it('shows in the list of streams with its serial number and end', async () => {
    const { server } = await serve();
    const issued = authority.issue({ ...uri(FLEET), notAfter: new Date('2030-01-02T03:04:05Z') });
    await ask(server.port, { security: await security(issued), node: 'any' });
    expect(server.streams()[0]).toMatchObject({
      authorised: true,
      identity: { by: 'certificate', serial: issued.serial, expiresAtMs: Date.parse('2030-01-02T03:04:05Z') },
    });
  });

  it('may name several fleets among many other names', async () => {
    const { server } = await serve();
    const names = Array.from({ length: 300 }, (_, i) => `DNS:host-${i}.corp`);
    const issued = authority.issue({ name: 'n', alternatives: [...names, fleetUri(OTHER), fleetUri(FLEET)] });
    const many = await security(issued);
    for (const fleet of [FLEET, OTHER])
      expect((await ask(server.port, { security: many, fleet })).names).toEqual(['p']);
  });

  it('counts only in the trust domain that is asked for', async () => {
    const { server } = await serve({ trustDomain: 'corp', identity: 'required' });
    const { ended } = await ask(server.port, { security: await security(authority.issue(uri(FLEET))) });
    expect(ended?.code).toBe(status.UNAUTHENTICATED);
    expect(ended?.details).toContain('names no fleet');
  });

  it.each([
    ['of another authority', () => stranger.issue(uri(FLEET)), /DEPTH_ZERO|UNABLE_TO/],
    [
      'that has expired',
      () => authority.issue({ ...uri(FLEET), notAfter: new Date(Date.now() - 1000) }),
      /CERT_HAS_EXPIRED/,
    ],
    ['that is not good yet', () => authority.issue({ ...uri(FLEET), notBefore: new Date(SOON) }), /CERT_NOT_YET_VALID/],
  ])('%s is refused in the handshake, also where none is demanded', async (_, issue, reason) => {
    for (const demand of [true, false]) {
      const { server, refused } = await serve({}, { demand });
      const issued = issue();
      const { ended } = await ask(server.port, { security: await security(issued), token: 'shared' });
      expect(ended?.code).toBe(status.UNAVAILABLE);
      const found = await until(() => refused[0], { what: 'the refusal' });
      expect(found).toMatchObject({ at: 'handshake', peer: expect.stringMatching(/^127\.0\.0\.1:\d+$/) });
      expect(found.message).toContain(issued.serial);
      expect(found.message).toMatch(reason);
    }
  });

  it('is demanded, or not', async () => {
    const strict = await serve();
    const bare = await security();
    const { ended } = await ask(strict.server.port, { security: bare, token: 'shared' });
    expect(ended?.code).toBe(status.UNAVAILABLE);
    expect(strict.refused[0]?.message).toBe('it presents no client certificate, and one is demanded');
    const lenient = await serve({}, { demand: false });
    expect((await ask(lenient.server.port, { security: bare, token: 'shared', type: TYPE.app })).names).toEqual(['a']);
  });
});

describe('a port with TLS', () => {
  it('says why it drops who speaks plain text, an old TLS, or no HTTP/2', async () => {
    const { server, refused } = await serve();
    const plain = connectTcp(server.port, '127.0.0.1', () => plain.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'));
    plain.on('error', () => {});
    onCleanup(() => void plain.destroy());
    await until(() => refused.length === 1, { what: 'plain text to be dropped' });
    expect(refused[0]?.message).toBe('it does not speak TLS');

    const client = authority.issue(uri(FLEET));
    const tls = (options: object) => {
      const socket: TLSSocket = connect({
        port: server.port,
        host: '127.0.0.1',
        servername: 'controller.test',
        ca: authority.certificate,
        cert: client.certificate,
        key: client.key,
        ...options,
      });
      socket.on('error', () => {});
      onCleanup(() => void socket.destroy());
    };
    tls({ minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT:@SECLEVEL=0' });
    await until(() => refused.length === 2, { what: 'TLS 1.1 to be dropped' });
    expect(refused[1]?.message).toBe('it speaks no TLS newer than 1.1');
    tls({});
    await until(() => refused.length === 3, { what: 'a client without HTTP/2 to be dropped' });
    expect(refused[2]?.message).toBe('it does not ask for HTTP/2 (ALPN h2)');
    // Whoever does as it should is served meanwhile.
    expect((await ask(server.port, { security: await security(client) })).names).toEqual(['p']);
  });

  it('cannot be talked into another handshake, in which a peer could become somebody else', async () => {
    const { server } = await serve();
    const client = authority.issue(uri(FLEET));
    const socket = connect({
      ...{ port: server.port, host: '127.0.0.1', servername: 'controller.test', ca: authority.certificate },
      ...{ cert: client.certificate, key: client.key, ALPNProtocols: ['h2'], maxVersion: 'TLSv1.2' },
    });
    onCleanup(() => void socket.destroy());
    socket.on('error', () => {});
    socket.resume();
    await new Promise((resolve) => socket.once('secureConnect', resolve));
    let again: 'done' | 'refused' | undefined;
    socket.once('close', () => {
      again ??= 'refused';
    });
    socket.renegotiate({}, (error) => {
      again ??= error ? 'refused' : 'done';
    });
    expect(await until(() => again, { what: 'an end of the handshake' })).toBe('refused');
  });

  it('is not spoken to by clients that do not trust it, or that call it by another name', async () => {
    const { server, refused } = await serve();
    const issued = authority.issue(uri(FLEET));
    const distrusting = await ask(server.port, { security: await security(issued, stranger.certificate) });
    expect(distrusting.ended?.code).toBe(status.UNAVAILABLE);
    // It has gone away without a word, as a balancer does that looks whether the port is open: nothing to tell.
    expect(refused).toEqual([]);
    const named = new ChannelSecurity(await open(files('named', issued)), 'other.test');
    expect((await ask(server.port, { security: named })).ended?.code).toBe(status.UNAVAILABLE);
  });

  it('takes new certificates: streams live on, connections that come see the new one', async () => {
    const { server, paths } = await serve();
    const mine = await security(authority.issue(uri(FLEET)));
    const before = await ask(server.port, { security: mine });
    const served = () =>
      new Promise<string>((resolve, reject) => {
        const socket = connect({
          port: server.port,
          host: '127.0.0.1',
          ca: authority.certificate,
          ALPNProtocols: ['h2'],
        });
        socket.once('secureConnect', () => {
          resolve(socket.getPeerCertificate().serialNumber);
          socket.destroy();
        });
        socket.once('error', reject);
      });
    const first = await served();
    const renewed = authority.issue({ name: 'renewed', alternatives: SERVER_NAMES });
    replace(paths, renewed);
    await until(async () => (await served()) === renewed.serial, { what: 'the new certificate' });
    expect(first).not.toBe(renewed.serial);
    server.publish(FLEET, { upserts: [resource(TYPE.policy, 'p2', Buffer.from('p2'))], removals: [] });
    await until(() => before.names.includes('p2'), { what: 'the old stream to go on' });
    expect(before.ended).toBeUndefined();

    // Another CA: nodes with certificates of the old one are out from now on.
    writeFileSync(paths.ca, stranger.certificate);
    const theirs = await security(stranger.issue(uri(FLEET)));
    await until(async () => (await ask(server.port, { security: theirs })).names.length, { what: 'the new CA' });
    const old = await ask(server.port, { security: await security(authority.issue(uri(FLEET))) });
    expect(old.ended?.code).toBe(status.UNAVAILABLE);
    expect(before.ended).toBeUndefined();
  });

  it('may stand beside one that speaks plain text, where the same proof is asked for', async () => {
    const { server } = await serve({ identity: 'required' }, { plainPort: 0 });
    const plain = server.plainPort as number;
    expect((await ask(plain, { token: 'shared' })).names).toEqual(['p']);
    expect((await ask(plain, {})).ended?.code).toBe(status.UNAUTHENTICATED);
    expect((await ask(server.port, { security: await security(authority.issue(uri(FLEET))) })).names).toEqual(['p']);
  });
});

describe('files of certificates', () => {
  it('are judged with all their faults at once, without a word of a key', async () => {
    const good = authority.issue(uri(FLEET));
    const other = authority.issue(uri(FLEET));
    const faults = (paths: CertificatePaths) =>
      CertificateFiles.open(paths).then(
        () => [],
        (error: CertificateError) => error.faults.map(({ file, message }) => `${file} ${message.replaceAll(dir, '')}`),
      );
    const paths = files('faults', good);
    const empty = join(dir, 'empty');
    writeFileSync(empty, '');
    expect(await faults({ certificate: join(dir, 'no'), key: empty, ca: dir })).toEqual([
      'certificate cannot be read: /no (ENOENT)',
      'ca cannot be read:  (EISDIR)',
      'key holds no private key in PEM form: /empty',
    ]);
    expect(await faults({ ...paths, ca: empty })).toEqual(['ca holds no certificate in PEM form: /empty']);
    writeFileSync(paths.key, other.key);
    expect(await faults(paths)).toEqual(['key is not the key of the certificate: /faults.key']);
    writeFileSync(paths.certificate, good.certificate.replace(/\n[A-Za-z0-9+/]{20}/, '\n'));
    expect(await faults(paths)).toEqual(['certificate holds a certificate that cannot be read: /faults.pem']);
  });

  it('that stop being good while they are in use are told once, and what there was stays', async () => {
    const told: string[] = [];
    const paths = files('spoilt', authority.issue(uri(FLEET)));
    const opened = await CertificateFiles.open(paths, { everyMs: 5, onTrouble: ({ message }) => told.push(message) });
    onCleanup(() => opened.close());
    const before = opened.current;
    writeFileSync(paths.key, 'nothing');
    await until(() => told.length > 0, { what: 'the trouble' });
    writeFileSync(paths.certificate, 'nothing');
    await until(() => told.length > 1, { what: 'the other trouble' });
    expect(told).toHaveLength(2);
    expect(opened.current).toBe(before);
    replace(paths, authority.issue(uri(FLEET)));
    await until(() => opened.current !== before, { what: 'good files' });
  });
});

describe('certificates that TLS does not take', () => {
  const weak = () => {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 1024 });
    return authority.issue({ ...uri(FLEET), alternatives: SERVER_NAMES, privateKey });
  };

  it('are told at the start', async () => {
    await expect(CertificateFiles.open(files('weak', weak()))).rejects.toMatchObject({
      faults: [{ file: 'certificate', message: expect.stringContaining('(ERR_SSL_EE_KEY_TOO_SMALL)') }],
    });
  });

  it('and come while others are in use, end nothing', async () => {
    const { server, paths } = await serve();
    const told: string[] = [];
    const watch = await CertificateFiles.open(paths, { everyMs: 5, onTrouble: ({ message }) => told.push(message) });
    onCleanup(() => watch.close());
    replace(paths, weak());
    await until(() => told.length > 0, { what: 'the trouble' });
    expect(told[0]).toContain('ERR_SSL_EE_KEY_TOO_SMALL');
    expect((await ask(server.port, { security: await security(authority.issue(uri(FLEET))) })).names).toEqual(['p']);
  });
});

describe('a token of a node', () => {
  const token = (node?: string, expires = SOON, key = KEY) =>
    makeBoundToken(key, { fleet: FLEET, ...(node !== undefined && { node }) }, expires);

  it('lets in whom it is for, with keys, and nobody else', async () => {
    const { server } = await serve({ identity: 'bound' }, false);
    expect((await ask(server.port, { token: token(), node: 'any', type: TYPE.app })).names).toEqual(['a']);
    expect((await ask(server.port, { token: token('gw-1'), type: TYPE.app })).names).toEqual(['a']);
    const edge = await ask(server.port, { token: token('gw-1'), node: 'gw-1-edge', beside: 'gw-1', type: TYPE.app });
    expect(edge.names).toEqual(['a']);
    expect(server.streams()[0]).toMatchObject({
      identity: { by: 'token', expiresAtMs: Math.floor(SOON / 1000) * 1000 },
    });
    const { ended } = await ask(server.port, { token: token('gw-1'), node: 'gw-2' });
    expect(ended?.code).toBe(status.PERMISSION_DENIED);
    expect(ended?.details).toContain('make a token for it with "paifang node-token"');
  });

  it.each([
    ['expired', () => token('gw-1', Date.now() - 1000), 'The token of node "gw-1" of fleet "acme/prod" expired at 20'],
    ['made with another key', () => token('gw-1', SOON, Buffer.alloc(32, 4)), 'The token is damaged, or was made with'],
    ['cut off', () => token('gw-1').slice(0, -5), 'The token is damaged, or was made with'],
    ['not the shared one', () => 'guess', 'The node token is wrong.'],
  ])('that is %s is refused', async (_, make, message) => {
    const { server, refused } = await serve({}, false);
    const { ended } = await ask(server.port, { token: make() });
    expect(ended).toMatchObject({ code: status.UNAUTHENTICATED, details: expect.stringContaining(message) });
    expect(refused[0]).toMatchObject({ at: 'unauthenticated' });
    expect(JSON.stringify(refused)).not.toContain(make());
  });

  it('must agree with a certificate beside it', async () => {
    const { server } = await serve();
    const mine = await security(authority.issue(uri(OTHER)));
    const { ended } = await ask(server.port, { security: mine, token: token(), fleet: OTHER });
    expect(ended?.code).toBe(status.PERMISSION_DENIED);
    expect((await ask(server.port, { security: mine, token: 'shared', fleet: OTHER })).names).toEqual(['p']);
  });
});

describe('who proves nothing', () => {
  it('is heard where that is optional, without keys, and told of a fleet that is not there', async () => {
    const { server } = await serve({}, false);
    expect((await ask(server.port, {})).names).toEqual(['p']);
    expect(server.streams()[0]).toMatchObject({ authorised: false, identity: { by: 'none' } });
    const { ended } = await ask(server.port, { fleet: `no/${'x'.repeat(500)}\u0000` });
    expect(ended?.code).toBe(status.NOT_FOUND);
    expect(ended?.details).toMatch(/^No fleet "no\/x{117}…" is published here\. Set node\.cluster/);
  });

  it('is refused where identity is required, by what would be enough there', async () => {
    const required = await serve({ identity: 'required' }, false);
    const { ended } = await ask(required.server.port, {});
    expect(ended).toMatchObject({ code: status.UNAUTHENTICATED });
    expect(ended?.details).toContain('spiffe://<trust domain>/fleet/<workspace>/<fleet>');
    expect(ended?.details).toContain('paifang node-token');
    expect((await ask(required.server.port, { token: 'shared' })).names).toEqual(['p']);
    const bound = await serve({ identity: 'bound' }, false);
    const shared = await ask(bound.server.port, { token: 'shared' });
    expect(shared.ended?.details).toMatch(/^The node token that all edges share is not enough here\./);
    // Nothing tells it which fleets there are.
    expect((await ask(bound.server.port, { fleet: 'x/y' })).ended?.code).toBe(status.UNAUTHENTICATED);
  });
});

describe('log collection', () => {
  it('takes lines of the node the proof is for, and no others', async () => {
    const collect = async () => ({ storedTo: 7n, unparsed: 0 });
    const rules = { nodeToken: 'shared', tokenKey: KEY };
    const { server } = await serve({ services: (grpc) => addLogService(grpc, { collect, ...rules }) });
    const ship = async (issued: Issued | undefined, node: string, cluster: string, token?: string) => {
      const client = createLogClient(`127.0.0.1:${server.port}`, token, await security(issued));
      onCleanup(() => client.close());
      return client.ship({ node, cluster, file: 'f', offset: 0n, lines: Buffer.from('{}\n') });
    };
    const mine = authority.issue(uri(FLEET, 'gw-1'));
    expect(Number((await ship(mine, 'gw-1', FLEET)).storedTo)).toBe(7);
    await expect(ship(mine, 'gw-2', FLEET)).rejects.toMatchObject({ code: status.PERMISSION_DENIED });
    await expect(ship(mine, 'gw-1', OTHER)).rejects.toMatchObject({ code: status.PERMISSION_DENIED });
    const nameless = authority.issue({ name: 'monitor' });
    await expect(ship(nameless, 'gw-1', FLEET)).rejects.toMatchObject({ code: status.UNAUTHENTICATED });
    expect(Number((await ship(nameless, 'gw-1', FLEET, 'shared')).storedTo)).toBe(7);
  });
});
