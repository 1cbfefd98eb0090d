import type { CheckInput } from '../../core/decision/decision.js';
import { trimBlanks } from '../../core/decision/sofa-signature.js';
import { rewrittenTarget } from './backend-target.js';

/**
 * The few fields of envoy.service.auth.v3.CheckRequest that a decision needs, read straight from the bytes of the message.
 * Texts are byte strings (one character per byte): a signature covers bytes.
 */
export class CheckRequest implements CheckInput {
  method = '';
  target = '';
  host = '';
  policy = '';
  apiId = '';
  groupId = '';
  body: Uint8Array = NO_BODY;
  /** Names (lower-case, as Envoy sends them) and values by turns, in the order of the request. */
  readonly headers: string[] = [];
  readonly #extensions: string[] = [];

  /** Where in the message the Peer `destination` stands: it is looked into only when asked, which is seldom. */
  destination: readonly [message: Buffer, start: number, end: number] | undefined;

  /** Port of the listener; undefined when the message does not say. */
  get listenerPort(): number | undefined {
    if (!this.destination) return undefined;
    const [message, start, end] = this.destination;
    port = 0;
    return fields(message, start, end, this, peerField) && port > 0 ? port : undefined;
  }

  /** Where the route rewrites the path, the target that the backend will see. */
  get backendTarget(): string | undefined {
    const pattern = this.extension('rewrite_pattern');
    return pattern && rewrittenTarget(this.target, pattern, this.extension('rewrite_substitution') ?? '');
  }

  /** Value of a header by lower-case name, trimmed; several lines joined with `, `. `host` falls back to the authority. */
  header(name: string): string | undefined {
    const { headers } = this;
    let value: string | undefined;
    for (let i = 0; i < headers.length; i += 2) {
      if (headers[i] !== name) continue;
      const line = trimBlanks(headers[i + 1] as string);
      value = value === undefined ? line : `${value}, ${line}`;
    }
    if (value === undefined && name === 'host' && this.host !== '') return this.host;
    return value;
  }

  /** A context extension of the route, e.g. `policy`. */
  extension(name: string): string | undefined {
    const extensions = this.#extensions;
    for (let i = 0; i < extensions.length; i += 2) if (extensions[i] === name) return extensions[i + 1];
    return undefined;
  }

  /** @internal used by {@link decodeCheckRequest} */
  setExtension(name: string, value: string): void {
    if (name === 'policy') this.policy = value;
    else if (name === 'api') this.apiId = value;
    else if (name === 'group') this.groupId = value;
    else this.#extensions.push(name, value);
  }
}

const NO_BODY = new Uint8Array(0);
/** More header entries than any Envoy passes on (its own default limit is 100). */
const MAX_HEADERS = 1024;

/**
 * Reads a message. Fields that are not needed are skipped without being looked at. Never throws.
 * @returns undefined when the bytes are no well-formed message.
 */
export function decodeCheckRequest(message: Buffer): CheckRequest | undefined {
  const request = new CheckRequest();
  return fields(message, 0, message.length, request, checkField) ? request : undefined;
}

/** Handles one length-delimited field whose content is `[start, end)`. False = malformed. */
type Field = (buffer: Buffer, number: number, start: number, end: number, into: CheckRequest) => boolean;

/** SocketAddress.port_value: field 3, a varint. */
const PORT_TAG = 3 << 3;
/** Value of the field with {@link PORT_TAG} that was met last. */
let port = 0;

/** Position after the varint that {@link varint} read last. */
let next = 0;

/** Walks over the fields of a message (https://protobuf.dev/programming-guides/encoding/). */
function fields(buffer: Buffer, from: number, end: number, into: CheckRequest, field: Field): boolean {
  let at = from;
  while (at < end) {
    const tag = varint(buffer, at, end);
    if (tag < 8 || tag > 0xffff_ffff) return false;
    at = next;
    switch (tag % 8) {
      case 0:
        if (varint(buffer, at, end) < 0) return false;
        if (tag === PORT_TAG) port = varint(buffer, at, end);
        at = next;
        break;
      case 1:
        at += 8;
        break;
      case 2: {
        const length = varint(buffer, at, end);
        if (length < 0 || length > end - next) return false;
        at = next + length;
        if (!field(buffer, Math.floor(tag / 8), next, at, into)) return false;
        break;
      }
      case 5:
        at += 4;
        break;
      default:
        return false;
    }
  }
  return at === end;
}

/** The varint at `at` as a number (exact up to 2^53; larger ones only come out large), or -1 when cut off or too long. */
function varint(buffer: Buffer, at: number, end: number): number {
  let value = 0;
  let scale = 1;
  for (let i = 0; i < 10; i++) {
    if (at >= end) return -1;
    const byte = buffer[at++] as number;
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) {
      next = at;
      return value;
    }
    scale *= 128;
  }
  return -1;
}

const checkField: Field = (buffer, number, start, end, into) =>
  number === 1 ? fields(buffer, start, end, into, attributesField) : true;

const attributesField: Field = (buffer, number, start, end, into) => {
  if (number === 4) return fields(buffer, start, end, into, requestField);
  if (number === 2) into.destination = [buffer, start, end];
  if (number !== 10) return true;
  if (!pair(buffer, start, end)) return false;
  into.setExtension(pairKey, pairValue);
  return true;
};

/** Peer.address.socket_address. */
const peerField: Field = (buffer, number, start, end, into) =>
  number === 1 ? fields(buffer, start, end, into, addressField) : true;
const addressField: Field = (buffer, number, start, end, into) =>
  number === 1 ? fields(buffer, start, end, into, skipField) : true;
const skipField: Field = () => true;

const requestField: Field = (buffer, number, start, end, into) =>
  number === 2 ? fields(buffer, start, end, into, httpField) : true;

const httpField: Field = (buffer, number, start, end, into) => {
  switch (number) {
    case 2:
      into.method = buffer.toString('latin1', start, end);
      return true;
    case 3:
      return header(buffer, start, end, into);
    case 4:
      into.target = buffer.toString('latin1', start, end);
      return true;
    case 5:
      into.host = buffer.toString('latin1', start, end);
      return true;
    case 11:
    case 12:
      // Envoy fills one of the two: `raw_body` when told to pack bytes.
      if (end > start) into.body = buffer.subarray(start, end);
      return true;
    case 13:
      return fields(buffer, start, end, into, headerMapField);
    default:
      return true;
  }
};

const headerMapField: Field = (buffer, number, start, end, into) =>
  number === 1 ? header(buffer, start, end, into) : true;

function header(buffer: Buffer, start: number, end: number, into: CheckRequest): boolean {
  if (into.headers.length >= MAX_HEADERS * 2 || !pair(buffer, start, end)) return false;
  into.headers.push(pairKey, pairValue);
  return true;
}

let pairKey = '';
let pairValue = '';

/** A map entry, or a core.v3.HeaderValue: key 1, value 2, raw_value 3. */
function pair(buffer: Buffer, start: number, end: number): boolean {
  pairKey = '';
  pairValue = '';
  return fields(buffer, start, end, SINK, pairField);
}

const SINK = new CheckRequest();
const pairField: Field = (buffer, number, start, end) => {
  if (number === 1) pairKey = buffer.toString('latin1', start, end);
  else if ((number === 2 || number === 3) && end > start) pairValue = buffer.toString('latin1', start, end);
  return true;
};
