import { beforeAll, describe, expect, it } from 'vitest';
import { Dns, type Found } from '../../src/discovery/dns.js';
import { type DnsServer, startDnsServer } from '../support/dns-server.js';

let server: DnsServer;
let dns: Dns;
beforeAll(async () => {
  server = await startDnsServer({
    'two.internal': { a: ['10.0.0.2', '10.0.0.1'], aaaa: ['fd00::1'], ttl: 30 },
    'six.internal': { aaaa: ['FD00:0::2'], ttl: 7 },
    'empty.internal': {},
    'bad.internal': { a: ['0.0.0.0', '224.1.1.1', '255.255.255.255'] },
    'mixed.internal': { a: ['0.0.0.0', '10.0.0.9'] },
    'fails.internal': { fault: 'SERVFAIL' },
    'refuses.internal': { fault: 'REFUSED' },
    'silent.internal': { fault: 'silent' },
    'garbage.internal': { fault: 'garbage' },
    'loop.internal': {
      raw: [
        { type: 'CNAME', name: 'loop.internal', data: 'pool.internal' },
        { type: 'CNAME', name: 'pool.internal', data: 'loop.internal' },
      ],
    },
    'alias.internal': {
      raw: [
        { type: 'CNAME', name: 'alias.internal', ttl: 5, data: 'real.internal' },
        { type: 'A', name: 'real.internal', ttl: 300, data: '10.0.0.5' },
      ],
    },
    'm.x': { a: Array.from({ length: 2500 }, (_, i) => `10.9.${i >> 8}.${i & 255}`), ttl: 9 },
    '_h._tcp.pods.internal': {
      srv: [
        { target: 'two.internal', port: 8080, priority: 20, weight: 0 },
        { target: 'Mixed.Internal', port: 8081, priority: 10, weight: 60 },
        { target: 'six.internal', port: 8082, priority: 10, weight: 40 },
      ],
    },
    '_none._tcp.pods.internal': { srv: [{ target: '.', port: 0 }] },
    '_part._tcp.pods.internal': {
      srv: [
        { target: 'alias.internal', port: 1 },
        { target: 'gone.internal', port: 2 },
        { target: 'fails.internal', port: 3 },
      ],
    },
    '_lost._tcp.pods.internal': { srv: [{ target: 'gone.internal', port: 2 }] },
    '_empty._tcp.pods.internal': {},
  });
  dns = new Dns({ servers: [server.address], timeoutMs: 200 });
});

const address = (name: string) => dns.ask({ type: 'address', name });
const srv = (name: string) => dns.ask({ type: 'srv', name });
const hosts = (found: Found) => (found.kind === 'found' ? found.addresses.map(({ host }) => host) : found.reason);

describe('addresses', () => {
  it('come sorted with their time to live; AAAA only of names without A', async () => {
    expect(await address('two.internal')).toEqual({
      kind: 'found',
      addresses: [{ host: '10.0.0.1' }, { host: '10.0.0.2' }],
      omitted: 0,
      ttlSeconds: 30,
    });
    expect(server.asked).not.toContain('AAAA two.internal');
    expect(await address('six.internal')).toMatchObject({ addresses: [{ host: 'fd00::2' }], ttlSeconds: 7 });
    expect(hosts(await address('mixed.internal'))).toEqual(['10.0.0.9']);
    expect(await address('alias.internal')).toMatchObject({ addresses: [{ host: '10.0.0.5' }], ttlSeconds: 5 });
  });

  it('of more than an UDP answer holds are had by TCP, and bounded', async () => {
    const found = await address('m.x');
    expect(found.kind === 'found' && [found.addresses.length, found.omitted, found.ttlSeconds]).toEqual([
      1000, 1500, 9,
    ]);
  });

  it.each([
    ['gone.internal', /no such name/],
    ['empty.internal', /no address/],
    ['bad.internal', /nothing can be sent to .*0\.0\.0\.0, 224\.1\.1\.1/],
    ['fails.internal', /SERVFAIL/],
    ['refuses.internal', /refused/],
    ['silent.internal', /did not answer in time/],
    ['garbage.internal', /DNS server|cannot be read/],
    ['loop.internal', /no address|cannot be read/],
  ])('of %s are not there, with the reason', async (name, reason) => {
    expect(hosts(await address(name))).toMatch(reason);
  });

  it('are not there when no server is', async () => {
    const nobody = new Dns({ servers: ['127.0.0.1:1'], timeoutMs: 100 });
    expect(hosts(await nobody.ask({ type: 'address', name: 'two.internal' }))).toMatch(/reached|in time/);
    expect(() => new Dns({ servers: ['dns.internal'], timeoutMs: 100 })).toThrow('PAIFANG_DNS_SERVERS');
  });

  it('of many names are asked for so many at a time', async () => {
    const many = await startDnsServer(
      Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`n${i}.internal`, { a: [`10.1.0.${i % 250}`] }])),
    );
    const all = new Dns({ servers: [many.address], timeoutMs: 5000 });
    const names = Array.from({ length: 300 }, (_, i) => ({ type: 'address' as const, name: `n${i}.internal` }));
    const found = await Promise.all(names.map((question) => all.ask(question)));
    expect(found.filter(({ kind }) => kind === 'found')).toHaveLength(300);
    expect(many.asked.filter((question) => question.startsWith('A '))).toHaveLength(300);
  });
});

describe('services', () => {
  it('have ports, weights and tiers; their targets are looked up', async () => {
    expect(await srv('_h._tcp.pods.internal')).toEqual({
      kind: 'found',
      addresses: [
        { host: '10.0.0.1', port: 8080, weight: 1, tier: 1, target: 'two.internal' },
        { host: '10.0.0.2', port: 8080, weight: 1, tier: 1, target: 'two.internal' },
        { host: '10.0.0.9', port: 8081, weight: 60, tier: 0, target: 'mixed.internal' },
        { host: 'fd00::2', port: 8082, weight: 40, tier: 0, target: 'six.internal' },
      ],
      omitted: 0,
    });
  });

  it('tell which targets are missing', async () => {
    expect(await srv('_part._tcp.pods.internal')).toMatchObject({
      addresses: [{ host: '10.0.0.5', port: 1 }],
      missing: {
        targets: ['fails.internal', 'gone.internal'],
        reason: expect.stringMatching(/^2 of 3 targets: fails\.internal: .*SERVFAIL/),
      },
    });
  });

  it.each([
    ['_none._tcp.pods.internal', /no such service/],
    ['_lost._tcp.pods.internal', /gone\.internal: there is no such name/],
    ['_empty._tcp.pods.internal', /no record/],
    ['_gone._tcp.pods.internal', /no such name/],
  ])('of %s are not there, with the reason', async (name, reason) => {
    expect(hosts(await srv(name))).toMatch(reason);
  });
});
