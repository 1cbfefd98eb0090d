import { createHash, createHmac } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { onCleanup } from '../support/cleanup.js';
import { paifang, paifangJson } from '../support/cli.js';
import { tmpDir } from '../support/tmp.js';

const KEYS = { PAIFANG_AK: 'ak-1', PAIFANG_SK: 'not a real secret' };
const mac = (text: string) => createHmac('sha256', KEYS.PAIFANG_SK).update(text).digest('base64');

interface Signed {
  method: string;
  target: string;
  headers: Record<string, string>;
  stringToSign: string;
}

describe('paifang sign', () => {
  it('signs method, target, date and digest', async () => {
    const args = ['sign', 'post', 'http://gw.test/orders?limit=2', '-d', '{"item":7}', '--explain'];
    const { headers, stringToSign } = await paifangJson<Signed>(args, { env: KEYS });
    const digest = createHash('sha256').update('{"item":7}').digest('base64');
    expect(stringToSign).toBe(
      `(request-target): post /orders?limit=2\ndate: ${headers.date}\ndigest: ${headers.digest}`,
    );
    expect(headers.digest).toBe(`SHA-256=${digest}`);
    expect(headers.authorization).toBe(
      `Signature keyId="ak-1",algorithm="hmac-sha256",headers="(request-target) date digest",signature="${mac(stringToSign)}"`,
    );
  });

  it('keeps the target as it is: dot segments, double slashes, percent signs', async () => {
    const { target } = await paifangJson<Signed>(['sign', 'GET', 'http://h/a/../b//c%2Fd?x=%41&&y'], { env: KEYS });
    expect(target).toBe('/a/../b//c%2Fd?x=%41&&y');
  });

  it('encodes what cannot stand in a request line', async () => {
    const { target } = await paifangJson<Signed>(['sign', 'GET', 'http://h/中 x?q=値'], { env: KEYS });
    expect(target).toBe('/%E4%B8%AD%20x?q=%E5%80%A4');
  });

  it('prints headers that other tools can take, and nothing else, on standard output', async () => {
    const { stdout, stderr } = await paifang(['sign', 'GET', 'http://h/'], { env: KEYS });
    expect(stderr).toBe('');
    expect(
      stdout
        .trimEnd()
        .split('\n')
        .map((line) => line.split(':')[0]),
    ).toEqual(['date', 'digest', 'authorization']);
  });

  it('takes the secret from a file, without its line feed', async () => {
    const file = join(tmpDir(), 'key');
    writeFileSync(file, `${KEYS.PAIFANG_SK}\n`);
    const args = ['sign', 'GET', 'http://h/', '--ak', 'ak-1', '--sk-file', file, '--explain'];
    const { headers, stringToSign } = await paifangJson<Signed>(args);
    expect(headers.authorization).toContain(`signature="${mac(stringToSign)}"`);
  });

  it('warns of a secret on the command line and never prints it', async () => {
    const { status, stdout, stderr } = await paifang(['sign', 'GET', 'http://h/', '--ak', 'a', '--sk', 'hush-hush']);
    expect(status).toBe(0);
    expect(stderr).toContain('can be seen by other users');
    expect(stdout + stderr).not.toContain('hush-hush');
  });

  it.each([
    [['GET', 'http://h/'], {}, /no access key/],
    [['GET', 'http://h/', '--ak', 'a'], {}, /no secret key/],
    [['GET', 'http://h/', '--ak', 'a', '--sk-file', '/no/such/file'], {}, /cannot be read \(ENOENT\)/],
    [['GET', 'ftp://h/'], KEYS, /not a URL/],
    [['GET', 'http://h:99999/'], KEYS, /not a URL/],
    [['GET', 'http://user@h/'], KEYS, /not a URL/],
    [['G T', 'http://h/'], KEYS, /not a method/],
    [['GET', 'http://h/', '-H', 'no colon'], KEYS, /not a header/],
    [['GET', 'http://h/', '-H', 'a: b\r\nc: d'], KEYS, /not a header/],
    [['GET', 'http://h/', '-d', '@/no/such/body'], KEYS, /cannot be read \(ENOENT\)/],
    [['GET', 'http://h/', '--cover', '(request-target) x-missing'], KEYS, /x-missing/],
    [['GET', 'http://h/', '--ak', 'quo"te'], KEYS, /access key/],
  ])('refuses %j', async (args, env, why) => {
    const { status, stdout, stderr } = await paifang(['sign', ...args], { env });
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toMatch(why);
  });
});

describe('paifang curl', () => {
  it('sends exactly what it signed', async () => {
    const { url, seen } = await listen((_, body) => ({ status: 200, body }));
    const args = [
      'curl',
      `${url}/a/../b//c?x=1`,
      '-d',
      'héllo',
      '-H',
      'x-one: 1',
      '-H',
      'x-one: 2',
      '--host',
      'orders.test',
    ];
    const { status, stdout, stderr } = await paifang(args, { env: KEYS });
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: 'héllo', stderr: '' });
    const [request] = seen;
    expect(request?.method).toBe('POST');
    expect(request?.url).toBe('/a/../b//c?x=1');
    expect(request?.headers).toMatchObject({ 'x-one': '1, 2', 'x-gateway-host': 'orders.test', host: url.slice(7) });
    const { date, digest, authorization } = request?.headers ?? {};
    const text = `(request-target): post /a/../b//c?x=1\ndate: ${date}\ndigest: ${digest}`;
    expect(authorization).toContain(`signature="${mac(text)}"`);
  });

  it('sends unsigned without an access key', async () => {
    const { url, seen } = await listen(() => ({ status: 200, body: Buffer.from('ok') }));
    const { stdout } = await paifang(['curl', '-i', `${url}/open`]);
    expect(stdout).toMatch(/^HTTP\/1\.1 200 OK\n(.+: .+\n)+\nok$/i);
    expect(seen[0]?.headers.authorization).toBeUndefined();
    expect(seen[0]?.method).toBe('GET');
  });

  it('hands on bytes that are no text', async () => {
    const bytes = Buffer.from([0, 255, 254, 10, 128]);
    const { url } = await listen(() => ({ status: 200, body: bytes }));
    const { body } = await paifangJson<{ body: { base64: string } }>(['curl', `${url}/`]);
    expect(Buffer.from(body.base64, 'base64')).toEqual(bytes);
  });

  const denial = {
    code: '2102',
    memo: 'RequestSignatureVerifyError',
    tips: '…',
    requestId: 'req-1',
    docs: '/codes/2102',
  };

  it('explains an error the gateway made', async () => {
    const { url } = await listen(() => ({ status: 400, json: denial }));
    const { status, stdout, stderr } = await paifang(['curl', `${url}/x`], { env: KEYS });
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toEqual(denial);
    expect(stderr).toContain('2102 RequestSignatureVerifyError (HTTP 400');
    expect(stderr).toContain('client AK and SK');
    expect(stderr).toContain('paifang logs --request-id req-1');
    expect((await paifang(['curl', '--fail', `${url}/x`], { env: KEYS })).status).toBe(1);
  });

  it("does not take a backend's own error for one of the gateway", async () => {
    const { url } = await listen(() => ({ status: 500, json: { code: '2102', memo: 'something else' } }));
    const { status, stderr } = await paifang(['curl', '--fail', `${url}/x`]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  });

  it('ends with 4 when nothing answers, or not in time', async () => {
    const { url, server } = await listen(() => undefined);
    const slow = await paifang(['curl', '--max-time', '0.2', `${url}/`]);
    expect(slow.status).toBe(4);
    expect(slow.stderr).toContain('did not answer within 0.2 s');
    await new Promise((resolve) => server.close(resolve).closeAllConnections());
    const gone = await paifang(['curl', `${url}/`]);
    expect(gone.status).toBe(4);
    expect(gone.stderr).toContain('ECONNREFUSED');
  });
});

type Reply = { status: number; body?: Buffer; json?: unknown } | undefined;

async function listen(reply: (request: IncomingMessage, body: Buffer) => Reply) {
  const seen: IncomingMessage[] = [];
  const server: Server = createServer(async (request, response) => {
    seen.push(request);
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const made = reply(request, Buffer.concat(chunks));
    if (made === undefined) return;
    const body = made.json === undefined ? made.body : Buffer.from(JSON.stringify(made.json));
    response.writeHead(made.status, { 'content-type': made.json === undefined ? 'text/plain' : 'application/json' });
    response.end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onCleanup(async () => {
    server.close();
    server.closeAllConnections();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, seen, server };
}
