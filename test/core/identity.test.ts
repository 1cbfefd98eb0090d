import { createHmac, randomBytes, X509Certificate } from 'node:crypto';
import { status } from '@grpc/grpc-js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { looksBound, makeBoundToken, readBoundToken } from '../../src/core/ads/bound-token.js';
import { covers, denial, edgeIdOf, type Grant, grantOf, grantsOf, nodeUri } from '../../src/core/ads/identity.js';
import { refusal } from '../../src/wire/refusal.js';
import { Authority } from '../support/authority.js';

const NOW = Date.UTC(2026, 10, 22);
const KEY = Buffer.alloc(32, 7);

describe('what a URI in a certificate allows', () => {
  it.each<[string, Grant | undefined]>([
    ['spiffe://corp/fleet/shop/public', { fleet: 'shop/public' }],
    ['spiffe://corp/fleet/shop/public/node/gw-1', { fleet: 'shop/public', node: 'gw-1' }],
    ['spiffe://corp/fleet/shop/%E5%89%8D%E9%97%A8', { fleet: 'shop/前门' }],
    ['spiffe://corp/fleet/shop/public/node/a%2Fb', { fleet: 'shop/public', node: 'a/b' }],
    ['spiffe://corp/fleet/shop/public/', undefined],
    ['spiffe://corp/fleet/shop', undefined],
    ['spiffe://corp/fleet//public', undefined],
    ['spiffe://corp/fleet/shop/public/node/', undefined],
    ['spiffe://corp/fleet/shop/public/node/a/b', undefined],
    ['spiffe://corp/fleet/a%2Fb/public', undefined],
    ['spiffe://corp/fleet/shop/pub%2Flic', undefined],
    ['spiffe://corp/fleet/shop/public%00', undefined],
    ['spiffe://corp/fleet/shop/public%0Aevil', undefined],
    ['spiffe://corp/fleet/shop/public%E5', undefined],
    ['spiffe://corp/fleet/shop/public%', undefined],
    ['spiffe://corp/fleet/shop/public?x', undefined],
    ['spiffe://corp/fleet/shop/public#x', undefined],
    ['spiffe:///fleet/shop/public', undefined],
    ['spiffe://u@corp/fleet/shop/public', undefined],
    ['SPIFFE://corp/fleet/shop/public', undefined],
    ['https://corp/fleet/shop/public', undefined],
    [' spiffe://corp/fleet/shop/public', undefined],
    ['spiffe://corp/ns/default/sa/orders', undefined],
    [`spiffe://corp/fleet/shop/${'a'.repeat(3000)}`, undefined],
    ['', undefined],
  ])('%s', (uri, grant) => {
    expect(grantOf(uri)).toEqual(grant);
  });

  it('is nothing in another trust domain, if one is asked for', () => {
    expect(grantOf('spiffe://corp/fleet/shop/public', 'CORP')).toEqual({ fleet: 'shop/public' });
    expect(grantOf('spiffe://corp.evil/fleet/shop/public', 'corp')).toBeUndefined();
    expect(grantOf('spiffe://evil/fleet/shop/public', 'corp')).toBeUndefined();
  });

  it('is what nodeUri wrote, for every fleet and node', () => {
    const word = fc
      .string({ unit: 'grapheme', minLength: 1, maxLength: 20 })
      .filter((text) => !/[/\p{Cc}]/u.test(text));
    fc.assert(
      fc.property(word, word, word, (workspace, fleet, node) => {
        const grant = grantOf(nodeUri('corp', { fleet: `${workspace}/${fleet}`, node }));
        expect(grant).toEqual({ fleet: `${workspace}/${fleet}`, node });
      }),
    );
  });
});

describe('the alternative names of a certificate', () => {
  const read = (...alternatives: string[]) => {
    const { certificate } = new Authority().issue({ name: 'node', alternatives });
    return grantsOf(new X509Certificate(certificate).subjectAltName ?? '');
  };

  it('are read from a real certificate among names of other kinds', () => {
    expect(
      read('DNS:gw-1.corp', 'URI:spiffe://corp/fleet/a/b/node/n', 'IP:10.0.0.1', 'URI:spiffe://corp/fleet/c/d'),
    ).toEqual([{ fleet: 'a/b', node: 'n' }, { fleet: 'c/d' }]);
  });

  it('cannot be smuggled in by a comma, a quote or a line feed within another name', () => {
    expect(read('DNS:x, URI:spiffe://corp/fleet/a/b')).toEqual([]);
    expect(read('URI:http://x/, URI:spiffe://corp/fleet/a/b')).toEqual([]);
    expect(read('DNS:x", URI:spiffe://corp/fleet/a/b')).toEqual([]);
    expect(read('DNS:x\\", URI:spiffe://corp/fleet/a/b, DNS:"')).toEqual([]);
    expect(read('DNS:x\nURI:spiffe://corp/fleet/a/b')).toEqual([]);
    expect(read('DNS:x\0', 'URI:spiffe://corp/fleet/a/b')).toEqual([{ fleet: 'a/b' }]);
  });

  it('may be very many', () => {
    const many = Array.from({ length: 1000 }, (_, i) => `URI:spiffe://corp/fleet/shop/f${i}`);
    expect(read(...many)).toHaveLength(1000);
  });

  it('are read without fault whatever the text is, and a text that breaks off allows nothing', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => Array.isArray(grantsOf(text))));
    expect(grantsOf('URI:spiffe://corp/fleet/a/b, URI:"spiffe://corp')).toEqual([]);
  });
});

describe('claims', () => {
  const fleet: Grant = { fleet: 'shop/public' };
  const node: Grant = { fleet: 'shop/public', node: 'gw-1' };

  it('of any node are covered by a grant for the fleet, of that fleet alone', () => {
    expect(covers([fleet], { fleet: 'shop/public', node: 'any' })).toBe(true);
    expect(covers([fleet], { fleet: 'shop/public', node: 'any-edge', beside: 'any' })).toBe(true);
    expect(covers([fleet], { fleet: 'shop/publi', node: 'any' })).toBe(false);
    expect(covers([fleet], { fleet: 'Shop/public', node: 'any' })).toBe(false);
    expect(covers([], { fleet: 'shop/public', node: 'any' })).toBe(false);
  });

  it('of a node and its edge are covered by a grant for the node, and nothing that only looks like them', () => {
    expect(covers([node], { fleet: 'shop/public', node: 'gw-1' })).toBe(true);
    expect(covers([node], { fleet: 'shop/public', node: edgeIdOf('gw-1'), beside: 'gw-1' })).toBe(true);
    expect(covers([node], { fleet: 'shop/public', node: 'gw-2' })).toBe(false);
    expect(covers([node], { fleet: 'shop/public', node: 'gw-1-edge' })).toBe(false);
    expect(covers([node], { fleet: 'shop/public', node: 'gw-2', beside: 'gw-1' })).toBe(false);
    expect(covers([node], { fleet: 'shop/public', node: 'gw-1', beside: 'gw-2' })).toBe(false);
    expect(covers([node], { fleet: 'shop/private', node: 'gw-1' })).toBe(false);
  });

  it('that a proof does not cover are told with what it allows, what was claimed and what to do', () => {
    const certificate = {
      kind: 'certificate',
      serial: '0A',
      expiresAtMs: NOW,
      grants: [node, fleet, node, node],
    } as const;
    const text = denial([certificate], { fleet: 'shop/private', node: 'gw-1-edge', beside: 'gw-1' });
    expect(text).toBe(
      'The client certificate with serial 0A is for node "gw-1" of fleet "shop/public" and any node of fleet "shop/public" and node "gw-1" of fleet "shop/public" and 1 more; the peer says that it is node "gw-1-edge" beside node "gw-1" of fleet "shop/private". Set node.cluster and node.id to what it is for, or give it a certificate with the URI spiffe://<trust domain>/fleet/shop/private/node/gw-1.',
    );
  });

  it('must be covered by each proof that names fleets; others say nothing', () => {
    const certificate = { kind: 'certificate', serial: '0A', expiresAtMs: NOW, grants: [fleet] } as const;
    const nameless = { ...certificate, grants: [] };
    const token = { kind: 'token', expiresAtMs: NOW, grants: [{ fleet: 'shop/private' }] } as const;
    const claim = { fleet: 'shop/public', node: 'gw-1' };
    expect(denial([], claim)).toBeUndefined();
    expect(denial([certificate, nameless, { kind: 'shared-token' }], claim)).toBeUndefined();
    expect(denial([certificate, token], claim)).toContain(
      'The token presented is for any node of fleet "shop/private"',
    );
  });

  it('of any length and content make a message of bounded length without control characters', () => {
    const certificate = { kind: 'certificate', serial: '0A', expiresAtMs: NOW, grants: [node] } as const;
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (name, other) => {
        const text = denial([certificate], { fleet: `x${name}`.repeat(200), node: other.repeat(200), beside: other });
        expect(text?.length).toBeLessThan(4000);
        // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
        expect(text).not.toMatch(/[\u0000-\u001f]/);
      }),
    );
  });
});

describe('a token for one fleet or node', () => {
  const EXPIRES = NOW + 60_000;
  const token = makeBoundToken(KEY, { fleet: 'shop/前门', node: 'gw-1' }, EXPIRES);

  it('is right until it expires, at every holder of the key', () => {
    expect(looksBound(token)).toBe(true);
    const grant = { fleet: 'shop/前门', node: 'gw-1' };
    expect(readBoundToken(token, Buffer.from(KEY), NOW)).toEqual({ kind: 'right', grant, expiresAtMs: EXPIRES });
    expect(readBoundToken(token, KEY, EXPIRES - 1).kind).toBe('right');
    expect(readBoundToken(token, KEY, EXPIRES)).toEqual({ kind: 'expired', grant, expiresAtMs: EXPIRES });
  });

  it('is wrong with any other key, and when any character is changed, left out or added', () => {
    expect(readBoundToken(token, randomBytes(32), NOW)).toEqual({ kind: 'wrong' });
    for (let at = 0; at < token.length; at++) {
      // The last character carries two bits that mean nothing.
      if (at === token.length - 1) continue;
      const other = token[at] === 'A' ? 'B' : 'A';
      expect(readBoundToken(`${token.slice(0, at)}${other}${token.slice(at + 1)}`, KEY, NOW).kind).toBe('wrong');
      expect(readBoundToken(token.slice(0, at), KEY, NOW).kind).toBe('wrong');
    }
    for (const text of [
      `${token} `,
      ` ${token}`,
      `${token}=`,
      `${token}.`,
      `${token}\n`,
      '',
      'pfn1..',
      'x'.repeat(1e6),
    ])
      expect(readBoundToken(text, KEY, NOW)).toEqual({ kind: 'wrong' });
  });

  it('is wrong when its content was put together from others', () => {
    const [, theirs] = makeBoundToken(KEY, { fleet: 'shop/private' }, EXPIRES).split('.') as [string, string, string];
    const [prefix, , mac] = token.split('.') as [string, string, string];
    expect(readBoundToken(`${prefix}.${theirs}.${mac}`, KEY, NOW).kind).toBe('wrong');
    const bare = createHmac('sha256', KEY).update(theirs).digest('base64url');
    expect(readBoundToken(`${prefix}.${theirs}.${bare}`, KEY, NOW).kind).toBe('wrong');
  });

  it('never makes the reader fail', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(readBoundToken(text, KEY, NOW).kind).toBe('wrong');
        expect(readBoundToken(`pfn1.${Buffer.from(text).toString('base64url')}.${'A'.repeat(43)}`, KEY, NOW).kind).toBe(
          'wrong',
        );
      }),
    );
  });

  it('holds the longest names there are', () => {
    const grant = { fleet: `${'门'.repeat(64)}/${'前'.repeat(64)}`, node: '"'.repeat(255) };
    expect(readBoundToken(makeBoundToken(KEY, grant, EXPIRES), KEY, NOW)).toMatchObject({ kind: 'right', grant });
  });
});

describe('a refusal', () => {
  it('is readable as it stands in a header, and comes out whole', () => {
    const { metadata } = refusal(status.PERMISSION_DENIED, 'node "gw-1": 100 % of 前门\n<a/b>');
    expect(metadata.get('grpc-message')).toEqual(['node "gw-1": 100 %25 of %E5%89%8D%E9%97%A8%0A<a/b>']);
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const [header = ''] = refusal(status.NOT_FOUND, text).metadata.get('grpc-message');
        expect(header).toMatch(/^[\x20-\x7e]*$/);
        expect(decodeURIComponent(String(header))).toBe(text.toWellFormed());
      }),
    );
  });
});
