import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { TYPE } from '../../core/ads/resource.js';
import type { AdsUpdate } from '../../wire/ads-client.js';

// The file of the last good configuration. A line of JSON says what it is; frames follow, each of them one update as the
// controller sent it, so that whatever number of whole frames is read, the result is a state that was in force.
//
//   frame = length u32 | kind u8 | 0 0 0 | number u32 | CRC-32 of these 12 bytes | payload | MAC (16 bytes)
//
// The MAC (HMAC-SHA-256, truncated) covers the first 12 bytes and the payload. Its key and that of the encryption are derived
// (HKDF, RFC 5869) from the node token and a salt of the file's own; frames are numbered. So no frame can be changed, moved,
// left out or taken from another file by somebody who does not know the token.

const FORMAT = 'paifang-last-good';
const VERSION = 1;
const HEAD_BYTES = 16;
const MAC_BYTES = 16;
const LONGEST_HEADER = 4096;
/** Types whose frames are encrypted (AES-256-GCM), names included. */
const SEALED: ReadonlySet<string> = new Set([TYPE.app, TYPE.serviceKey, TYPE.secret]);
const KIND = { update: 1, sealed: 2, inStep: 3 } as const;

/** Whose configuration a file holds. */
export interface JournalOwner {
  readonly fleet: string;
  readonly node: string;
  /** Node token, or a secret in its place, from which the keys are derived. */
  readonly token: string;
}

export type JournalEntry =
  | { readonly kind: 'update'; readonly update: AdsUpdate }
  /** Up to this time (Unix ms) the edge was in step with a controller. */
  | { readonly kind: 'in-step'; readonly atMs: number };

/** A file that must not be used; the message says why and is fit for a log. */
export class JournalRefused extends Error {}

export interface JournalContent {
  readonly writer: JournalWriter;
  readonly entries: readonly JournalEntry[];
  /** Where the whole state ends with which the file begins; undefined when it does not get so far. */
  readonly beginning: number | undefined;
  /** Where the last whole frame ends; bytes behind it are the rest of a write that was cut off. */
  readonly end: number;
}

/** Makes the bytes of one file, frame after frame. */
export class JournalWriter {
  readonly header: Buffer;
  #number = 0;

  private constructor(
    private readonly keys: Keys,
    header: Buffer,
    number: number,
  ) {
    this.header = header;
    this.#number = number;
  }

  /** For a new file; its keys are its own. */
  static begin(owner: JournalOwner): JournalWriter {
    const salt = randomBytes(32);
    const keys = deriveKeys(owner.token, salt);
    const { fleet, node } = owner;
    const said = { format: FORMAT, version: VERSION, fleet, node, salt: salt.toString('base64') };
    const header = { ...said, check: headerCheck(keys, said) };
    return new JournalWriter(keys, Buffer.from(`${JSON.stringify(header)}\n`), 0);
  }

  /** Continues a file after the frames that were read from it. */
  static resume(keys: Keys, header: Buffer, frames: number): JournalWriter {
    return new JournalWriter(keys, header, frames);
  }

  frame(entry: JournalEntry): Buffer {
    if (entry.kind === 'in-step') {
      const time = Buffer.alloc(8);
      time.writeDoubleBE(entry.atMs);
      return this.#frame(KIND.inStep, time);
    }
    const plain = encodeUpdate(entry.update);
    return SEALED.has(entry.update.type)
      ? this.#frame(KIND.sealed, seal(this.keys.encryption, plain))
      : this.#frame(KIND.update, plain);
  }

  #frame(kind: number, payload: Buffer): Buffer {
    const head = Buffer.alloc(HEAD_BYTES);
    head.writeUInt32BE(payload.length, 0);
    head.writeUInt8(kind, 4);
    head.writeUInt32BE(this.#number++, 8);
    head.writeUInt32BE(crc32(head.subarray(0, 12)), 12);
    return Buffer.concat([head, payload, mac(this.keys.mac, head.subarray(0, 12), payload)]);
  }
}

/**
 * Reads a file. A frame at the end that is cut off is passed over; it was never acknowledged to anybody.
 * @throws JournalRefused when it is somebody else's, of another version, or damaged in any other place.
 */
export function readJournal(bytes: Buffer, owner: JournalOwner): JournalContent {
  const { keys, header } = readHeader(bytes, owner);
  const entries: JournalEntry[] = [];
  let at = header.length;
  let beginning: number | undefined;
  while (at < bytes.length) {
    const rest = bytes.subarray(at);
    // Shorter than a head, or blocks the file system had laid out and not written: the last write did not get further.
    if (rest.length < HEAD_BYTES || rest.every((byte) => byte === 0)) break;
    if (rest.readUInt32BE(12) !== crc32(rest.subarray(0, 12))) throw damaged(at);
    const length = rest.readUInt32BE(0);
    const size = HEAD_BYTES + length + MAC_BYTES;
    if (rest.length < size) break;
    if (rest.readUInt32BE(8) !== entries.length) throw damaged(at);
    const payload = rest.subarray(HEAD_BYTES, HEAD_BYTES + length);
    const expected = mac(keys.mac, rest.subarray(0, 12), payload);
    if (!timingSafeEqual(expected, rest.subarray(size - MAC_BYTES, size))) {
      if (rest.length === size) break;
      throw damaged(at);
    }
    const entry = readEntry(rest.readUInt8(4), payload, keys, at);
    entries.push(entry);
    at += size;
    if (entry.kind === 'in-step') beginning ??= at;
  }
  return { writer: JournalWriter.resume(keys, header, entries.length), entries, beginning, end: at };
}

interface Keys {
  readonly mac: Buffer;
  readonly encryption: Buffer;
}

function deriveKeys(token: string, salt: Buffer): Keys {
  const derive = (use: string) => Buffer.from(hkdfSync('sha256', token, salt, `${FORMAT} ${use}`, 32));
  return { mac: derive('mac'), encryption: derive('encryption') };
}

function readHeader(bytes: Buffer, owner: JournalOwner): { keys: Keys; header: Buffer } {
  const end = bytes.subarray(0, LONGEST_HEADER).indexOf(10);
  const header = bytes.subarray(0, end + 1);
  let said: Record<string, unknown>;
  try {
    said = JSON.parse(header.toString('utf8')) as Record<string, unknown>;
  } catch {
    throw new JournalRefused('its first line cannot be read');
  }
  const { format, version, fleet, node, salt, check } = said;
  if (format !== FORMAT) throw new JournalRefused('it is no last good configuration');
  if (version !== VERSION) throw new JournalRefused(`it has version ${String(version)}, this edge writes ${VERSION}`);
  if (fleet !== owner.fleet || node !== owner.node)
    throw new JournalRefused(`it is that of node ${String(node)} in fleet ${String(fleet)}`);
  const keys = deriveKeys(owner.token, Buffer.from(String(salt), 'base64'));
  if (check !== headerCheck(keys, { format, version, fleet, node, salt }))
    throw new JournalRefused('it was written with another node token, or its first line is damaged');
  return { keys, header: Buffer.from(header) };
}

function headerCheck(keys: Keys, said: Record<string, unknown>): string {
  return createHmac('sha256', keys.mac).update(JSON.stringify(said)).digest('base64');
}

function readEntry(kind: number, payload: Buffer, keys: Keys, at: number): JournalEntry {
  try {
    if (kind === KIND.inStep) return { kind: 'in-step', atMs: payload.readDoubleBE() };
    if (kind === KIND.update) return { kind: 'update', update: decodeUpdate(payload) };
    if (kind === KIND.sealed) return { kind: 'update', update: decodeUpdate(unseal(keys.encryption, payload)) };
  } catch {
    // Told below, with the place.
  }
  throw damaged(at);
}

function damaged(at: number): JournalRefused {
  return new JournalRefused(`it is damaged at byte ${at}`);
}

function mac(key: Buffer, head: Uint8Array, payload: Uint8Array): Buffer {
  return createHmac('sha256', key).update(head).update(payload).digest().subarray(0, MAC_BYTES);
}

/** Nonce (12 bytes), tag (16 bytes), text. */
function seal(key: Buffer, plain: Buffer): Buffer {
  const nonce = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  const text = Buffer.concat([cipher.update(plain), cipher.final()]);
  return Buffer.concat([nonce, cipher.getAuthTag(), text]);
}

function unseal(key: Buffer, sealed: Buffer): Buffer {
  const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, 12));
  decipher.setAuthTag(sealed.subarray(12, 28));
  return Buffer.concat([decipher.update(sealed.subarray(28)), decipher.final()]);
}

/** Type, upserts (name, version, bytes), removals (names); texts and bytes after their length, all numbers u32. */
function encodeUpdate({ type, upserts, removals }: AdsUpdate): Buffer {
  const parts: Uint8Array[] = [];
  const number = (value: number) => {
    const bytes = Buffer.allocUnsafe(4);
    bytes.writeUInt32BE(value);
    parts.push(bytes);
  };
  const bytes = (value: Uint8Array) => {
    number(value.length);
    parts.push(value);
  };
  const text = (value: string) => bytes(Buffer.from(value));
  text(type);
  number(upserts.length);
  for (const upsert of upserts) {
    text(upsert.name);
    text(upsert.version);
    bytes(upsert.bytes);
  }
  number(removals.length);
  for (const name of removals) text(name);
  return Buffer.concat(parts);
}

function decodeUpdate(payload: Buffer): AdsUpdate {
  let at = 0;
  const number = () => {
    at += 4;
    return payload.readUInt32BE(at - 4);
  };
  const bytes = () => {
    const length = number();
    at += length;
    return payload.subarray(at - length, at);
  };
  const text = () => bytes().toString('utf8');
  const list = <T>(item: () => T): T[] => Array.from({ length: number() }, item);
  const type = text();
  const upserts = list(() => ({ name: text(), version: text(), bytes: bytes() as Uint8Array }));
  return { type, upserts, removals: list(text) };
}
