import { type Allow, APP_ID_HEADER, type CheckInput, type Decision, type DenialCode, type Deny } from './decision.js';
import { digestFault } from './digest.js';
import { parseHttpDate } from './http-date.js';
import { resign } from './resign.js';
import {
  decodedTarget,
  isSignature,
  parseSofaSignature,
  printable,
  type SofaSignature,
  signingString,
} from './sofa-signature.js';
import type { App, Caller, Policy, SignaturePolicy, Tables } from './tables.js';

const ANONYMOUS: Allow = Object.freeze({
  kind: 'allow',
  code: '1000',
  setHeaders: [],
  removeHeaders: [APP_ID_HEADER],
} satisfies Allow);

/** One object per App for as long as the App lives: whoever encodes decisions can remember the bytes by identity. */
const ALLOWED = new WeakMap<App, Allow>();

/**
 * Decides one request in the order of the contract: signature present 2100, parsed 2101, access key 2113 / 3103, secret 2114,
 * workspace 3105, time 2115, MAC 2102, digest 2116, grant 2300, signing for the backend 2109 / 2110 / 2103. The
 * first failure is the answer. Pure and synchronous; never throws for anything a client sends.
 * @param nowMs Unix milliseconds.
 */
export function decide(input: CheckInput, tables: Tables, nowMs: number): Decision {
  const policy = tables.policy(input.policy);
  if (policy === undefined) return { kind: 'unknown-policy', name: input.policy };
  const caller = policy.signature ? identify(input, policy.signature, tables, nowMs) : undefined;
  if (caller?.kind === 'deny') return caller;
  const allow = caller === undefined ? ANONYMOUS : allowed(caller.app);
  return policy.resign ? signForBackend(input, policy, policy.resign.clusterId, allow, tables, nowMs) : allow;
}

function identify(
  input: CheckInput,
  policy: SignaturePolicy,
  tables: Tables,
  nowMs: number,
): Deny | { readonly kind: 'app'; readonly app: App } {
  const authorization = input.header('authorization');
  if (authorization === undefined || !isSignature(authorization)) {
    return deny(
      '2100',
      'the request has no header "Authorization: Signature keyId=…,algorithm=…,headers=…,signature=…"',
    );
  }
  const signature = parseSofaSignature(authorization);
  if (typeof signature === 'string') return deny('2101', signature);
  const uncovered = policy.requiredHeaders.find((name) => !covers(signature, name));
  if (uncovered !== undefined) {
    return deny(
      '2101',
      `this API asks for signatures that cover "${uncovered}"; add it to the headers parameter and sign it`,
    );
  }
  const text = signingString(signature, input);
  if ('missing' in text) return deny('2101', missingHeader(text.missing));

  const caller = tables.caller(signature.keyId);
  const unusable = callerFault(signature.keyId, caller, nowMs);
  if (unusable) return unusable;
  const { app, key } = caller as Required<Pick<Caller, 'app' | 'key'>>;
  const stale = timeFault(signature, input, policy.clockSkewSeconds, nowMs);
  if (stale !== undefined) return deny('2115', stale, app);
  if (!key.verify(text.text, signature.signature) && !fitsOtherwise(signature, input, policy, key)) {
    return { ...deny('2102', macFault(signature), app), stringToSign: shownStringToSign(signature, input) };
  }
  const body = bodyFault(signature, input, policy);
  if (body !== undefined) return deny('2116', body, app);
  if (!app.grantedApiIds.has(input.apiId) && !app.grantedGroupIds.has(input.groupId)) {
    return deny('2300', `App "${app.name}" has no grant for this API; grant it the API or its group`, app);
  }
  return { kind: 'app', app };
}

function deny(code: DenialCode, detail: string, app?: App): Deny {
  return app === undefined ? { kind: 'deny', code, detail } : { kind: 'deny', code, app, detail };
}

function covers(signature: SofaSignature, name: string): boolean {
  return signature.headers.some((covered) => covered === name || covered.toLowerCase() === name);
}

function missingHeader(name: string): string {
  const shown = printable(name);
  return `the signature covers "${shown}", which the request does not have; send it, or, if it was sent, add it to signedHeaders of the fleet`;
}

function callerFault(accessKey: string, caller: Caller | undefined, nowMs: number): Deny | undefined {
  const shown = `access key "${printable(accessKey)}"`;
  if (caller === undefined) return deny('2113', `${shown} is not known to this gateway`);
  const { app } = caller;
  if (app === undefined) return deny('3103', `${shown} is known, but the App it belongs to is not`);
  if (!app.enabled) return deny('2113', `the App of ${shown} is disabled`, app);
  if (!caller.enabled) return deny('2114', `${shown} is disabled`, app);
  if (caller.expiresAt !== undefined && nowMs >= caller.expiresAt * 1000) {
    return deny('2114', `${shown} expired at ${new Date(caller.expiresAt * 1000).toISOString()}`, app);
  }
  if (caller.key === undefined) return deny('2114', `${shown} has no usable secret at the gateway`, app);
  if (app.workspace === '') return deny('3105', `the App of ${shown} belongs to no workspace`, app);
  return undefined;
}

/** Only what the signature covers proves a time; `created` and `expires` are honoured as soon as they are sent. */
function timeFault(
  signature: SofaSignature,
  input: CheckInput,
  skewSeconds: number,
  nowMs: number,
): string | undefined {
  const off = (what: string, atMs: number) =>
    Math.abs(nowMs - atMs) <= skewSeconds * 1000
      ? undefined
      : `${what} is ${Math.round(Math.abs(nowMs - atMs) / 1000)} s ${atMs > nowMs ? 'ahead of' : 'behind'} the gateway's clock; ${skewSeconds} s are allowed`;
  if (covers(signature, 'date')) {
    const date = input.header('date') ?? '';
    const atMs = parseHttpDate(date);
    if (atMs === undefined) return `Date "${printable(date)}" is not like "Tue, 06 Oct 2026 03:04:05 GMT"`;
    const fault = off('Date', atMs);
    if (fault) return fault;
  }
  if (signature.created !== undefined) {
    const fault = off('created', Number(signature.created) * 1000);
    if (fault) return fault;
  }
  if (signature.expires !== undefined && Number(signature.expires) * 1000 < nowMs) {
    return 'the signature has expired: expires is in the past';
  }
  return undefined;
}

/**
 * Whether the signature fits the request as the client may have had it before it reached us: Host still with its port, and, in
 * tolerant mode, the target before its HTTP library percent-encoded it.
 */
function fitsOtherwise(
  signature: SofaSignature,
  input: CheckInput,
  policy: SignaturePolicy,
  key: NonNullable<Caller['key']>,
): boolean {
  const host = input.header('host') ?? '';
  const withPort = input.listenerPort !== undefined && covers(signature, 'host') && !/:\d*$/.test(host);
  const hosts = withPort ? [host, `${host}:${input.listenerPort}`] : [host];
  const decoded = policy.tolerant ? decodedTarget(input.target) : input.target;
  const targets = decoded === input.target ? [decoded] : [input.target, decoded];
  return targets.some((target) =>
    hosts.some((name) => {
      if (target === input.target && name === host) return false; // tried already
      const header = (asked: string) => (asked === 'host' ? name : input.header(asked));
      const text = signingString(signature, { method: input.method, target, header });
      return 'text' in text && key.verify(text.text, signature.signature);
    }),
  );
}

function macFault(signature: SofaSignature): string {
  if (!/^[A-Za-z0-9+/]{43}=$/.test(signature.signature)) {
    return 'the signature is not 44 characters of padded standard base64, which is what HMAC-SHA256 gives';
  }
  return `the signature does not fit; check the secret, and that exactly these lines are signed in this order: ${printable(signature.headers.join(' '), 300)}`;
}

function bodyFault(signature: SofaSignature, input: CheckInput, policy: SignaturePolicy): string | undefined {
  if (policy.digest === 'ignore') return undefined;
  const digest = covers(signature, 'digest') ? input.header('digest') : undefined;
  if (digest !== undefined) return digestFault(digest, input.body);
  return policy.digest === 'required'
    ? 'this API asks for a Digest header that the signature covers: send Digest: SHA-256=<base64> and list digest in headers'
    : undefined;
}

/** Headers whose values are no secret and may be shown in the log. */
const SHOWN_HEADERS = new Set([
  'host',
  'date',
  'digest',
  'content-length',
  'content-type',
  'content-md5',
  'x-gateway-host',
]);

function shownStringToSign(signature: SofaSignature, input: CheckInput): string {
  const shown = signingString(signature, {
    method: input.method,
    target: input.target,
    header(name) {
      const value = input.header(name);
      return value === undefined || SHOWN_HEADERS.has(name) ? value : `<${value.length} bytes>`;
    },
  });
  return 'text' in shown ? printable(shown.text.replaceAll('\n', '\\n'), 1000) : '';
}

/** Meant for the gateway: a backend that had them could send the request again in the App's name. */
const CREDENTIALS = ['authorization'] as const;

function allowed(app: App): Allow {
  let allow = ALLOWED.get(app);
  if (allow === undefined) {
    allow = Object.freeze({
      kind: 'allow',
      code: '1000',
      app,
      setHeaders: [[APP_ID_HEADER, app.id]],
      removeHeaders: CREDENTIALS,
    } satisfies Allow);
    ALLOWED.set(app, allow);
  }
  return allow;
}

function signForBackend(
  input: CheckInput,
  policy: Policy,
  clusterId: string,
  allow: Allow,
  tables: Tables,
  nowMs: number,
): Decision {
  const service = tables.serviceKey(clusterId);
  if (!service?.accessKey)
    return deny('2109', 'the cluster asks for signed requests, but the gateway has no access key for it', allow.app);
  if (service.key === undefined)
    return deny('2110', 'the gateway has no usable secret for the access key of the cluster', allow.app);
  const wholeBody = policy.signature !== undefined && policy.signature.digest !== 'ignore';
  const signed = resign(input, service.accessKey, service.key, wholeBody, nowMs);
  if (typeof signed === 'string') return deny('2103', signed, allow.app);
  const removeHeaders = allow.removeHeaders.filter((name) => !signed.some(([set]) => set === name));
  return { ...allow, setHeaders: [...allow.setHeaders, ...signed], removeHeaders };
}
