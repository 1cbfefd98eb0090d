import { hash, timingSafeEqual } from 'node:crypto';

const BLOCK = 64;
const DIGEST = 32;

/** Reused between calls; grows to the longest message seen up to {@link SCRATCH_KEPT}. */
let scratch = Buffer.allocUnsafeSlow(4096);
const SCRATCH_KEPT = 65_536;
const expected = Buffer.allocUnsafeSlow(44);
const given = Buffer.allocUnsafeSlow(44);

/**
 * A secret prepared for HMAC-SHA256 (RFC 2104). The padded keys are made once, so that a signature costs two one-shot hashes:
 * that is several times cheaper than a `createHmac` per message. Does not print its secret.
 */
export class HmacKey {
  /** Key xor ipad. */
  readonly #inner = Buffer.alloc(BLOCK, 0x36);
  /** Key xor opad, followed by room for the inner digest. */
  readonly #outer = Buffer.alloc(BLOCK + DIGEST, 0x5c);

  constructor(secret: Uint8Array) {
    const key = secret.length > BLOCK ? hash('sha256', secret, 'buffer') : secret;
    for (let i = 0; i < key.length; i++) {
      this.#inner[i] = 0x36 ^ (key[i] as number);
      this.#outer[i] = 0x5c ^ (key[i] as number);
    }
  }

  /**
   * HMAC-SHA256 of `message` as padded standard base64 (44 characters).
   * @param message a byte string: each character stands for one byte (0–255), as headers come off the wire.
   */
  sign(message: string): string {
    const length = BLOCK + message.length;
    let buffer = scratch;
    if (length > buffer.length) {
      buffer = Buffer.allocUnsafeSlow(length);
      if (length <= SCRATCH_KEPT) scratch = buffer;
    }
    this.#inner.copy(buffer, 0);
    buffer.write(message, BLOCK, 'latin1');
    this.#outer.write(hash('sha256', buffer.subarray(0, length), 'binary'), BLOCK, 'latin1');
    return hash('sha256', this.#outer, 'base64');
  }

  /** Whether `signature` is exactly {@link sign} of `message`. Takes the same time wherever they differ. */
  verify(message: string, signature: string): boolean {
    if (signature.length !== expected.length) return false;
    expected.write(this.sign(message), 0, 'latin1');
    given.write(signature, 0, 'latin1');
    return timingSafeEqual(expected, given);
  }

  toString(): string {
    return '[redacted]';
  }

  toJSON(): string {
    return '[redacted]';
  }
}
