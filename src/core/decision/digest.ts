import { hash } from 'node:crypto';

const EMPTY = new Uint8Array(0);
/** Of no bytes at all; clients send it on GET and DELETE too. */
const EMPTY_SHA256 = hash('sha256', EMPTY, 'base64');
const MAX_ENTRIES = 16;

/** SHA-256 of the body bytes as they came, as padded standard base64. */
export function sha256Base64(body: Uint8Array | undefined): string {
  return body === undefined || body.length === 0 ? EMPTY_SHA256 : hash('sha256', body, 'base64');
}

/** Value of a `Digest` header (RFC 3230) for `body`: `SHA-256=<base64>`. */
export function digestHeader(body: Uint8Array | undefined): string {
  return `SHA-256=${sha256Base64(body)}`;
}

/**
 * Compares a `Digest` header with the body. A header may list several algorithms; each SHA-256 among them must be right and at
 * least one must be there.
 * @returns undefined when it fits, else what is wrong in one clause.
 */
export function digestFault(header: string, body: Uint8Array | undefined): string | undefined {
  const entries = header.split(',', MAX_ENTRIES + 1);
  if (entries.length > MAX_ENTRIES) return `the Digest header lists more than ${MAX_ENTRIES} values`;
  const actual = sha256Base64(body);
  let found = false;
  for (const entry of entries) {
    const equals = entry.indexOf('=');
    if (equals < 0 || entry.slice(0, equals).trim().toLowerCase() !== 'sha-256') continue;
    if (entry.slice(equals + 1).trim() !== actual) {
      return `the body that arrived has ${body?.length ?? 0} bytes and SHA-256=${actual}, which is not what the Digest header says`;
    }
    found = true;
  }
  return found ? undefined : "the Digest header holds no SHA-256=<base64 of the body's SHA-256>";
}
