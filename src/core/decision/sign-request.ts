import { digestHeader } from './digest.js';
import { HmacKey } from './hmac-key.js';
import { formatHttpDate } from './http-date.js';
import { type SignedRequest, signingString, trimBlanks } from './sofa-signature.js';

export interface RequestToSign {
  readonly method: string;
  /** Path and query as they will stand in the request line: percent-encoded, never decoded or sorted. */
  readonly target: string;
  /** Headers the request has so far, `host` among them if it is to be covered; names in any case. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** Bytes of the body as they will be sent; absent = empty. */
  readonly body?: Uint8Array | undefined;
  readonly accessKey: string;
  readonly secret: string | Uint8Array | HmacKey;
  /** What the signature covers, in this order. Default {@link DEFAULT_COVER}. */
  readonly cover?: readonly string[];
  /** Unix milliseconds for `date` and `(created)`. */
  readonly nowMs: number;
}

export interface SignedHeaders {
  /** Headers to put on the request (lower-case names), replacing any of the same name: `authorization`, and `date` and `digest` when covered and not there yet. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** What was signed; for explanations. */
  readonly stringToSign: string;
}

/** Target, time and body: what a request needs to be safe against change and late repetition. */
export const DEFAULT_COVER: readonly string[] = ['(request-target)', 'date', 'digest'];

/**
 * Signs a request in the SOFA dialect (draft-cavage-http-signatures, hmac-sha256). `date` and `digest` are made when they are
 * covered and missing; `(created)` becomes the parameter of that name.
 * @throws RangeError when a covered header is not on the request, or the access key cannot stand in a header.
 */
export function signRequest(request: RequestToSign): SignedHeaders {
  if (!/^[\x20-\x7e]+$/.test(request.accessKey) || /["\\]/.test(request.accessKey)) {
    throw new RangeError('An access key must be printable ASCII without quotes and backslashes.');
  }
  const cover = request.cover ?? DEFAULT_COVER;
  const lower = cover.map((name) => name.toLowerCase());
  const values = new Map<string, string>();
  for (const [name, value] of request.headers) {
    const key = name.toLowerCase();
    const before = values.get(key);
    values.set(key, before === undefined ? trimBlanks(value) : `${before}, ${trimBlanks(value)}`);
  }
  const made: [string, string][] = [];
  const add = (name: string, value: string) => {
    made.push([name, value]);
    values.set(name, value);
  };
  if (lower.includes('date') && !values.has('date')) add('date', formatHttpDate(request.nowMs));
  if (lower.includes('digest') && !values.has('digest')) add('digest', digestHeader(request.body));
  const created = lower.includes('(created)') ? String(Math.floor(request.nowMs / 1000)) : undefined;

  const signed: SignedRequest = {
    method: request.method,
    target: request.target,
    header: (name) => values.get(name),
  };
  const text = signingString({ headers: cover, ...(created !== undefined && { created }) }, signed);
  if ('missing' in text)
    throw new RangeError(`The signature is to cover "${text.missing}", which the request does not have.`);
  const signature = keyOf(request.secret).sign(bytesOf(text.text));
  const createdParameter = created === undefined ? '' : `created=${created},`;
  add(
    'authorization',
    `Signature keyId="${request.accessKey}",algorithm="hmac-sha256",${createdParameter}headers="${cover.join(' ')}",signature="${signature}"`,
  );
  return { headers: made, stringToSign: text.text };
}

function keyOf(secret: string | Uint8Array | HmacKey): HmacKey {
  if (secret instanceof HmacKey) return secret;
  return new HmacKey(typeof secret === 'string' ? Buffer.from(secret, 'utf8') : secret);
}

/** Text as a byte string of its UTF-8 form. Characters up to U+00FF alone are taken as bytes already: that is how headers are read. */
function bytesOf(text: string): string {
  return /[\u0100-\uffff]/.test(text) ? Buffer.from(text, 'utf8').toString('latin1') : text;
}
