import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import { isIP } from 'node:net';
import { der, sequence } from './certificate.js';

// Certificates for tests, made here byte by byte (RFC 5280, X.690), so that no test needs openssl and hostile ones can be made.

export interface Issued {
  readonly certificate: string;
  readonly key: string;
  /** Upper-case hexadecimal, as Node.js tells it. */
  readonly serial: string;
}

export interface CertificateOptions {
  readonly name: string;
  /** `URI:…`, `DNS:…` or `IP:…`. */
  readonly alternatives?: readonly string[];
  readonly notBefore?: Date;
  readonly notAfter?: Date;
  /** Default: a new one on P-256. */
  readonly privateKey?: KeyObject;
}

const DAY_MS = 86_400_000;
const ECDSA_SHA256 = '06082a8648ce3d040302';
const COMMON_NAME = '0603550403';
const BASIC_CONSTRAINTS = '0603551d13';
const SUBJECT_ALT_NAME = '0603551d11';

/** A certificate authority of a test. */
export class Authority {
  readonly certificate: string;
  readonly #key: KeyObject;
  readonly #name: string;

  constructor(name = 'test authority') {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    this.#key = privateKey;
    this.#name = name;
    this.certificate = pem('CERTIFICATE', this.#made({ name }, privateKey, true).bytes);
  }

  /** A certificate, good for a day unless told otherwise. */
  issue(options: CertificateOptions): Issued {
    const { privateKey = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey } = options;
    const { bytes, serial } = this.#made(options, privateKey, false);
    const key = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
    return { certificate: pem('CERTIFICATE', bytes), key, serial };
  }

  #made({ name, alternatives = [], notBefore, notAfter }: CertificateOptions, key: KeyObject, isAuthority: boolean) {
    const number = randomBytes(16);
    number[0] = ((number[0] as number) & 0x3f) | 0x40;
    const now = Date.now();
    const extensions = [
      sequence(hex(BASIC_CONSTRAINTS), hex('0101ff'), octets(isAuthority ? sequence(hex('0101ff')) : sequence())),
    ];
    if (alternatives.length > 0)
      extensions.push(sequence(hex(SUBJECT_ALT_NAME), octets(sequence(...alternatives.map(alternative)))));
    const body = sequence(
      hex('a003020102'),
      der(0x02, number),
      sequence(hex(ECDSA_SHA256)),
      nameOf(this.#name),
      sequence(time(notBefore ?? new Date(now - DAY_MS)), time(notAfter ?? new Date(now + DAY_MS))),
      nameOf(name),
      createPublicKey(createPrivateKey(key.export({ type: 'pkcs8', format: 'pem' }))).export({
        type: 'spki',
        format: 'der',
      }),
      der(0xa3, sequence(...extensions)),
    );
    const signature = der(0x03, Buffer.concat([Buffer.of(0), sign('sha256', body, this.#key)]));
    return {
      bytes: sequence(body, sequence(hex(ECDSA_SHA256)), signature),
      serial: number.toString('hex').toUpperCase(),
    };
  }
}

/** The URI by which a certificate names a fleet, or one node of it. */
export const fleetUri = (fleet: string, node?: string): string =>
  `URI:spiffe://paifang.test/fleet/${fleet}${node === undefined ? '' : `/node/${node}`}`;

function alternative(text: string): Buffer {
  const [type, value] = [text.slice(0, text.indexOf(':')), text.slice(text.indexOf(':') + 1)];
  if (type === 'URI') return der(0x86, Buffer.from(value, 'latin1'));
  if (type === 'DNS') return der(0x82, Buffer.from(value, 'latin1'));
  if (type === 'IP' && isIP(value) === 4) return der(0x87, Buffer.from(value.split('.').map(Number)));
  throw new Error(`no alternative name: ${text}`);
}

function nameOf(common: string): Buffer {
  return sequence(der(0x31, sequence(hex(COMMON_NAME), der(0x0c, Buffer.from(common)))));
}

/** UTCTime up to 2049, then GeneralizedTime (RFC 5280 §4.1.2.5). */
function time(date: Date): Buffer {
  const text = date.toISOString().replace(/[-:T]|\.\d+/g, '');
  return date.getUTCFullYear() < 2050 ? der(0x17, Buffer.from(text.slice(2))) : der(0x18, Buffer.from(text));
}

const octets = (content: Buffer): Buffer => der(0x04, content);
const hex = (text: string): Buffer => Buffer.from(text, 'hex');

function pem(label: string, bytes: Buffer): string {
  const lines = bytes.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}
