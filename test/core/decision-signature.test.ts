import { createHash, createHmac } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decide } from '../../src/core/decision/decide.js';
import { digestFault, digestHeader } from '../../src/core/decision/digest.js';
import { HmacKey } from '../../src/core/decision/hmac-key.js';
import { formatHttpDate, parseHttpDate } from '../../src/core/decision/http-date.js';
import { signRequest } from '../../src/core/decision/sign-request.js';
import { decodedTarget, MAX_AUTHORIZATION, parseSofaSignature } from '../../src/core/decision/sofa-signature.js';
import { inputOf, tablesOf } from '../support/decision.js';

describe('parseSofaSignature', () => {
  it.each<[string, string, object]>([
    [
      'as sofa-signature-js writes it',
      'Signature keyId="a",algorithm="hmac-sha256", headers="(request-target) digest", signature="s="',
      { keyId: 'a', headers: ['(request-target)', 'digest'], signature: 's=' },
    ],
    [
      'without quotes, with times',
      'Signature keyId=a,created=1795344823,expires=1795345123.597,algorithm=hmac-sha256,headers=date,signature=s==',
      { keyId: 'a', created: '1795344823', expires: '1795345123.597', headers: ['date'], signature: 's==' },
    ],
    ['without headers: date alone', 'Signature keyId="a",signature="s"', { headers: ['date'] }],
    [
      'in any case and order, blanks and empty elements',
      'signature\t, ,KEYID = "a" , Signature = "s",, headers = "a  B ",',
      { keyId: 'a', signature: 's', headers: ['a', 'B'] },
    ],
    [
      'with escapes, commas and unknown parameters',
      'Signature keyId="a\\"b,c",nonce="x,y=",signature="s"',
      { keyId: 'a"b,c', signature: 's' },
    ],
  ])('reads a header %s', (_, header, expected) => {
    expect(parseSofaSignature(header)).toMatchObject(expected);
  });

  it.each<[string, string, string]>([
    ['a parameter sent twice', 'Signature keyId="a",keyId="b",signature="s"', 'sent twice'],
    ['no end of a quoted value', 'Signature keyId="a,signature=s', 'has no end'],
    ['an escape at the end', 'Signature keyId="a\\"', 'has no end'],
    ['no comma', 'Signature keyId="a" signature="s"', 'comma is missing'],
    ['no equals sign', 'Signature keyId', 'not followed by "="'],
    ['nothing covered', 'Signature keyId="a",headers="",signature="s"', 'headers is empty'],
    ['a name that is none', 'Signature keyId="a",headers="date\nx: y",signature="s"', 'not a header name'],
    ['an unknown derived name', 'Signature keyId="a",headers="(host)",signature="s"', 'not a header name'],
    ['sha1', 'Signature keyId="a",algorithm="hmac-sha1",signature="s"', 'sign with hmac-sha256'],
    ['a time that is none', 'Signature keyId="a",created=now,signature="s"', 'created is not a number'],
    ['(expires) without parameter', 'Signature keyId="a",headers="(expires)",signature="s"', 'add expires='],
    ['a name listed twice', 'Signature keyId="a",headers="x-a date X-A",signature="s"', 'twice; list each name once'],
    ['too many names', `Signature keyId="a",headers="${'a '.repeat(65)}",signature="s"`, 'more than 64'],
    ['too long a header', `Signature keyId="${'a'.repeat(MAX_AUTHORIZATION)}"`, 'longer than 8192'],
    ['too long a key', `Signature keyId="${'a'.repeat(257)}",signature="s"`, 'longer than 256'],
  ])('refuses %s', (_, header, told) => {
    expect(parseSofaSignature(header)).toEqual(expect.stringContaining(told));
  });

  it('never throws, and answers hostile lengths in bounded words', () => {
    const piece = fc.constantFrom(
      'Signature ',
      'keyId',
      'headers',
      'signature',
      '=',
      '"',
      '\\',
      ',',
      ' ',
      '(request-target)',
      '\0',
      'é',
      '\n',
    );
    const hostile = fc.oneof(
      fc.array(piece, { maxLength: 60 }).map((p) => `Signature ${p.join('')}`),
      fc.string({ unit: 'binary', maxLength: 300 }),
    );
    fc.assert(
      fc.property(hostile, (text) => {
        const parsed = parseSofaSignature(text);
        expect(typeof parsed === 'string' ? parsed.length : parsed.headers.length).toBeLessThan(300);
      }),
      { numRuns: 2000 },
    );
  });
});

const headerValue = fc.string({
  unit: fc.integer({ min: 0x21, max: 0x7e }).map((c) => String.fromCharCode(c)),
  minLength: 1,
  maxLength: 40,
});
const token = fc.stringMatching(/^[a-zA-Z][a-zA-Z0-9-]{0,15}$/).map((name) => `x-${name}`);

describe('what signRequest signs, decide accepts; and nothing else', () => {
  const NOW = Date.UTC(2026, 10, 22);
  const anyRequest = fc.record({
    method: fc.constantFrom('GET', 'POST', 'DELETE', 'Patch'),
    target: fc.webUrl({ withQueryParameters: true }).map((url) => new URL(url).pathname + new URL(url).search),
    extra: fc.uniqueArray(fc.tuple(token, headerValue), { maxLength: 5, selector: ([name]) => name.toLowerCase() }),
    body: fc.uint8Array({ maxLength: 200 }),
    secret: fc.string({ unit: 'binary', minLength: 1, maxLength: 100 }),
  });

  it('for any request, covered names and secret', () => {
    fc.assert(
      fc.property(anyRequest, fc.nat(), ({ method, target, extra, body, secret }, flip) => {
        const cover = ['(request-target)', ...extra.map(([name]) => name), 'date', 'digest', '(created)'];
        const { headers } = signRequest({
          method,
          target,
          headers: extra,
          body,
          accessKey: 'ak',
          secret,
          cover,
          nowMs: NOW,
        });
        const tables = tablesOf({ secret });
        const all = [...extra, ...headers];
        expect(decide(inputOf({ method, target, headers: all, body }), tables, NOW)).toMatchObject({ kind: 'allow' });
        const changed = [...body];
        if (changed.length === 0) changed.push(0);
        else changed[flip % changed.length] = (changed[flip % changed.length] as number) ^ 1;
        expect(
          decide(inputOf({ method, target, headers: all, body: Uint8Array.from(changed) }), tables, NOW),
        ).toMatchObject({ code: '2116' });
        const other = all.map(([name, value], i) => [name, i === flip % extra.length ? `${value}x` : value] as const);
        const expected = extra.length === 0 ? { kind: 'allow' } : { code: '2102' };
        expect(decide(inputOf({ method, target, headers: other, body }), tables, NOW)).toMatchObject(expected);
      }),
      { numRuns: 300 },
    );
  });

  it('values and access keys that end in byte A0, as the UTF-8 form of many characters does', () => {
    const name = Buffer.from('你').toString('latin1');
    const { headers } = signRequest({
      method: 'GET',
      target: '/',
      headers: [['x-name', name]],
      accessKey: 'ak',
      secret: 's',
      cover: ['x-name', 'date'],
      nowMs: NOW,
    });
    const text = `x-name: ${name}\ndate: ${formatHttpDate(NOW)}`;
    const expected = createHmac('sha256', 's').update(Buffer.from(text, 'latin1')).digest('base64');
    expect(headers.at(-1)?.[1]).toContain(`signature="${expected}"`);
    expect(parseSofaSignature(`Signature keyId=${name} ,signature=s`)).toMatchObject({ keyId: name });
  });

  it('is HMAC-SHA256 for keys and messages of any length', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.uint8Array({ maxLength: 9000 }), (secret, message) => {
        const expected = createHmac('sha256', secret).update(message).digest('base64');
        const text = Buffer.from(message).toString('latin1');
        expect(new HmacKey(secret).sign(text)).toBe(expected);
        expect(new HmacKey(secret).verify(text, expected)).toBe(true);
        expect(new HmacKey(secret).verify(text, expected.replace(/=$/, ''))).toBe(false);
        expect(new HmacKey(secret).verify(`${text}x`, expected)).toBe(false);
      }),
    );
  });

  it('refuses to sign what the request does not have, and access keys that would break the header', () => {
    const base = { method: 'GET', target: '/', headers: [], accessKey: 'ak', secret: 's', nowMs: NOW };
    expect(() => signRequest({ ...base, cover: ['host'] })).toThrow('"host"');
    expect(() => signRequest({ ...base, accessKey: 'a"b' })).toThrow('printable ASCII');
  });
});

describe('digests', () => {
  const body = Buffer.from('{"name":"jack"}');
  const value = createHash('sha256').update(body).digest('base64');

  it.each([[`SHA-256=${value}`], [`sha-256=${value}`], [`MD5=abc, SHA-256=${value} ,unixsum=1`]])('%s fits', (header) =>
    expect(digestFault(header, body)).toBeUndefined(),
  );

  it.each([
    ['=undefined'],
    [''],
    ['SHA-1=abc'],
    [`SHA-512=${value}`],
    [`SHA-256=${value.slice(0, -1)}`],
    [`SHA-256=${value},SHA-256=AAAA`],
    [`SHA-256=${value}${',a=b'.repeat(20)}`],
  ])('%s does not', (header) => expect(digestFault(header, body)).toEqual(expect.any(String)));

  it('of nothing is the constant that clients send with GET', () => {
    expect(digestHeader(undefined)).toBe('SHA-256=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=');
  });
});

describe('dates of HTTP', () => {
  it('are read back as they are written', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 253_402_300_799 }), (seconds) => {
        expect(parseHttpDate(formatHttpDate(seconds * 1000))).toBe(seconds * 1000);
      }),
    );
  });

  it.each([
    ['Sat, 07 Jun 2014 20:51:35 GMT', Date.UTC(2014, 5, 7, 20, 51, 35)],
    ['Tue, 07 Jun 2014 20:51:35 GMT', Date.UTC(2014, 5, 7, 20, 51, 35)],
    ['Tue, 6 Oct 2026 03:04:05 GMT', Date.UTC(2026, 9, 6, 3, 4, 5)],
    ['Tue Oct  6 03:04:05 2026', Date.UTC(2026, 9, 6, 3, 4, 5)],
    ['Tue, 31 Feb 2026 03:04:05 GMT', undefined],
    ['Tue, 06 Oct 2026 24:04:05 GMT', undefined],
    ['Tue, 06 Oct 2026 03:04:05 +0800', undefined],
    ['Tuesday, 06-Oct-26 03:04:05 GMT', undefined],
    ['2026-10-06T03:04:05Z', undefined],
    ['', undefined],
  ])('%s', (text, expected) => expect(parseHttpDate(text)).toBe(expected));
});

describe('decodedTarget', () => {
  it.each([
    ['/s/%E4%B8%AD?q=%E5%80%BC', '/s/\xe4\xb8\xad?q=\xe5\x80\xbc'],
    ['/a%20b%7Ec%22', '/a b~c"'],
    ['/a%2Fb%3Fc%23d%26e%3Df%25g%2B', '/a%2Fb%3Fc%23d%26e%3Df%25g%2B'],
    ['/a%0Adate:%00%7f', '/a%0Adate:%00%7f'],
    ['/%zz%4', '/%zz%4'],
  ])('%s', (target, decoded) => expect(decodedTarget(target)).toBe(decoded));
});
