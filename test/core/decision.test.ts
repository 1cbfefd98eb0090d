import { createHash, createHmac } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { decide } from '../../src/core/decision/decide.js';
import type { Decision, Deny } from '../../src/core/decision/decision.js';
import { HmacKey } from '../../src/core/decision/hmac-key.js';
import { type RequestToSign, signRequest } from '../../src/core/decision/sign-request.js';
import { inputOf, POLICY, tablesOf } from '../support/decision.js';

const NOW = Date.UTC(2026, 10, 22, 12, 0, 0);
const BODY = Buffer.from('{"name":"jack"}');

/** A correctly signed POST, with changes: `request` before signing, `after` on the wire. */
function signed(
  request: Partial<RequestToSign> = {},
  after: {
    method?: string;
    target?: string;
    headers?: [string, string][];
    body?: Buffer;
    replace?: [string, string];
  } = {},
) {
  const base: RequestToSign = {
    method: 'POST',
    target: '/orders/7?a=1',
    headers: [['host', 'a.example.com']],
    body: BODY,
    accessKey: 'ak',
    secret: 'sk',
    nowMs: NOW,
    ...request,
  };
  const { headers } = signRequest(base);
  const [from, to] = after.replace ?? ['', ''];
  const made = headers.map(([name, value]) => [name, value.replace(from, to)] as const);
  return inputOf({
    method: after.method ?? base.method,
    target: after.target ?? base.target,
    headers: after.headers ?? [...base.headers, ...made],
    body: after.body ?? base.body ?? new Uint8Array(0),
  });
}

function codeOf(decision: Decision): string {
  return decision.kind === 'unknown-policy' ? decision.kind : decision.code;
}

describe('decide', () => {
  it("lets a signed request of a granted App pass, with its id for the backend in place of the client's", () => {
    expect(decide(signed(), tablesOf({}), NOW)).toMatchObject({
      kind: 'allow',
      code: '1000',
      app: { id: 'app0' },
      setHeaders: [['x-gateway-app-id', 'app0']],
      removeHeaders: ['authorization'],
    });
  });

  it("lets anybody pass where the policy has no signature, but never with an App id of the client's own", () => {
    const decision = decide(inputOf({ headers: [['x-gateway-app-id', 'admin']] }), tablesOf({ policy: 'none' }), NOW);
    expect(decision).toMatchObject({ kind: 'allow', setHeaders: [], removeHeaders: ['x-gateway-app-id'] });
  });

  it('says which policy it does not have', () => {
    expect(decide(inputOf({ policy: 'other' }), tablesOf({}), NOW)).toEqual({ kind: 'unknown-policy', name: 'other' });
  });

  const auth = (value: string) =>
    inputOf({
      headers: [
        ['authorization', value],
        ['date', new Date(NOW).toUTCString()],
      ],
    });
  const expired = { expiresAt: NOW / 1000 };
  it.each<[string, string, () => Decision]>([
    ['no Authorization', '2100', () => decide(inputOf({}), tablesOf({}), NOW)],
    ['another scheme', '2100', () => decide(auth('Basic YTpi'), tablesOf({}), NOW)],
    ['a scheme that only begins alike', '2100', () => decide(auth('SignatureX keyId="ak"'), tablesOf({}), NOW)],
    ['nothing after the scheme', '2101', () => decide(auth('Signature'), tablesOf({}), NOW)],
    ['garbage', '2101', () => decide(auth('Signature §§§ garbage'), tablesOf({}), NOW)],
    ['no keyId', '2101', () => decide(auth('Signature signature="x"'), tablesOf({}), NOW)],
    ['no signature', '2101', () => decide(auth('Signature keyId="ak"'), tablesOf({}), NOW)],
    ['hs2019', '2101', () => decide(signed({}, { replace: ['hmac-sha256', 'hs2019'] }), tablesOf({}), NOW)],
    [
      'two Authorization headers',
      '2101',
      () =>
        decide(
          inputOf({
            headers: [
              ...(signed().header('authorization')
                ? ([
                    ['authorization', signed().header('authorization') ?? ''],
                    ['authorization', signed().header('authorization') ?? ''],
                  ] as [string, string][])
                : []),
            ],
          }),
          tablesOf({}),
          NOW,
        ),
    ],
    [
      'a covered header that is not there',
      '2101',
      () =>
        decide(signed({}, { headers: [['authorization', signed().header('authorization') ?? '']] }), tablesOf({}), NOW),
    ],
    [
      'too little covered',
      '2101',
      () => decide(signed({ cover: ['date'] }), tablesOf({ policy: { requiredHeaders: ['(request-target)'] } }), NOW),
    ],
    ['an unknown access key', '2113', () => decide(signed({ accessKey: 'who' }), tablesOf({}), NOW)],
    ['a disabled App', '2113', () => decide(signed(), tablesOf({ app: { enabled: false } }), NOW)],
    ['a key without App', '3103', () => decide(signed(), tablesOf({ caller: { app: undefined } }), NOW)],
    ['a disabled key', '2114', () => decide(signed(), tablesOf({ caller: { enabled: false } }), NOW)],
    ['a key that expires now', '2114', () => decide(signed(), tablesOf({ caller: expired }), NOW)],
    ['a key without secret', '2114', () => decide(signed(), tablesOf({ caller: { key: undefined } }), NOW)],
    ['an App without workspace', '3105', () => decide(signed(), tablesOf({ app: { workspace: '' } }), NOW)],
    ['a late request', '2115', () => decide(signed(), tablesOf({}), NOW + 900_001)],
    ['a request from the future', '2115', () => decide(signed(), tablesOf({}), NOW - 900_001)],
    ['an unreadable date', '2115', () => decide(signed({ headers: [['date', 'yesterday']] }), tablesOf({}), NOW)],
    [
      'an old (created)',
      '2115',
      () => decide(signed({ cover: ['(request-target)', '(created)'] }), tablesOf({}), NOW + 901_000),
    ],
    ['a wrong secret', '2102', () => decide(signed({ secret: 'other' }), tablesOf({}), NOW)],
    [
      'a signature that is no base64',
      '2102',
      () => decide(auth('Signature keyId="ak",signature="%%%"'), tablesOf({}), NOW),
    ],
    ['another method', '2102', () => decide(signed({}, { method: 'PUT' }), tablesOf({}), NOW)],
    ['another target', '2102', () => decide(signed({}, { target: '/orders/8?a=1' }), tablesOf({}), NOW)],
    [
      'another order of names',
      '2102',
      () => decide(signed({}, { replace: ['date digest', 'digest date'] }), tablesOf({}), NOW),
    ],
    ['another body', '2116', () => decide(signed({}, { body: Buffer.from('{"name":"jill"}') }), tablesOf({}), NOW)],
    [
      'a body where none was signed',
      '2116',
      () => decide(signed({ body: undefined }, { body: BODY }), tablesOf({}), NOW),
    ],
    [
      'no digest where one is required',
      '2116',
      () => decide(signed({ cover: ['(request-target)', 'date'] }), tablesOf({ policy: { digest: 'required' } }), NOW),
    ],
    ['no grant', '2300', () => decide(signed(), tablesOf({ app: { grantedApiIds: new Set(['other']) } }), NOW)],
    ['a cluster without access key', '2109', () => decide(signed(), tablesOf({ resign: { clusterId: 'c' } }), NOW)],
    [
      'a cluster without secret',
      '2110',
      () =>
        decide(signed(), tablesOf({ resign: { clusterId: 'c' }, serviceKey: { clusterId: 'c', accessKey: 'x' } }), NOW),
    ],
    [
      'a key that cannot stand in a header',
      '2103',
      () =>
        decide(
          signed(),
          tablesOf({
            resign: { clusterId: 'c' },
            serviceKey: { clusterId: 'c', accessKey: 'a"b', key: new HmacKey(BODY) },
          }),
          NOW,
        ),
    ],
  ])('%s: %s', (_, code, run) => {
    expect(codeOf(run())).toBe(code);
  });

  it.each<[string, () => Decision]>([
    ['at the edge of the window', () => decide(signed(), tablesOf({}), NOW + 900_000)],
    [
      'with (created) instead of date',
      () => decide(signed({ cover: ['(request-target)', '(created)'] }), tablesOf({}), NOW),
    ],
    [
      'by a grant of the group',
      () =>
        decide(signed(), tablesOf({ app: { grantedApiIds: new Set(), grantedGroupIds: new Set(['group0']) } }), NOW),
    ],
    [
      'with a date nobody signed, however old',
      () => decide(signed({ headers: [['date', 'long ago']], cover: ['(request-target)'] }), tablesOf({}), NOW),
    ],
    [
      'with a body nobody signed',
      () => decide(signed({ cover: ['(request-target)'] }, { body: BODY }), tablesOf({}), NOW),
    ],
    ['before its key expires', () => decide(signed(), tablesOf({ caller: { expiresAt: NOW / 1000 + 1 } }), NOW)],
  ])('passes %s', (_, run) => {
    expect(codeOf(run())).toBe('1000');
  });

  it('accepts a Host that was signed with the port of the listener, and with no other', () => {
    const cover = ['host', '(request-target)', 'date'];
    const wire = (port: number | undefined, signedHost: string, tolerant = false) => {
      const input = signed({ headers: [['host', signedHost]], cover });
      const header = (name: string) => (name === 'host' ? 'a.example.com' : input.header(name));
      return codeOf(decide({ ...input, header, listenerPort: port }, tablesOf({ policy: { tolerant } }), NOW));
    };
    expect(wire(8088, 'a.example.com')).toBe('1000');
    expect(wire(8088, 'a.example.com:8088')).toBe('1000');
    expect(wire(8088, 'a.example.com:8088', true)).toBe('1000');
    expect(wire(8088, 'a.example.com:80')).toBe('2102');
    expect(wire(undefined, 'a.example.com:8088')).toBe('2102');
    expect(wire(8088, 'b.example.com')).toBe('2102');
  });

  it('stops at the first failure in the order of the contract', () => {
    // Everything is wrong at once; each step is repaired in turn and the next one shows.
    const wrong = {
      secret: 'other',
      headers: [
        ['host', 'h'],
        ['date', 'yesterday'],
      ] as [string, string][],
    };
    const app = { enabled: false, workspace: '', grantedApiIds: new Set<string>() };
    const at = (request: object, tables: Parameters<typeof tablesOf>[0]) =>
      codeOf(decide(signed({ ...wrong, ...request }, { body: Buffer.from('x') }), tablesOf(tables), NOW));
    const key = { enabled: false };
    expect(at({ accessKey: 'who' }, { app, caller: key })).toBe('2113');
    expect(at({}, { app, caller: key })).toBe('2113');
    expect(at({}, { app: { ...app, enabled: true }, caller: key })).toBe('2114');
    expect(at({}, { app: { ...app, enabled: true } })).toBe('3105');
    const whole = { ...app, enabled: true, workspace: 'w' };
    expect(at({}, { app: whole })).toBe('2115');
    expect(at({ headers: [] }, { app: whole })).toBe('2102');
    expect(at({ headers: [], secret: 'sk' }, { app: whole })).toBe('2116');
    expect(codeOf(decide(signed(), tablesOf({ app: whole, resign: { clusterId: 'c' } }), NOW))).toBe('2300');
    expect(codeOf(decide(signed(), tablesOf({ resign: { clusterId: 'c' } }), NOW))).toBe('2109');
  });

  it('never tells a secret or the right signature', () => {
    const input = signed({
      secret: 'not-the-secret',
      headers: [
        ['host', 'h'],
        ['x-token', 'hush-hush'],
      ],
      cover: ['(request-target)', 'x-token', 'date'],
    });
    const decision = decide(input, tablesOf({ secret: 'the-secret' }), NOW) as Deny;
    const right = signRequest({
      method: 'POST',
      target: '/orders/7?a=1',
      headers: [
        ['x-token', 'hush-hush'],
        ['date', input.header('date') ?? ''],
      ],
      accessKey: 'ak',
      secret: 'the-secret',
      cover: ['(request-target)', 'x-token', 'date'],
      nowMs: NOW,
    });
    const text = JSON.stringify(decision);
    expect(decision.code).toBe('2102');
    expect(decision.stringToSign).toContain('(request-target): post /orders/7?a=1\\nx-token: <9 bytes>\\ndate: ');
    for (const secret of [
      'the-secret',
      'hush-hush',
      /signature="([^"]+)"/.exec(right.headers.at(-1)?.[1] ?? '')?.[1] ?? '?',
    ]) {
      expect(text).not.toContain(secret);
    }
    expect(`${new HmacKey(Buffer.from('the-secret'))} ${JSON.stringify({ key: new HmacKey(Buffer.from('x')) })}`).toBe(
      '[redacted] {"key":"[redacted]"}',
    );
  });

  it('signs for the backend in the same dialect, over the target the backend will see', () => {
    const key = new HmacKey(Buffer.from('service-secret'));
    const tables = tablesOf({ resign: { clusterId: 'c' }, serviceKey: { clusterId: 'c', accessKey: 'service', key } });
    const input = { ...signed(), backendTarget: '/internal/orders/7?a=1' };
    const decision = decide(input, tables, NOW);
    if (decision.kind !== 'allow') throw new Error(JSON.stringify(decision));
    const headers = new Map(decision.setHeaders);
    const digest = `SHA-256=${createHash('sha256').update(BODY).digest('base64')}`;
    const text = `(request-target): post /internal/orders/7?a=1\ndate: ${new Date(NOW).toUTCString()}\ndigest: ${digest}`;
    expect(decision.removeHeaders).toEqual([]);
    expect(headers.get('x-gateway-app-id')).toBe('app0');
    expect(headers.get('digest')).toBe(digest);
    expect(headers.get('authorization')).toBe(
      `Signature keyId="service",algorithm="hmac-sha256",headers="(request-target) date digest",signature="${createHmac('sha256', 'service-secret').update(text).digest('base64')}"`,
    );
  });

  it('does not claim a digest for the backend where it has not seen the body', () => {
    const key = new HmacKey(Buffer.from('s'));
    const tables = tablesOf({
      policy: 'none',
      resign: { clusterId: 'c' },
      serviceKey: { clusterId: 'c', accessKey: 'service', key },
    });
    const decision = decide(inputOf({ policy: POLICY, method: 'POST' }), tables, NOW);
    if (decision.kind !== 'allow') throw new Error(JSON.stringify(decision));
    expect(decision.setHeaders.map(([name]) => name)).toEqual(['date', 'authorization']);
  });
});
