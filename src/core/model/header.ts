import type { Fault } from './fault.js';

/** RFC 9110 §5.6.2 `token`, which field names are made of. */
const TOKEN = /^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$/;
/** Visible ASCII, spaces and tabs inside; RFC 9110 §5.5 without obs-text, which has no agreed meaning. */
const VALUE = /^(?:[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?)?$/;

/** Fields that frame the message or belong to one connection (RFC 9110 §7.6.1, RFC 9113 §8.2.2); Envoy writes them itself. */
const FRAMING: ReadonlySet<string> = new Set([
  'connection',
  'content-length',
  'host',
  'http2-settings',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** What is wrong with `name` as a header that the gateway sets on a response. */
export function responseHeaderFault(name: string): Fault | undefined {
  const shown = JSON.stringify(name);
  const lower = name.toLowerCase();
  if (name.startsWith(':')) {
    return { message: `${shown} is a pseudo-header, which cannot be set.`, hint: 'For :status use the field status.' };
  }
  if (!TOKEN.test(name)) {
    return {
      message: `${shown} is no header name.`,
      hint: "1–128 letters, digits and !#$%&'*+.^_`|~- (RFC 9110 §5.6.2).",
    };
  }
  if (FRAMING.has(lower)) {
    return { message: `${shown} frames the message; Envoy sets it itself.`, hint: 'Leave it out.' };
  }
  return undefined;
}

/** Names the gateway or Envoy sets, and so overwrites. */
export function isReservedHeader(name: string): boolean {
  return /^(?:x-gateway-|x-pf-|x-envoy-)/i.test(name);
}

/** What is wrong with `value` as the value of a header. */
export function headerValueFault(value: unknown): Fault | undefined {
  if (typeof value === 'string' && VALUE.test(value)) return undefined;
  return {
    message: `${JSON.stringify(value)?.slice(0, 80)} cannot be the value of a header.`,
    hint: 'Visible ASCII characters, with spaces or tabs only between them (RFC 9110 §5.5).',
  };
}
