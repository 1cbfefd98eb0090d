import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createSecureContext, type SecureContextOptions } from 'node:tls';

/** PEM files; those that are not named are not read. */
export interface CertificatePaths {
  /** Own certificate, then those between it and its CA. */
  readonly certificate?: string;
  /** Private key of that certificate, not encrypted. */
  readonly key?: string;
  /** Certificates of the CAs that peers are trusted by. */
  readonly ca?: string;
}

/** What is in the files. */
export interface Certificates {
  readonly certificate?: Buffer;
  readonly key?: Buffer;
  readonly ca?: Buffer;
  /** Of the own certificate: serial number in hexadecimal, and when it ends. */
  readonly serial?: string;
  readonly expiresAtMs?: number;
}

export interface CertificateFault {
  readonly file: keyof CertificatePaths;
  readonly message: string;
}

/** Everything that is wrong with a set of files. */
export class CertificateError extends Error {
  constructor(readonly faults: readonly CertificateFault[]) {
    super(faults.map(({ file, message }) => `${file} ${message}`).join('; '));
    this.name = 'CertificateError';
  }
}

export interface CertificateWatch {
  /** Told of new content that is in use from now on. */
  readonly onRenewed?: (certificates: Certificates) => void;
  /** Told once of new content that cannot be used; what there was stays in use. */
  readonly onTrouble?: (error: CertificateError) => void;
  /** Milliseconds between looks. */
  readonly everyMs?: number;
}

const EVERY_MS = 2000;
const BLOCK = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g;

/** Certificate, key and CA in files that may be replaced at any time, one after the other or all at once. */
export class CertificateFiles {
  readonly #timer: NodeJS.Timeout;
  readonly #listeners = new Set<(certificates: Certificates) => void>();
  #current: Certificates;
  /** The trouble of the last look: two files are not replaced in the same instant, so only one that stays is told. */
  #trouble = '';
  #told = '';
  #looking: Promise<void> | undefined;

  private constructor(
    private readonly paths: CertificatePaths,
    current: Certificates,
    private readonly watch: CertificateWatch,
  ) {
    this.#current = current;
    this.#timer = setInterval(() => {
      this.#looking ??= this.#look().finally(() => {
        this.#looking = undefined;
      });
    }, watch.everyMs ?? EVERY_MS);
    this.#timer.unref();
  }

  /** @throws CertificateError with every fault of the files. */
  static async open(paths: CertificatePaths, watch: CertificateWatch = {}): Promise<CertificateFiles> {
    return new CertificateFiles(paths, await readCertificates(paths), watch);
  }

  /** The newest content that can be used; the same object until it changes. */
  get current(): Certificates {
    return this.#current;
  }

  /** Calls `listener` with each new content. */
  follow(listener: (certificates: Certificates) => void): void {
    this.#listeners.add(listener);
  }

  close(): void {
    clearInterval(this.#timer);
    this.#listeners.clear();
  }

  async #look(): Promise<void> {
    try {
      const found = await readCertificates(this.paths);
      this.#trouble = this.#told = '';
      if (isSame(found, this.#current)) return;
      this.#current = found;
      this.watch.onRenewed?.(found);
      for (const listener of this.#listeners) listener(found);
    } catch (error) {
      if (!(error instanceof CertificateError)) throw error;
      const lasts = this.#trouble === error.message;
      this.#trouble = error.message;
      if (!lasts || this.#told === error.message) return;
      this.#told = error.message;
      this.watch.onTrouble?.(error);
    }
  }
}

/** Reads and checks the files. @throws CertificateError with every fault. */
export async function readCertificates(paths: CertificatePaths): Promise<Certificates> {
  const faults: CertificateFault[] = [];
  const read = async (file: keyof CertificatePaths) => {
    const path = paths[file];
    if (path === undefined) return undefined;
    return readFile(path).catch((error: NodeJS.ErrnoException) => {
      faults.push({ file, message: `cannot be read: ${path} (${error.code ?? error.message})` });
      return undefined;
    });
  };
  const [certificate, key, ca] = await Promise.all([read('certificate'), read('key'), read('ca')]);
  const parsed = (file: keyof CertificatePaths, content: Buffer | undefined) => {
    if (content === undefined) return [];
    const found = certificatesIn(content);
    if (typeof found !== 'string') return found;
    faults.push({ file, message: `${found}: ${paths[file]}` });
    return [];
  };
  const [own] = parsed('certificate', certificate);
  parsed('ca', ca);
  const keyFault = key && keyFaultOf(key, own);
  if (keyFault) faults.push({ file: 'key', message: `${keyFault}: ${paths.key}` });
  const unfit = faults.length === 0 && unfitFor(certificate, key, ca);
  if (unfit) faults.push({ file: unfit.file, message: `${unfit.message}: ${paths[unfit.file]}` });
  if (faults.length > 0) throw new CertificateError(faults);
  return {
    ...(certificate && { certificate }),
    ...(key && { key }),
    ...(ca && { ca }),
    ...(own && { serial: own.serialNumber, expiresAtMs: Date.parse(own.validTo) }),
  };
}

function certificatesIn(content: Buffer): X509Certificate[] | string {
  const blocks = content.toString('latin1').match(BLOCK) ?? [];
  if (blocks.length === 0) return 'holds no certificate in PEM form';
  try {
    return blocks.map((block) => new X509Certificate(block));
  } catch {
    return 'holds a certificate that cannot be read';
  }
}

/** What is wrong with a key; the content is never part of the text. */
function keyFaultOf(content: Buffer, own: X509Certificate | undefined): string | undefined {
  if (content.includes('ENCRYPTED')) return 'is encrypted; a process that starts by itself needs it plain, mode 0600';
  try {
    const key = createPrivateKey(content);
    return own && !own.checkPrivateKey(key) ? 'is not the key of the certificate' : undefined;
  } catch {
    return 'holds no private key in PEM form';
  }
}

/** What TLS has against certificates that can be read: a key too short, a digest too weak. */
function unfitFor(cert?: Buffer, key?: Buffer, ca?: Buffer): CertificateFault | undefined {
  const refusalOf = (options: SecureContextOptions) => {
    try {
      createSecureContext(options);
      return undefined;
    } catch (error) {
      return `cannot be used for TLS (${(error as NodeJS.ErrnoException).code ?? 'unknown fault'})`;
    }
  };
  const own = cert && refusalOf({ cert, ...(key && { key }) });
  if (own) return { file: 'certificate', message: own };
  const peers = ca && refusalOf({ ca });
  return peers ? { file: 'ca', message: peers } : undefined;
}

function isSame(a: Certificates, b: Certificates): boolean {
  const same = (left: Buffer | undefined, right: Buffer | undefined) =>
    left === undefined || right === undefined ? left === right : left.equals(right);
  return same(a.certificate, b.certificate) && same(a.key, b.key) && same(a.ca, b.ca);
}
