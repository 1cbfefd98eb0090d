import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type AdsSecuritySettings, openAdsSecurity } from '../../src/controller/ads-security.js';
import { RefusedPeers } from '../../src/controller/refused-peers.js';
import { makeBoundToken } from '../../src/core/ads/bound-token.js';
import { openControllerAccess, tokenSource } from '../../src/edge/controller-access.js';
import { keepingSecret } from '../../src/edge/lastgood/keeping-secret.js';
import { keptLog } from '../support/admin.js';
import { Authority } from '../support/authority.js';
import { onCleanup } from '../support/cleanup.js';
import { paifang } from '../support/cli.js';
import { tmpDir } from '../support/tmp.js';

const LOOPBACK = { host: '127.0.0.1', port: 9876 };

function files(notAfter?: Date) {
  const dir = tmpDir();
  const authority = new Authority();
  const { certificate, key } = authority.issue({ name: 'c', alternatives: ['DNS:c'], ...(notAfter && { notAfter }) });
  const paths = { certificate: join(dir, 'c.pem'), key: join(dir, 'c.key'), clientCa: join(dir, 'ca.pem') };
  writeFileSync(paths.certificate, certificate);
  writeFileSync(paths.key, key);
  writeFileSync(paths.clientCa, authority.certificate);
  return paths;
}

async function opened(settings: Partial<AdsSecuritySettings>) {
  const log = keptLog();
  const security = await openAdsSecurity({ ...LOOPBACK, ...settings }, log);
  if ('tls' in security) onCleanup(() => security.tls?.certificates.close());
  return { security, log: log.lines.join('\n') };
}

describe('the settings of the xDS port', () => {
  it('ask for nothing on loopback, and warn of plain text anywhere else', async () => {
    expect(await opened({})).toEqual({ security: {}, log: '' });
    for (const host of ['localhost', '::1', '127.3.2.1']) expect((await opened({ host })).log).toBe('');
    for (const host of ['0.0.0.0', '::', '10.0.0.7', 'controller.corp']) {
      const { log } = await opened({ host });
      expect(log).toMatch(/^warn xDS listens beyond loopback in plain text: .*PAIFANG_ADS_CERTIFICATE/);
    }
  });

  it('warn of a plain port left open, and of a certificate that ends soon', async () => {
    expect((await opened({ ...files(new Date(Date.now() + 60 * 86_400_000)), host: '0.0.0.0' })).log).toBe('');
    const { log } = await opened({ ...files(new Date(Date.now() - 1000)), host: '0.0.0.0', plainPort: 0 });
    expect(log).toContain('the certificate has expired or soon will');
    expect(log).toContain('leave PAIFANG_ADS_PLAIN_PORT out');
  });

  it('warn where TLS asks nobody who he is', async () => {
    const { clientCa, ...own } = files(new Date(Date.now() + 60 * 86_400_000));
    const host = '0.0.0.0';
    const everybody = /^warn xDS hears everybody who reaches it: .*PAIFANG_ADS_IDENTITY=bound/;
    expect((await opened({ ...own, host })).log).toMatch(everybody);
    expect((await opened({ ...own, host, clientCa, clientCertificate: 'optional' })).log).toMatch(everybody);
    for (const identity of ['required', 'bound'] as const)
      expect((await opened({ ...own, host, identity })).log).toBe('');
    expect((await opened(own)).log).toBe('');
  });

  it('tell every contradiction and every bad file at once', async () => {
    const { security } = await opened({ key: '/no/key', clientCa: '/no/ca', trustDomain: 'corp', plainPort: 9876 });
    expect(security).toEqual({
      faults: [
        { setting: 'key', message: 'is set, but PAIFANG_ADS_CERTIFICATE is not: set both or none' },
        { setting: 'clientCa', message: 'is set, but PAIFANG_ADS_CERTIFICATE is not: set both or none' },
        { setting: 'plainPort', message: expect.stringContaining('is only for beside a TLS port') },
        { setting: 'plainPort', message: expect.stringContaining('is the port of TLS too') },
        { setting: 'key', message: 'cannot be read: /no/key (ENOENT)' },
        { setting: 'clientCa', message: 'cannot be read: /no/ca (ENOENT)' },
      ],
    });
  });

  it('are told under the names people know, before anything is started', async () => {
    const controller = await paifang(['controller'], {
      env: {
        PAIFANG_DATABASE_URL: 'postgres://127.0.0.1:1/none',
        PAIFANG_ADS_CERTIFICATE: '/no/certificate',
        PAIFANG_ADS_CLIENT_CA: '/no/ca',
      },
    });
    expect(controller.status).toBe(2);
    expect(controller.stderr).toContain('3 settings are wrong');
    expect(controller.stderr).toContain('PAIFANG_ADS_CERTIFICATE: is set, but PAIFANG_ADS_KEY is not');
    expect(controller.stderr).toContain('PAIFANG_ADS_CERTIFICATE: cannot be read: /no/certificate (ENOENT)');
    expect(controller.stderr).toContain('PAIFANG_ADS_CLIENT_CA: cannot be read: /no/ca (ENOENT)');
    const edge = await paifang(['edge'], {
      env: { PAIFANG_NODE_CERTIFICATE: '/no/pem', PAIFANG_CONTROLLER_NAME: 'x' },
    });
    expect(edge.status).toBe(2);
    expect(edge.stderr).toContain('PAIFANG_NODE_CERTIFICATE: is set, but PAIFANG_CONTROLLER_CA is not');
    expect(edge.stderr).toContain('PAIFANG_CONTROLLER_NAME: is set, but PAIFANG_CONTROLLER_CA is not');
    const up = await paifang(['up'], { env: { PAIFANG_ADS_IDENTITY: 'required' } });
    expect(up.status).toBe(2);
    expect(up.stderr).toContain('PAIFANG_ADS_IDENTITY: is for controllers and edges');
  });
});

describe('the edge', () => {
  it('takes the token it is given, else that in a file as it is now, else none if it has a certificate', () => {
    const dataDir = tmpDir();
    const tokenFile = join(dataDir, 'own.token');
    expect(tokenSource({ nodeToken: 'given', tokenFile: '/no/file', dataDir })()).toBe('given');
    expect(() => tokenSource({ tokenFile, dataDir })).toThrow(
      /PAIFANG_NODE_TOKEN .*own\.token.*PAIFANG_NODE_CERTIFICATE/,
    );
    expect(() => tokenSource({ tokenFile, dataDir, certificate: 'n.pem' })).toThrow('own.token');
    writeFileSync(tokenFile, 'Bearer one\n');
    const token = tokenSource({ tokenFile, dataDir });
    expect(token()).toBe('one');
    writeFileSync(tokenFile, 'two');
    expect(token()).toBe('two');
    rmSync(tokenFile);
    expect(token()).toBe('two');
    expect(tokenSource({ dataDir, certificate: 'n.pem' })()).toBeUndefined();
  });

  it('keeps what is on disk readable when its own token or certificate is renewed', () => {
    const dataDir = tmpDir();
    expect(keepingSecret('shared', dataDir)).toBe('shared');
    const own = makeBoundToken(Buffer.alloc(32), { fleet: 'a/b' }, Date.now() + 1000);
    const secret = keepingSecret(own, dataDir);
    expect(secret).not.toBe(own);
    expect(keepingSecret(undefined, dataDir)).toBe(secret);
    const file = join(dataDir, 'last-good.key');
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(readFileSync(file, 'utf8').trim()).toBe(secret);
    writeFileSync(file, '');
    expect(() => keepingSecret(undefined, dataDir)).toThrow('last-good.key holds no secret');
  });

  it('opens its certificates, or tells what is wrong with them', async () => {
    const { clientCa, ...own } = files();
    const access = await openControllerAccess({ controllerCa: clientCa, ...own }, keptLog());
    expect(access).toHaveProperty('security');
    expect(await openControllerAccess({}, keptLog())).toEqual({});
    expect(await openControllerAccess({ ...own, controllerCa: own.key }, keptLog())).toEqual({
      faults: [{ setting: 'controllerCa', message: expect.stringContaining('holds no certificate in PEM form') }],
    });
  });
});

describe('who was not let in', () => {
  it('is logged once a minute, counted, and kept in bounds whatever strangers send', () => {
    let now = Date.UTC(2026, 10, 22);
    const log = keptLog();
    const refused = new RefusedPeers(log, () => now);
    const one = { peer: '10.0.0.9:1000', at: 'denied', node: 'gw-1', fleet: 'a/b', message: 'no' } as const;
    for (let port = 1000; port < 1010; port++) refused.add({ ...one, peer: `10.0.0.9:${port}` });
    expect(log.lines).toHaveLength(1);
    expect(refused.view()).toEqual([{ ...one, peer: '10.0.0.9:1009', count: 10, lastAt: '2026-11-22T00:00:00.000Z' }]);
    now += 60_000;
    refused.add(one);
    expect(log.lines).toHaveLength(2);
    for (let i = 0; i < 1000; i++) refused.add({ ...one, node: `${'x'.repeat(1000)}${i}`, fleet: `${i}/\u0000` });
    expect(log.lines.length).toBeLessThan(25);
    expect(refused.view()).toHaveLength(100);
    expect(JSON.stringify(refused.view()).length).toBeLessThan(100_000);
  });

  it('may have said nothing of itself', () => {
    const refused = new RefusedPeers(keptLog());
    refused.add({ peer: 'unknown', at: 'handshake', message: 'it does not speak TLS' });
    expect(refused.view()[0]).toMatchObject({ peer: 'unknown', node: null, fleet: null, count: 1 });
  });
});
