/**
 * The SOFA dialect of HTTP signatures: draft-cavage-http-signatures with HMAC-SHA256, as `sofa-signature-js` and the gateway
 * SDKs send it. All texts here are byte strings (one character per byte), so that what is signed is what was on the wire.
 */

/** Parameters of an `Authorization: Signature …` header. */
export interface SofaSignature {
  readonly keyId: string;
  /** Names the signature covers, in the order and spelling in which they are signed. Never empty. */
  readonly headers: readonly string[];
  /** As sent; compared as text, so only padded standard base64 can ever match. */
  readonly signature: string;
  /** Text of the parameter: a decimal number of Unix seconds. */
  readonly created?: string;
  readonly expires?: string;
}

/** What of a request can be covered by a signature. */
export interface SignedRequest {
  readonly method: string;
  /** Path and query exactly as in the request line. */
  readonly target: string;
  /** Value of a header by lower-case name, trimmed; several lines of one name joined with `, `. `host` is there on every request. */
  header(name: string): string | undefined;
}

/** Header values longer than this are refused before they are looked at. */
export const MAX_AUTHORIZATION = 8192;
const MAX_COVERED = 64;
const MAX_KEY_ID = 256;

const TOKEN = /^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/;
const SECONDS = /^\d{1,12}(\.\d{1,9})?$/;
const DERIVED = new Set(['(request-target)', '(created)', '(expires)']);

/** Whether the header value is of the scheme `Signature` at all; anything else counts as unsigned. */
export function isSignature(authorization: string): boolean {
  return /^signature(?:[ \t]|$)/i.test(authorization);
}

/**
 * Reads the parameters. Blanks around commas and `=`, unquoted values, empty list elements, unknown parameters and any case of
 * parameter names are accepted. Never throws; time and memory are linear in a bounded length.
 * @returns the parameters, or in one clause what is wrong with them.
 */
export function parseSofaSignature(authorization: string): SofaSignature | string {
  if (authorization.length > MAX_AUTHORIZATION)
    return `the Authorization header is longer than ${MAX_AUTHORIZATION} bytes`;
  const parameters = parseParameters(authorization);
  if (typeof parameters === 'string') return parameters;
  const keyId = parameters.get('keyid');
  if (!keyId) return 'the parameter keyId is missing or empty';
  if (keyId.length > MAX_KEY_ID) return `keyId is longer than ${MAX_KEY_ID} bytes`;
  const signature = parameters.get('signature');
  if (!signature) return 'the parameter signature is missing or empty';
  const algorithm = parameters.get('algorithm');
  // Left out, the algorithm is the key's own (draft §2.1.3), and all keys here are for HMAC-SHA256.
  if (algorithm !== undefined && algorithm.toLowerCase() !== 'hmac-sha256') {
    return `algorithm="${printable(algorithm)}" is not accepted; sign with hmac-sha256`;
  }
  const headers = coveredNames(parameters.get('headers'));
  if (typeof headers === 'string') return headers;
  const created = parameters.get('created');
  const expires = parameters.get('expires');
  for (const [name, value] of [
    ['created', created],
    ['expires', expires],
  ] as const) {
    if (value !== undefined && !SECONDS.test(value)) return `${name} is not a number of Unix seconds`;
    if (value === undefined && headers.includes(`(${name})`)) {
      return `headers lists (${name}) but the parameter ${name} is not sent; add ${name}=<Unix seconds>`;
    }
  }
  return {
    keyId,
    headers,
    signature,
    ...(created !== undefined && { created }),
    ...(expires !== undefined && { expires }),
  };
}

/** Names in the `headers` parameter; without the parameter a signature covers `date` alone (draft §2.1.6). */
function coveredNames(text: string | undefined): readonly string[] | string {
  if (text === undefined) return ['date'];
  const names = text.split(' ', MAX_COVERED * 2).filter((name) => name !== '');
  if (names.length === 0) return 'the parameter headers is empty; a signature must cover something';
  if (names.length > MAX_COVERED) return `headers lists more than ${MAX_COVERED} names`;
  const listed = new Set<string>();
  for (const name of names) {
    // Each mention would sign the value once more: a long value named often makes a small request dear to check.
    if (listed.has(name.toLowerCase())) return `headers lists "${printable(name)}" twice; list each name once`;
    listed.add(name.toLowerCase());
    if (!DERIVED.has(name) && !TOKEN.test(name))
      return `headers lists "${printable(name)}", which is not a header name`;
  }
  return names;
}

function parseParameters(text: string): Map<string, string> | string {
  const parameters = new Map<string, string>();
  let at = 'signature'.length;
  while (true) {
    at = skipBlanks(text, at);
    if (at >= text.length) break;
    if (text[at] === ',') {
      at++;
      continue;
    }
    const nameStart = at;
    while (at < text.length && text[at] !== '=' && text[at] !== ',' && text[at] !== ' ' && text[at] !== '\t') at++;
    const name = text.slice(nameStart, at).toLowerCase();
    at = skipBlanks(text, at);
    if (text[at] !== '=') return `"${printable(name)}" is not followed by "="; write name="value" with commas between`;
    at = skipBlanks(text, at + 1);
    const value = text[at] === '"' ? quoted(text, at + 1) : bare(text, at);
    if (!value) return `the quoted value of ${printable(name)} has no end`;
    at = skipBlanks(text, value.end);
    if (at < text.length && text[at] !== ',') return `a comma is missing after ${printable(name)}`;
    if (parameters.has(name)) return `the parameter ${printable(name)} is sent twice`;
    parameters.set(name, value.text);
  }
  return parameters.size === 0 ? 'it has no parameters' : parameters;
}

function skipBlanks(text: string, from: number): number {
  let at = from;
  while (text[at] === ' ' || text[at] === '\t') at++;
  return at;
}

/**
 * `text` without the blanks around it, which are no part of a field value (RFC 9110 §5.5). Spaces and tabs only: `trim` would
 * also take the byte A0 away, in which the UTF-8 form of many characters ends (你 is E4 BD A0).
 */
export function trimBlanks(text: string): string {
  const start = skipBlanks(text, 0);
  let end = text.length;
  while (end > start && (text[end - 1] === ' ' || text[end - 1] === '\t')) end--;
  return text.slice(start, end);
}

/** A quoted-string (RFC 9110 §5.6.4) whose opening quote is before `start`; undefined when the closing one is missing. */
function quoted(text: string, start: number): { text: string; end: number } | undefined {
  const close = text.indexOf('"', start);
  if (close < 0) return undefined;
  const simple = text.slice(start, close);
  if (!simple.includes('\\')) return { text: simple, end: close + 1 };
  let value = '';
  for (let at = start; at < text.length; at++) {
    if (text[at] === '"') return { text: value, end: at + 1 };
    if (text[at] === '\\') at++;
    value += text[at] ?? '';
  }
  return undefined;
}

function bare(text: string, start: number): { text: string; end: number } {
  const comma = text.indexOf(',', start);
  const end = comma < 0 ? text.length : comma;
  return { text: trimBlanks(text.slice(start, end)), end };
}

/** What to sign and what is missing for it. */
export type SigningString = { readonly text: string } | { readonly missing: string };

/**
 * The text that is signed: one line per covered name in listed order and spelling, joined by line feeds, none at the end
 * (draft §2.3). `missing` names a covered header that the request does not have.
 */
export function signingString(
  covered: Pick<SofaSignature, 'headers' | 'created' | 'expires'>,
  request: SignedRequest,
): SigningString {
  let text = '';
  for (const name of covered.headers) {
    if (text !== '') text += '\n';
    const value = coveredValue(name, covered, request);
    if (value === undefined) return { missing: name };
    text += `${name}: ${value}`;
  }
  return { text };
}

function coveredValue(
  name: string,
  covered: Pick<SofaSignature, 'created' | 'expires'>,
  request: SignedRequest,
): string | undefined {
  if (name === '(request-target)') return `${request.method.toLowerCase()} ${request.target}`;
  if (name === '(created)') return covered.created;
  if (name === '(expires)') return covered.expires;
  return request.header(name.toLowerCase());
}

/** Escapes that stay as they are: reserved characters, `%` and controls. Decoding them would name another resource or add lines. */
const KEPT = new Set([...":/?#[]@!$&'()*+,;=%"].map((c) => c.charCodeAt(0)));

/**
 * `target` as a client had it that signs before its HTTP library percent-encodes: escapes of characters that carry no meaning
 * in a URL (RFC 3986 §2.3: unreserved; and all that may never stand in one, such as blanks and non-ASCII) are decoded to bytes.
 */
export function decodedTarget(target: string): string {
  return target.replace(/%([0-9A-Fa-f]{2})/g, (triplet, hex: string) => {
    const byte = Number.parseInt(hex, 16);
    return byte < 0x20 || byte === 0x7f || KEPT.has(byte) ? triplet : String.fromCharCode(byte);
  });
}

/** `text` for a message: bounded, without control or non-ASCII characters. */
export function printable(text: string, max = 64): string {
  const clipped = text.length > max ? `${text.slice(0, max)}…` : text;
  return clipped.replace(/[^\x20-\x7e…]/g, '?');
}
