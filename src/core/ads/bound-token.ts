import { createHmac, timingSafeEqual } from 'node:crypto';
import type { Grant } from './identity.js';

// A token for one fleet or node: `pfn1.<what it allows>.<HMAC-SHA-256 of all before it>`, both base64url. Whoever has the key
// can tell a right one without asking anybody.

const PREFIX = 'pfn1.';
/** Longest token that is looked at; a node id of 255 characters and the longest names fit in. */
const LONGEST = 2048;
const MAC_BYTES = 32;

export type TokenVerdict =
  | { readonly kind: 'right'; readonly grant: Grant; readonly expiresAtMs: number }
  | { readonly kind: 'expired'; readonly grant: Grant; readonly expiresAtMs: number }
  /** Not made with this key, damaged, or not a token at all. */
  | { readonly kind: 'wrong' };

interface Content {
  readonly fleet: string;
  readonly node?: string;
  /** Seconds since 1970 from which it is refused. */
  readonly exp: number;
}

/** Whether a text means to be such a token. */
export const looksBound = (text: string): boolean => text.startsWith(PREFIX);

/** Makes a token. `key`: 32 bytes, kept as secret as the token. The expiry is rounded down to seconds. */
export function makeBoundToken(key: Buffer, { fleet, node }: Grant, expiresAtMs: number): string {
  const content: Content = { fleet, ...(node !== undefined && { node }), exp: Math.floor(expiresAtMs / 1000) };
  const signed = `${PREFIX}${Buffer.from(JSON.stringify(content)).toString('base64url')}`;
  return `${signed}.${mac(key, signed).toString('base64url')}`;
}

/** Judges a token. Its content is read only after its HMAC was found right, in the same time for every wrong one. */
export function readBoundToken(text: string, key: Buffer, nowMs: number): TokenVerdict {
  if (text.length > LONGEST) return { kind: 'wrong' };
  const match = /^(pfn1\.([A-Za-z0-9_-]+))\.([A-Za-z0-9_-]{43})$/.exec(text);
  if (!match) return { kind: 'wrong' };
  const [, signed, content, given] = match as unknown as [string, string, string, string];
  const presented = Buffer.from(given, 'base64url');
  if (presented.length !== MAC_BYTES || !timingSafeEqual(presented, mac(key, signed))) return { kind: 'wrong' };
  const { fleet, node, exp } = JSON.parse(Buffer.from(content, 'base64url').toString('utf8')) as Content;
  const grant = { fleet, ...(node !== undefined && { node }) };
  const expiresAtMs = exp * 1000;
  return { kind: nowMs < expiresAtMs ? 'right' : 'expired', grant, expiresAtMs };
}

function mac(key: Buffer, signed: string): Buffer {
  return createHmac('sha256', key).update(signed).digest();
}
