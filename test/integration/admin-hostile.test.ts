import { connect } from 'node:net';
import { beforeAll, describe, expect, it } from 'vitest';
import { ADMIN_TOKEN, type AdminClient, SHOP, testController } from '../support/admin.js';
import { testPostgres } from '../support/postgres.js';

let admin: AdminClient;
const base = '/api/v1/workspaces/shop';

beforeAll(async () => {
  admin = await testController(await (await testPostgres()).database());
  await admin.call('POST', '/api/v1/workspaces', { name: 'shop' });
  await admin.call('POST', `${base}/changesets`, { definitions: SHOP });
});

const json = { 'content-type': 'application/json' };
const api = (change: object) => JSON.stringify({ ...SHOP.apis[0], ...change });

describe('bodies', () => {
  it.each<[string, number, string, string | Uint8Array, Record<string, string>?]>([
    ['nothing', 400, 'malformed-body', '', json],
    ['half a document', 400, 'malformed-body', '{"name": "x', json],
    ['two documents', 400, 'malformed-body', '{} {}', json],
    ['not UTF-8', 400, 'malformed-body', new Uint8Array([0x7b, 0xff, 0xfe, 0x7d]), json],
    ['UTF-16', 400, 'malformed-body', new Uint8Array(Buffer.from('\ufeff{}', 'utf16le')), json],
    ['a key twice', 400, 'malformed-body', '{"name":"x","name":"y"}', json],
    ['a key twice, deep', 400, 'malformed-body', api({}).replace('"path":', '"path":"/a","path":'), json],
    ['nesting without end', 400, 'malformed-body', '['.repeat(100_000), json],
    ['U+0000', 400, 'malformed-body', api({ description: 'a\0b' }), json],
    ['half a surrogate pair', 400, 'malformed-body', '{"description":"\\ud800"}', json],
    ['a list', 422, 'invalid-definitions', '[]', json],
    ['null', 422, 'invalid-definitions', 'null', json],
    ['a number', 422, 'invalid-definitions', '1e400', json],
    ['__proto__', 422, 'invalid-definitions', '{"__proto__":{"name":"x"},"constructor":{}}', json],
    ['a form', 415, 'wrong-content-type', 'name=x', { 'content-type': 'application/x-www-form-urlencoded' }],
    ['text', 415, 'wrong-content-type', '{}', { 'content-type': 'text/plain' }],
    [
      'a merge patch where none is taken',
      415,
      'wrong-content-type',
      '{}',
      { 'content-type': 'application/merge-patch+json' },
    ],
    ['a broken content type', 415, 'wrong-content-type', '{}', { 'content-type': ';;;' }],
    ['a name with control characters', 422, 'invalid-definitions', api({ name: 'a\u0001b' }), json],
    ['a name of 10,000 characters', 422, 'invalid-definitions', api({ name: 'x'.repeat(10_000) }), json],
  ])('%s', async (_, status, problem, body, headers) => {
    const reply = await admin.call('POST', `${base}/apis`, body, headers);
    expect([reply.status, reply.body?.type]).toEqual([status, `urn:paifang:problem:${problem}`]);
    expect(reply.headers.get('content-type')).toContain('application/problem+json');
    expect(reply.body.errors.length).toBeGreaterThan(0);
    expect(reply.body.instance).toBe(reply.headers.get('x-request-id'));
  });

  it('tells where a key occurs twice', async () => {
    const { body } = await admin.call(
      'POST',
      `${base}/changesets`,
      '{"definitions":{"apis":[{"name":"a"},{"name":"b","name":"c"}]}}',
      json,
    );
    expect(body.errors).toMatchObject([{ code: 'duplicate-key', pointer: '/definitions/apis/1/name' }]);
  });

  it('larger than the limit', async () => {
    const reply = await admin.call('POST', `${base}/changesets`, `{"message":"${'x'.repeat(33 * 1024 * 1024)}"}`, json);
    expect(reply.status).toBe(413);
    expect(reply.body.type).toBe('urn:paifang:problem:body-too-large');
  });

  it('where none is taken', async () => {
    const reply = await admin.call('DELETE', '/api/v1/workspaces/shop', { a: 1 });
    expect(reply.status).toBe(400);
  });
});

describe('addresses', () => {
  it.each<[string, number, string, string]>([
    ['unknown path', 404, 'GET', '/api/v2/nothing'],
    ['unknown method', 404, 'POST', '/livez'],
    ['unknown parameter', 400, 'GET', `${base}/apis?lmit=3`],
    ['unknown parameter where none is taken', 400, 'GET', '/livez?x=1'],
    ['a parameter twice', 400, 'GET', `${base}/apis?limit=1&limit=2`],
    ['wrong type', 400, 'GET', `${base}/apis?limit=ten`],
    ['out of range', 400, 'GET', `${base}/apis?limit=0`],
    ['far out of range', 400, 'GET', `${base}/apis?limit=99999999999999999999`],
    ['U+0000 in a filter', 400, 'GET', `${base}/apis?q=%00`],
    ['not an enumeration value', 400, 'GET', `${base}/apis?state=gone`],
    ['a number too large', 404, 'GET', `${base}/releases/99999999999`],
    ['a number that is none', 404, 'GET', `${base}/releases/one`],
    ['U+0000 in a name', 404, 'GET', `${base}/apis/a%00b`],
    ['a name that sounds like an outage', 404, 'POST', `${base}/apis/connection-terminated-timeout/publish`],
    ['an upper-case workspace', 404, 'GET', '/api/v1/workspaces/SHOP/apis'],
    ['a broken escape', 400, 'GET', `${base}/apis/%zz`],
    ['bytes that are not UTF-8', 400, 'GET', `${base}/apis/%ff%fe`],
    ['a name of 5,000 characters', 404, 'GET', `${base}/apis/${'x'.repeat(5000)}`],
    ['a cursor of the audit that is none', 400, 'GET', `${base}/audit?cursor=x`],
    ['an instant that is none', 400, 'GET', `${base}/audit?from=yesterday`],
    ['SQL in a filter', 200, 'GET', `${base}/apis?q=${encodeURIComponent("'; drop table object; --")}`],
    ['SQL in a cursor', 200, 'GET', `${base}/apis?cursor=${encodeURIComponent("' or 1=1 --")}`],
    ['a number of four digits that is no code', 404, 'GET', '/api/v1/codes/0000'],
    ['prototype names', 404, 'GET', `${base}/apis/__proto__`],
    ['prototype names as parameters', 400, 'GET', `${base}/apis?__proto__=1&constructor=2`],
  ])('%s', async (_, status, method, path) => {
    const reply = await admin.call(method, path);
    expect([reply.status, reply.text.slice(0, 300)]).toEqual([status, expect.anything()]);
    if (status >= 400) {
      expect(reply.body.status).toBe(status);
      expect(reply.headers.get('content-type')).toContain('application/problem+json');
    }
  });

  it('all wrong parameters at once', async () => {
    const { body } = await admin.call('GET', `${base}/apis?limit=0&state=gone&foo=1`);
    expect(body.errors.map((e: { pointer: string }) => e.pointer).sort()).toEqual([
      'query:/foo',
      'query:/limit',
      'query:/state',
    ]);
  });

  it('what is no HTTP at all', async () => {
    const answer = await new Promise<string>((resolve, reject) => {
      const socket = connect(Number(new URL(admin.adminUrl).port), '127.0.0.1', () =>
        socket.end('\x16\x03\x01\0\0garbage\r\n\r\n'),
      );
      let text = '';
      socket.setEncoding('latin1').on('data', (chunk: string) => (text += chunk));
      socket.on('close', () => resolve(text)).on('error', reject);
    });
    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
  });
});

describe('tokens', () => {
  it.each<[string, string]>([
    ['none', ''],
    ['a wrong one', 'Bearer pf_wrong'],
    ['another scheme', `Basic ${Buffer.from(`admin:${ADMIN_TOKEN}`).toString('base64')}`],
    ['one with more behind it', `Bearer ${ADMIN_TOKEN} x`],
    ['its beginning', `Bearer ${ADMIN_TOKEN.slice(0, -1)}`],
    ['an endless one', `Bearer ${'x'.repeat(8000)}`],
  ])('%s', async (_, authorization) => {
    const reply = await admin.call('GET', '/api/v1/workspaces', undefined, { authorization });
    expect(reply.status).toBe(401);
    expect(reply.headers.get('www-authenticate')).toContain('Bearer');
    expect(reply.body.errors[0].hint).toContain('Authorization: Bearer');
  });

  it('are needed everywhere but where a probe or a client without one must get in', async () => {
    const document = (await admin.call('GET', '/openapi.json', undefined, { authorization: '' })).body;
    const open: string[] = [];
    for (const [path, methods] of Object.entries<Record<string, { security?: unknown[] }>>(document.paths)) {
      for (const [method, operation] of Object.entries(methods)) {
        const concrete = path.replaceAll(/\{(\w+)\}/g, (_, name) =>
          name === 'code' ? '1000' : name === 'number' || name.length === 1 ? '1' : 'shop',
        );
        const { status } = await admin.call(method.toUpperCase(), concrete, undefined, { authorization: '' });
        if (status !== 401) open.push(path);
        expect([path, status !== 401]).toEqual([path, operation.security !== undefined]);
      }
    }
    expect(open.sort()).toEqual([
      '/actuator/health',
      '/actuator/readiness',
      '/api/v1/codes',
      '/api/v1/codes/{code}',
      '/codes/{code}',
      '/livez',
      '/metrics',
      '/openapi.json',
      '/readyz',
    ]);
  });
});

it('none of it was a fault of our own', () => {
  expect(admin.log.lines.filter((line) => line.startsWith('error'))).toEqual([]);
});
