import { createServer as createTcpServer } from 'node:net';
import { beforeAll, describe, expect, it } from 'vitest';
import { codeOf } from '../../src/core/codes/catalogue.js';
import { signRequest } from '../../src/core/decision/sign-request.js';
import { startBackend } from '../support/backend.js';
import { onCleanup } from '../support/cleanup.js';
import type { Answer, Ask } from '../support/http-client.js';
import { freePort } from '../support/ports.js';
import { type Stack, startStack, WORKSPACE } from '../support/stack.js';

const HOST = 'shop.example.com';
const KEY = { accessKey: 'shop-key', secret: '' };
const STRANGER = { accessKey: 'stranger-key', secret: '' };

/** A backend that closes the connection instead of answering. */
function startRudeBackend(): Promise<number> {
  const server = createTcpServer((socket) => {
    socket.once('data', () => socket.destroy());
    socket.on('error', () => {});
  });
  onCleanup(() => new Promise((resolve) => server.close(() => resolve(undefined))));
  return new Promise((resolve) =>
    server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port)),
  );
}

function definitions(backend: number, rude: number, nobody: number) {
  const cluster = (name: string, port: number | undefined) => ({
    name,
    endpoints: port === undefined ? [] : [{ host: '127.0.0.1', port }],
  });
  const api = (name: string, path: string, cluster: string, more: object = {}) => ({
    name,
    group: 'shop',
    match: { path },
    upstream: { kind: 'cluster', cluster },
    ...more,
  });
  return {
    clusters: [
      cluster('backend', backend),
      cluster('rude', rude),
      cluster('closed', nobody),
      cluster('empty', undefined),
    ],
    groups: [{ name: 'shop', hosts: [HOST] }],
    apis: [
      api('open', '/open/*', 'backend'),
      api('signed', '/signed/*', 'backend', { auth: { type: 'signature' } }),
      api('rude', '/rude', 'rude'),
      api('closed', '/closed', 'closed'),
      api('empty', '/empty', 'empty'),
      api('slow', '/slow', 'backend', { timeoutMs: 100 }),
      { name: 'mock', group: 'shop', match: { path: '/mock' }, upstream: { kind: 'mock', body: '{"from":"mock"}' } },
    ],
    apps: [
      { name: 'shop-app', grants: { apis: ['signed'] } },
      { name: 'stranger', grants: { apis: ['open'] } },
    ],
  };
}

function signed(
  path: string,
  options: { as?: { accessKey: string; secret: string }; body?: string; now?: number; host?: string } = {},
): Ask {
  const body = options.body === undefined ? undefined : Buffer.from(options.body);
  const { accessKey, secret } = options.as ?? KEY;
  const { headers } = signRequest({
    method: body ? 'POST' : 'GET',
    target: path,
    headers: [['host', HOST]],
    body,
    accessKey,
    secret,
    nowMs: options.now ?? Date.now(),
  });
  return {
    method: body ? 'POST' : 'GET',
    headers: { host: HOST, ...Object.fromEntries(headers) },
    ...(body && { body }),
  };
}

/** A change of the request after it was signed. */
const tampered = (ask: Ask, change: Partial<Ask>): Ask => ({
  ...ask,
  ...change,
  headers: { ...ask.headers, ...change.headers },
});

interface Case {
  readonly code: string;
  readonly why: string;
  readonly path: string;
  readonly ask: () => Ask;
  /** The body is the backend's or the mock's. */
  readonly foreignBody?: RegExp;
  /** Identity in the log, where it is known. */
  readonly app?: string;
  readonly api?: string;
}

const CASES: readonly Case[] = [
  {
    code: '1000',
    why: 'a signed request reaches the backend',
    path: '/signed/42',
    ask: () => signed('/signed/42'),
    foreignBody: /"path":"\/signed\/42"/,
    app: 'shop-app',
    api: 'signed',
  },
  {
    code: '1000',
    why: 'a signed body reaches the backend',
    path: '/signed/new',
    ask: () => signed('/signed/new', { body: '{"n":1}' }),
    foreignBody: /\{\\"n\\":1\}/,
    app: 'shop-app',
    api: 'signed',
  },
  {
    code: '1100',
    why: 'a mock',
    path: '/mock',
    ask: () => ({ headers: { host: HOST } }),
    foreignBody: /"from":"mock"/,
    api: 'mock',
  },
  { code: '2100', why: 'no signature', path: '/signed/42', ask: () => ({ headers: { host: HOST } }), api: 'signed' },
  {
    code: '2101',
    why: 'a signature nobody can read',
    path: '/signed/42',
    ask: () => ({ headers: { host: HOST, authorization: 'Signature keyId=' } }),
    api: 'signed',
  },
  {
    code: '2102',
    why: 'a signature of another secret',
    path: '/signed/42',
    ask: () => signed('/signed/42', { as: { ...KEY, secret: 'wrong' } }),
    api: 'signed',
  },
  {
    code: '2113',
    why: 'an access key nobody has',
    path: '/signed/42',
    ask: () => signed('/signed/42', { as: { accessKey: 'nobody', secret: 'x' } }),
    api: 'signed',
  },
  {
    code: '2115',
    why: 'a signature of yesterday',
    path: '/signed/42',
    ask: () => signed('/signed/42', { now: Date.now() - 86_400_000 }),
    api: 'signed',
  },
  {
    code: '2116',
    why: 'another body than was signed',
    path: '/signed/new',
    ask: () => tampered(signed('/signed/new', { body: '{"n":1}' }), { body: '{"n":2}' }),
    api: 'signed',
  },
  {
    code: '2300',
    why: 'an App that was not granted the API',
    path: '/signed/42',
    ask: () => signed('/signed/42', { as: STRANGER }),
    app: 'stranger',
    api: 'signed',
  },
  { code: '3000', why: 'a path no API has', path: '/nowhere', ask: () => ({ headers: { host: HOST } }) },
  {
    code: '3001',
    why: 'a host no group has',
    path: '/open/1',
    ask: () => ({ headers: { host: 'nobody.example.com' } }),
  },
  {
    code: '4000',
    why: 'a cluster without hosts',
    path: '/empty',
    ask: () => ({ headers: { host: HOST } }),
    api: 'empty',
  },
  {
    code: '4002',
    why: 'a backend that hangs up',
    path: '/rude',
    ask: () => ({ headers: { host: HOST } }),
    api: 'rude',
  },
  {
    code: '6205',
    why: "the backend's own 404",
    path: '/open/status/404',
    ask: () => ({ headers: { host: HOST } }),
    foreignBody: /no such thing/,
    api: 'open',
  },
  {
    code: '6303',
    why: 'a backend that refuses connections',
    path: '/closed',
    ask: () => ({ headers: { host: HOST } }),
    api: 'closed',
  },
  {
    code: '6305',
    why: 'a backend that is too slow',
    path: '/slow',
    ask: () => ({ headers: { host: HOST } }),
    api: 'slow',
  },
];

describe('from definition to log line', () => {
  let stack: Stack;
  const ids: Record<string, string> = {};

  beforeAll(async () => {
    const backend = await startBackend('shop', (seen, response) => {
      if (seen.path === '/slow') return true; // never answers
      if (seen.path !== '/open/status/404') return false;
      response.writeHead(404).end('no such thing');
      return true;
    });
    stack = await startStack({
      definitions: definitions(backend.port, await startRudeBackend(), await freePort()),
      fleet: { resultCodeHeader: true },
    });
    for (const [app, key] of [
      ['shop-app', KEY],
      ['stranger', STRANGER],
    ] as const) {
      const made = await stack.admin('POST', `${WORKSPACE}/apps/${app}/credentials`, { accessKey: key.accessKey });
      expect(made.status, JSON.stringify(made.body)).toBe(201);
      key.secret = made.body.secretKey;
    }
    for (const kind of ['apis', 'apps', 'groups']) {
      const list = await stack.admin('GET', `${WORKSPACE}/${kind}`);
      for (const item of list.body.items) ids[item.name] = item.id;
    }
  }, 180_000);

  it.each(CASES)('$code: $why', async ({ code, path, ask, foreignBody, app, api }) => {
    const known = codeOf(code);
    const answer: Answer = await stack.ask(path, ask());
    expect({ status: answer.status, code: answer.headers['x-gateway-result-code'], body: answer.body }).toMatchObject({
      status: code === '6205' ? 404 : known?.httpStatus,
      code,
    });
    const requestId = answer.headers['x-gateway-request-id'] as string;
    expect(requestId).toMatch(/^[0-9a-f-]{36}$/);

    if (foreignBody) expect(answer.body).toMatch(foreignBody);
    else
      expect(JSON.parse(answer.body)).toMatchObject({
        code,
        memo: known?.memo,
        tips: known?.tipsEn,
        requestId,
        docs: expect.stringContaining(code),
      });

    const line = await stack.accessLine(requestId);
    expect(line).toMatchObject({
      result_code: code,
      response_code: answer.status,
      path,
      node: 'node-1',
      cluster_id: 'default/default',
    });
    if (api) expect(line).toMatchObject({ api_id: ids[api], api_name: api, group_id: ids.shop, workspace: 'default' });

    const digest = await stack.digestLine(requestId);
    expect(digest).toContain(`,${code},`);
    expect(digest.slice(digest.indexOf('(') + 1, digest.lastIndexOf(')')).split(',')).toHaveLength(24);

    const found = await stack.query(requestId);
    expect(found.record).toMatchObject({ code, memo: known?.memo });
    expect(JSON.stringify(found)).toContain(requestId);
    if (app) expect(line).toMatchObject({ app_id: ids[app], app_name: app });
    // What the developer of the client is told stands in the log too.
    if (code.startsWith('2')) expect(line.edge_detail).toEqual(expect.stringMatching(/\w+ \w+/));
  });

  it('keeps secrets out of every file and answer', async () => {
    const { execFileSync } = await import('node:child_process');
    for (const secret of [KEY.secret, STRANGER.secret]) {
      expect(secret.length).toBeGreaterThan(20);
      const hits = execFileSync('/bin/sh', ['-c', 'grep -rlF -e "$0" . || true', secret], {
        cwd: stack.nodeDir,
        encoding: 'utf8',
      });
      expect(hits.trim()).toBe('');
      const held = await stack.admin('GET', `${WORKSPACE}/apps/shop-app/credentials`);
      expect(JSON.stringify(held.body)).not.toContain(secret);
    }
  });

  it('publishes a change, rolls it back, and the log tells which release was in force', async () => {
    const get = await stack.admin('GET', `${WORKSPACE}/apis/mock`);
    const changed = await stack.admin(
      'PUT',
      `${WORKSPACE}/apis/mock?publish=true`,
      { ...get.body.spec, upstream: { kind: 'mock', body: '{"from":"another"}' } },
      { 'if-match': get.headers.get('etag') as string },
    );
    expect(changed.status, JSON.stringify(changed.body)).toBe(200);
    const ask = async () => stack.ask('/mock', { headers: { host: HOST } });
    const { until } = await import('../support/until.js');
    const after = await until(async () => ((a) => a.body.includes('another') && a)(await ask()), {
      what: 'the change to be effective',
    });
    const line = await stack.accessLine(after.headers['x-gateway-request-id'] as string);
    expect(Number(line.release)).toBeGreaterThan(1);
    const rolled = await stack.admin('POST', `${WORKSPACE}/releases/1/rollback`, { message: 'back' });
    expect(rolled.status, JSON.stringify(rolled.body)).toBeLessThan(300);
    const back = await until(async () => ((a) => a.body.includes('"mock"') && a)(await ask()), {
      what: 'the older content to be back',
    });
    expect(Number((await stack.accessLine(back.headers['x-gateway-request-id'] as string)).release)).toBeGreaterThan(
      Number(line.release),
    );
  });
});
