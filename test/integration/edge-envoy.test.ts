import { createHash } from 'node:crypto';
import { existsSync, statSync, writeFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:http2';
import { connect as connectSocket } from 'node:net';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { TYPE } from '../../src/core/ads/resource.js';
import { signRequest } from '../../src/core/decision/sign-request.js';
import { CHECK_METHOD, startAuthz } from '../../src/edge/authz/authz.js';
import type { UnaryServer } from '../../src/edge/authz/server.js';
import { framedCheckRequest } from '../../src/edge/authz/warm-up.js';
import { EdgeTables } from '../../src/edge/tables.js';
import { startChild } from '../support/child.js';
import { onCleanup } from '../support/cleanup.js';
import {
  AK,
  appBytes,
  deliver,
  echoBackend,
  envoyWithEdge,
  fill,
  IDS,
  keepAliveClient,
  SK,
} from '../support/edge-envoy.js';
import { type RunningEnvoy, startEnvoy } from '../support/envoy.js';
import { freePort } from '../support/ports.js';
import { sofa } from '../support/sofa-client.js';
import { tmpDir } from '../support/tmp.js';
import { until } from '../support/until.js';

let dir: string;
let port: number;
let envoy: RunningEnvoy;
let authz: UnaryServer;
const tables = new EdgeTables();
const errors: unknown[] = [];

async function edge(
  socket: string,
  more: { policyWaitMs?: number; request?: (type: string, names: readonly string[]) => void } = {},
): Promise<UnaryServer> {
  const server = await startAuthz({
    socket,
    tables,
    policyWaitMs: more.policyWaitMs ?? 100,
    warmUpChecks: 50,
    request: more.request ?? (() => {}),
    onError: (error) => errors.push(error),
  });
  server.publish();
  return server;
}

beforeAll(async () => {
  dir = tmpDir();
  fill(tables);
  authz = await edge(join(dir, 'authz.sock'));
  onCleanup(() => authz.close(0));
  port = await freePort();
  envoy = await startEnvoy({
    cwd: dir,
    bootstrapYaml: envoyWithEdge({
      listener: port,
      socket: 'authz.sock',
      backend: await echoBackend(),
      maxBodyBytes: 4 << 20,
    }),
  });
  await until(async () => (await keepAliveClient(port)('GET', '/plain')).status === 200, { what: 'the listener' });
});

/** Signs as a user of `sofa-signature-js` does. */
function jsSign(
  method: string,
  path: string,
  headers: Record<string, string>,
  names: string[],
  key = AK,
  secret = SK,
): [string, string] {
  const signature = new sofa.Signature(key, '', sofa.SignatureAlgorithm.HMACSHA256, names);
  return ['Authorization', signature.doSignature(secret, headers, method, path)];
}

const date = () => new Date().toUTCString();
const digestOf = (body: string | Buffer) => `SHA-256=${createHash('sha256').update(body).digest('base64')}`;

describe('a client with sofa-signature-js', () => {
  it('passes, and the backend learns the App from the gateway alone', async () => {
    const send = keepAliveClient(port);
    const headers = { date: date(), digest: sofa.HTTPDigestWithBase64(sofa.DigestAlgorithm.SHA256, '') };
    const path = '/simple/demo?b=2&a=1';
    const authorization = jsSign('GET', path, headers, ['(request-target)', 'date', 'digest']);
    const reply = await send('GET', path, [
      ...Object.entries(headers),
      authorization,
      ['x-gateway-app-id', 'forged'],
      ['X-Gateway-App-Id', 'forged too'],
    ]);
    expect(reply.status, reply.text).toBe(200);
    const seen = JSON.parse(reply.text);
    expect(seen).toMatchObject({ url: path, headers: { 'x-gateway-app-id': IDS.app, digest: headers.digest } });
    expect(seen.headers).not.toHaveProperty('authorization');
  });

  it('may sign bodies, upper-case names, repeated headers and Host with its port', async () => {
    const send = keepAliveClient(port);
    const body = JSON.stringify({ name: '你好', filler: 'x'.repeat(900_000) });
    const host = `127.0.0.1:${port}`;
    const headers = { host, date: date(), digest: digestOf(body), 'X-App-Trace': 'T-1', 'x-app-tag': 'a, b' };
    const authorization = jsSign('POST', '/orders', headers, [
      'host',
      'X-App-Trace',
      '(request-target)',
      'digest',
      'x-app-tag',
      'date',
    ]);
    const wire: [string, string][] = [
      ['Host', host],
      ['Date', headers.date],
      ['X-APP-TRACE', '  T-1 '],
      ['x-app-tag', 'a'],
      ['digest', headers.digest],
      ['X-App-Tag', 'b'],
      authorization,
    ];
    const reply = await send('POST', '/orders', wire, body);
    expect(reply.status, reply.text).toBe(200);
    expect(JSON.parse(reply.text)).toMatchObject({ bytes: Buffer.byteLength(body) });
  });

  it('may send odd targets: they are signed as they are sent', async () => {
    const send = keepAliveClient(port);
    for (const path of ['/s/%E4%B8%AD%e6%96%87?q=%E5%80%BC&e=a%20b+c%2Fd', '/a?', '/a?x=%7e~&x=1', '/a;b=1/c,d?*']) {
      const reply = await send('DELETE', path, [['date', 'none'], jsSign('DELETE', path, {}, ['(request-target)'])]);
      expect(reply.status, `${path}: ${reply.text}`).toBe(200);
    }
  });
});

describe('a request that must not pass', () => {
  const signed = (secret = SK, key = AK, path = '/x', nowMs = Date.now()) => [
    ...signRequest({
      method: 'POST',
      target: path,
      headers: [],
      body: Buffer.from('body'),
      accessKey: key,
      secret,
      nowMs,
    }).headers,
  ];
  const replace = (from: string, to: string) =>
    signed().map(([name, value]) => [name, value.replace(from, to)] as const);

  it('gets its code in header, memo and body, with status 400 on a connection that stays open', async () => {
    const send = keepAliveClient(port);
    const cases: [string, number, string, readonly (readonly [string, string])[], string][] = [
      ['2100', 400, '/x', [], 'body'],
      ['2100', 400, '/x', [['Authorization', 'Bearer abc']], 'body'],
      ['2101', 400, '/x', [['Authorization', 'Signature garbage']], 'body'],
      ['2101', 400, '/x', replace('hmac-sha256', 'hmac-sha1'), 'body'],
      ['2101', 400, '/x', [...signed(), ...signed()], 'body'],
      ['2102', 400, '/x', signed('wrong'), 'body'],
      ['2102', 400, '/y', signed(), 'body'],
      ['2113', 403, '/x', signed(SK, 'who'), 'body'],
      ['2115', 400, '/x', signed(SK, AK, '/x', Date.now() - 3_600_000), 'body'],
      ['2116', 400, '/x', signed(), 'another body'],
      ['2116', 400, '/digest/x', [jsSign('POST', '/digest/x', {}, ['(request-target)'])], 'body'],
      ['5001', 502, '/unknown/x', signed(), 'body'],
    ];
    await send('GET', '/plain');
    for (const [code, status, path, headers, body] of cases) {
      const reply = await send('POST', path, headers, body);
      const what = `${code} ${path}: ${reply.text}`;
      expect(reply.status, what).toBe(status);
      expect(reply.headers['x-gateway-result-code'], what).toBe(code);
      expect(reply.headers['content-type']).toBe('application/json');
      const answer = JSON.parse(reply.text);
      expect(answer).toMatchObject({ code, memo: reply.headers['x-gateway-memo'], docs: `/codes/${code}` });
      expect(answer.requestId).toMatch(/^[0-9a-f-]{36}$/);
      expect(reply.reused, `connection before ${code}`).toBe(true);
    }
  });

  it('gets 2300 and 2114 as soon as grants and keys change, and passes when they are back', async () => {
    const send = keepAliveClient(port);
    const code = async () => (await send('POST', '/x', signed(), 'body')).headers['x-gateway-result-code'] ?? 'passed';
    const credentials = [{ accessKey: AK, secretKey: Buffer.from(SK), enabled: false, expiresAt: 0n }];
    expect(await code()).toBe('passed');
    deliver(tables, TYPE.app, { [IDS.app]: appBytes({ grantedApiIds: [] }) });
    expect(await code()).toBe('2300');
    deliver(tables, TYPE.app, { [IDS.app]: appBytes({ credentials }) });
    expect(await code()).toBe('2114');
    deliver(tables, TYPE.app, { [IDS.app]: appBytes({ enabled: false }) });
    expect(await code()).toBe('2113');
    deliver(tables, TYPE.app, {}, [IDS.app]);
    expect(await code()).toBe('2113');
    deliver(tables, TYPE.app, { [IDS.app]: appBytes({ grantedApiIds: [], grantedGroupIds: [IDS.group] }) });
    expect(await code()).toBe('passed');
  });
});

describe('the socket', () => {
  it('belongs to its owner alone, and Envoy keeps one connection to it', async () => {
    expect(statSync(join(dir, 'authz.sock')).mode & 0o777).toBe(0o600);
    expect(authz.connections()).toBe(1);
    expect(await envoy.admin('/stats?filter=cluster.edge.upstream_cx_total$')).toContain(
      'cluster.edge.upstream_cx_total: 1',
    );
    expect(errors).toEqual([]);
  });

  it('is not taken from an edge that runs, but from one that was killed', async () => {
    await expect(edge(join(dir, 'authz.sock'))).rejects.toThrow('is an edge running already');
    await expect(edge(join(dir, 'x'.repeat(200)))).rejects.toThrow('the system allows');
    const orphan = join(dir, 'orphan.sock');
    const child = startChild(process.execPath, [
      '-e',
      `require('net').createServer().listen(${JSON.stringify(orphan)})`,
    ]);
    await until(() => existsSync(orphan), { what: 'its socket' });
    child.process.kill('SIGKILL');
    await child.exited;
    expect(existsSync(orphan)).toBe(true);
    const halfway = `${orphan}.${child.pid}`;
    writeFileSync(halfway, '');
    const heir = await edge(orphan);
    expect(existsSync(halfway)).toBe(false);
    await heir.close(0);
    expect(existsSync(orphan)).toBe(false);
    writeFileSync(orphan, 'a file');
    await expect(edge(orphan)).rejects.toThrow('is no socket');
  });

  it('survives hostile lengths: 32 MB bodies at Envoy, 32 MB and endless messages at the edge', async () => {
    const before = process.memoryUsage().rss;
    const body = Buffer.alloc(32 << 20, 'x');
    const answers = await Promise.all(Array.from({ length: 4 }, () => chunked(body)));
    expect(answers).toEqual([413, 413, 413, 413]);

    const session = connect('http://edge', { path: join(dir, 'authz.sock'), maxSessionMemory: 1000 });
    onCleanup(() => session.destroy());
    const call = (bytes: Buffer[], headers: object = {}) =>
      new Promise<string>((resolve, reject) => {
        const stream = session.request({
          ':method': 'POST',
          ':path': CHECK_METHOD,
          'content-type': 'application/grpc',
          ...headers,
        });
        const take = (received: Record<string, unknown>) =>
          received['grpc-status'] !== undefined && resolve(String(received['grpc-status']));
        stream.on('response', take).on('trailers', take).on('error', reject).resume();
        for (const chunk of bytes) stream.write(chunk);
        stream.end();
      });
    const prefix = (length: number, flag = 0) =>
      Buffer.from([flag, length >>> 24, (length >>> 16) & 255, (length >>> 8) & 255, length & 255]);
    expect(await call([prefix(32 << 20), body])).toBe('8');
    expect(await call([prefix(0xffffffff)])).toBe('8');
    expect(await call([prefix(10, 1), Buffer.alloc(10)])).toBe('12');
    expect(await call([prefix(10), Buffer.alloc(3)])).toBe('3');
    expect(await call([prefix(3), Buffer.from([0xff, 0xff, 0xff])])).toBe('3');
    expect(await call([])).toBe('3');
    expect(await call([prefix(0)], { ':path': '/envoy.service.auth.v3.Authorization/Other' })).toBe('12');
    expect(await call([prefix(0)], { 'content-type': 'text/plain' })).toBe('3');
    expect(await call([framedCheckRequest('GET', '/', 'h', [], undefined, { policy: IDS.policy })])).toBe('0');
    expect(process.memoryUsage().rss - before).toBeLessThan(400 << 20);
    expect(errors).toEqual([]);
  });
});

describe('peers that speak no HTTP/2, or speak it badly', () => {
  it('are cut off, and Envoy notices nothing', async () => {
    const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
    const settings = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);
    const garbage = Array.from({ length: 20 }, (_, n) => createHash('sha512').update(`garbage ${n}`).digest());
    const openings = [Buffer.alloc(0), preface.subarray(0, 10), preface, Buffer.concat([preface, settings])];
    await Promise.all(openings.flatMap((opening) => garbage.map((bytes) => speak(Buffer.concat([opening, bytes])))));
    await until(() => authz.connections() === 1, { what: 'only Envoy to be connected' });
    const { headers } = signRequest({
      method: 'GET',
      target: '/direct',
      headers: [],
      accessKey: AK,
      secret: SK,
      nowMs: Date.now(),
    });
    expect((await keepAliveClient(port)('GET', '/direct', headers)).status).toBe(200);
    expect(errors).toEqual([]);
  });
});

/** Says `bytes` on the socket and hangs up when the other side does, or after it has answered. */
function speak(bytes: Buffer): Promise<void> {
  return new Promise((resolve) => {
    const socket = connectSocket(join(dir, 'authz.sock'));
    socket.on('close', () => resolve()).on('error', () => {});
    socket.on('data', () => socket.end());
    socket.end(bytes);
  });
}

describe('a restart of the edge under traffic', () => {
  it('costs only requests that are asked about while it is away, each answered, none hanging', async () => {
    const send = keepAliveClient(port);
    const statuses: number[] = [];
    let stop = false;
    const traffic = (async () => {
      while (!stop) {
        const { headers } = signRequest({
          method: 'GET',
          target: '/direct',
          headers: [],
          accessKey: AK,
          secret: SK,
          nowMs: Date.now(),
        });
        statuses.push((await send('GET', '/direct', headers)).status);
      }
    })();
    await until(() => statuses.length > 20, { what: 'traffic' });
    const before = statuses.length;
    await authz.close();
    await until(() => statuses.slice(before).includes(502), { what: 'requests without an edge' });
    authz = await edge(join(dir, 'authz.sock'));
    await until(() => statuses.at(-1) === 200, { what: 'requests with the new edge' });
    const back = statuses.length;
    await until(() => statuses.length > back + 20, { what: 'traffic' });
    stop = true;
    await traffic;
    expect(new Set(statuses)).toEqual(new Set([200, 502]));
    expect(statuses.slice(0, before).every((status) => status === 200)).toBe(true);
    expect(statuses.slice(back).every((status) => status === 200)).toBe(true);
  });
});

describe('a policy that is not here yet', () => {
  it('is asked for, and the request goes on as soon as it comes', async () => {
    const asked: string[] = [];
    await authz.close();
    authz = await edge(join(dir, 'authz.sock'), {
      policyWaitMs: 10_000,
      request: (type, names) => {
        asked.push(`${type} ${names.join()}`);
        setImmediate(() => fill(tables));
      },
    });
    deliver(tables, TYPE.policy, {}, [IDS.policy]);
    const send = keepAliveClient(port);
    const { headers } = signRequest({
      method: 'GET',
      target: '/x',
      headers: [],
      accessKey: AK,
      secret: SK,
      nowMs: Date.now(),
    });
    await until(async () => (await send('GET', '/x', headers)).status === 200, { what: 'an answer' });
    expect(asked).toEqual([`${TYPE.policy} ${IDS.policy}`]);
  });
});

/** Sends a body without saying how long it is; resolves with the status of the answer. */
function chunked(body: Buffer): Promise<number> {
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest({ port, host: '127.0.0.1', method: 'POST', path: '/x', agent: false }, (response) => {
      resolve(response.statusCode ?? 0);
      response.resume();
      outgoing.destroy();
    });
    // Envoy answers before it has all of the body and closes; writing on then fails, which is no matter.
    outgoing.on('error', (error) => setImmediate(reject, error));
    for (let at = 0; at < body.length; at += 1 << 20) outgoing.write(body.subarray(at, at + (1 << 20)));
    outgoing.end();
  });
}
