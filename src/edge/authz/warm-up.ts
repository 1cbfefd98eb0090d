import { connect } from 'node:http2';
import { HmacKey } from '../../core/decision/hmac-key.js';
import { signRequest } from '../../core/decision/sign-request.js';
import type { App, Caller, Policy, Tables } from '../../core/decision/tables.js';

const CONCURRENCY = 32;
/** The longest it takes, in ms: on a busy machine an edge that is missing (7777) is worse than one that is slow at first. */
const LONGEST_MS = 1_000;
const APP: App = {
  id: 'warm-up',
  name: 'warm-up',
  workspace: 'warm-up',
  tenant: 'warm-up',
  enabled: true,
  grantedApiIds: new Set(['warm-up']),
  grantedGroupIds: new Set(),
};
const KEY = new HmacKey(
  Buffer.from('no secret: these tables hold nothing and are dropped before the socket has its name'),
);
const CALLER: Caller = { accessKey: 'warm-up', app: APP, key: KEY, enabled: true };
const POLICY: Policy = {
  name: 'warm-up',
  signature: { requiredHeaders: ['(request-target)'], digest: 'when-present', clockSkewSeconds: 900, tolerant: false },
};

/** Tables with one policy and one caller, which only the synthetic requests of {@link warmUp} know. */
export const WARM_UP_TABLES: Tables = {
  policy: () => POLICY,
  caller: (accessKey) => (accessKey === CALLER.accessKey ? CALLER : undefined),
  serviceKey: () => undefined,
};

/**
 * Sends `checks` synthetic calls, or as many as a second allows (accepted with and without body, unsigned, wrong signature) through the socket, so that the
 * engine has compiled the path before the first real request: a cold process would let the first requests of a busy Envoy
 * run into their time limit. The server must use {@link WARM_UP_TABLES}.
 * @throws Error when a call is not answered.
 */
export async function warmUp(path: string, method: string, checks: number, nowMs: number): Promise<void> {
  if (checks === 0) return;
  const messages = synthetic(nowMs);
  const session = connect('http://edge', { path });
  try {
    let sent = 0;
    const end = performance.now() + LONGEST_MS;
    const worker = async () => {
      while (sent < checks && performance.now() < end) await call(messages[sent++ % messages.length] as Buffer);
    };
    const call = (message: Buffer) =>
      new Promise<void>((resolve, reject) => {
        const stream = session.request({
          ':method': 'POST',
          ':path': method,
          'content-type': 'application/grpc',
          te: 'trailers',
        });
        stream.once('trailers', (trailers) => {
          if (trailers['grpc-status'] !== '0')
            reject(new Error(`warm-up call failed: ${String(trailers['grpc-message'])}`));
        });
        stream.once('error', reject);
        stream.once('close', resolve);
        stream.resume();
        stream.end(message);
      });
    const failed = new Promise<never>((_, reject) => session.once('error', reject));
    await Promise.race([Promise.all(Array.from({ length: CONCURRENCY }, worker)), failed]);
  } finally {
    session.close();
  }
}

function synthetic(nowMs: number): Buffer[] {
  const body = Buffer.alloc(512, 'a');
  const target = '/warm/up?a=1&b=2';
  const signed = (covered: readonly string[], content?: Buffer) =>
    signRequest({
      method: 'POST',
      target,
      headers: [['host', 'warm.up']],
      body: content,
      accessKey: CALLER.accessKey,
      secret: KEY,
      cover: covered,
      nowMs,
    }).headers;
  const headerSigned = signed(['(request-target)', 'host', 'date']);
  const wrong = headerSigned.map(
    ([name, value]) => [name, name === 'authorization' ? value.replace('host', 'date') : value] as const,
  );
  return [headerSigned, headerSigned, signed(['(request-target)', 'date', 'digest'], body), [], wrong].map(
    (headers, i) => framedCheckRequest('POST', target, 'warm.up', headers, i === 2 ? body : undefined),
  );
}

/** A CheckRequest as Envoy writes it with `encode_raw_headers`, with its gRPC prefix. */
export function framedCheckRequest(
  method: string,
  target: string,
  host: string,
  headers: readonly (readonly [string, string])[],
  body?: Buffer,
  extensions: Readonly<Record<string, string>> = { policy: 'warm-up', api: 'warm-up', group: 'warm-up' },
): Buffer {
  const map = headers.map(([name, value]) => field(1, [field(1, name), field(3, Buffer.from(value, 'latin1'))]));
  const http = field(2, [
    field(2, method),
    field(4, Buffer.from(target, 'latin1')),
    field(5, host),
    field(13, map),
    ...(body ? [field(12, body)] : []),
  ]);
  const context = Object.entries(extensions).map(([key, value]) => field(10, [field(1, key), field(2, value)]));
  const message = field(1, [field(4, [http]), ...context]);
  const framed = Buffer.concat([Buffer.alloc(5), message]);
  framed.writeUInt32BE(message.length, 1);
  return framed;
}

function field(number: number, content: string | Buffer | readonly Buffer[]): Buffer {
  const bytes =
    typeof content === 'string' ? Buffer.from(content) : Buffer.isBuffer(content) ? content : Buffer.concat(content);
  const head = [(number << 3) | 2];
  let length = bytes.length;
  for (; length > 127; length >>>= 7) head.push((length & 127) | 128);
  head.push(length);
  return Buffer.concat([Buffer.from(head), bytes]);
}
