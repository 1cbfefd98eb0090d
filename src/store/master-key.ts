import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from 'node:crypto';
import { Secret } from '../core/secret.js';
import { secretFile } from './secret-file.js';

const ALGORITHM = 'aes-256-gcm';
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** What the key is derived for that makes and judges tokens of single fleets and nodes. */
export const NODE_TOKEN_USE = 'node tokens v1';

/** An encrypted text as it is stored. */
export interface Sealed {
  /** Which key it was made with; {@link MasterKey.id} of that key. */
  readonly keyId: string;
  readonly nonce: Buffer;
  /** Cipher text, then the 16 bytes of the tag. */
  readonly ciphertext: Buffer;
}

/** The key that encrypts secrets at rest: AES-256-GCM, a random nonce each time, bound to the owner by additional data. */
export class MasterKey {
  readonly #key: Buffer;
  /** Names the key without telling it; stored to find out at start whether the key is the right one. */
  readonly id: string;

  /** @throws Error unless `key` is 32 bytes long. */
  constructor(key: Buffer) {
    if (key.length !== 32) throw new Error(`a master key has 32 bytes, this one has ${key.length}`);
    this.#key = Buffer.from(key);
    this.id = createHmac('sha256', key).update('paifang master key id').digest('hex').slice(0, 32);
  }

  /** Encrypts `secret` for `owner`; the result can be opened only with the same owner text. */
  seal(secret: Secret, owner: string): Sealed {
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv(ALGORITHM, this.#key, nonce).setAAD(Buffer.from(owner));
    const text = Buffer.concat([cipher.update(secret.reveal(), 'utf8'), cipher.final()]);
    return { keyId: this.id, nonce, ciphertext: Buffer.concat([text, cipher.getAuthTag()]) };
  }

  /** @throws Error when the key, the owner or any byte is another than when it was sealed. */
  open(sealed: Sealed, owner: string): Secret {
    if (sealed.keyId !== this.id) {
      throw new Error(`the secret of ${owner} was encrypted with another master key (${sealed.keyId}, not ${this.id})`);
    }
    const split = sealed.ciphertext.length - TAG_BYTES;
    const decipher = createDecipheriv(ALGORITHM, this.#key, sealed.nonce, { authTagLength: TAG_BYTES })
      .setAAD(Buffer.from(owner))
      .setAuthTag(sealed.ciphertext.subarray(split));
    try {
      return new Secret(
        Buffer.concat([decipher.update(sealed.ciphertext.subarray(0, split)), decipher.final()]).toString('utf8'),
      );
    } catch {
      throw new Error(`the stored secret of ${owner} is damaged or belongs to another owner`);
    }
  }

  /** 32 bytes for one other use, which tell nothing of this key or of those for other uses (HKDF-SHA-256, RFC 5869). */
  derive(use: string): Buffer {
    return Buffer.from(hkdfSync('sha256', this.#key, '', `paifang ${use}`, 32));
  }

  toJSON(): string {
    return '[redacted]';
  }
}

/**
 * The key from `text` (64 hex digits, or base64 of 32 bytes), else from `file`, which is made with a random key and mode
 * 0600 when it is not there.
 * @throws Error that names the source when it does not hold a key; the content is never part of the message.
 */
export async function loadMasterKey(source: { text?: string | undefined; file: string }): Promise<MasterKey> {
  if (source.text !== undefined) return parse(source.text, 'PAIFANG_MASTER_KEY');
  return parse(await secretFile(source.file, () => randomBytes(32).toString('base64')), source.file);
}

function parse(text: string, source: string): MasterKey {
  const trimmed = text.trim();
  const hex = /^[0-9a-f]{64}$/i.test(trimmed);
  const base64 = /^[A-Za-z0-9+/_-]{43}=?$/.test(trimmed);
  if (!hex && !base64) {
    throw new Error(
      `${source} holds no master key: 32 random bytes are needed, as 64 hex digits or as base64. Make one with: openssl rand -base64 32`,
    );
  }
  return new MasterKey(Buffer.from(trimmed, hex ? 'hex' : 'base64'));
}
