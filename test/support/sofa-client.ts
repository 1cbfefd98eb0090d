import { createRequire } from 'node:module';

/** The clients' package; its own types are sources that do not compile under our settings. */
export const sofa = createRequire(import.meta.url)('sofa-signature-js') as {
  Signature: new (
    key: string,
    secret: string,
    algorithm: unknown,
    names: string[],
  ) => { doSignature(secret: string, headers: Record<string, string>, method: string, path: string): string };
  SignatureAlgorithm: { HMACSHA256: unknown };
  DigestAlgorithm: { SHA256: unknown };
  HTTPDigestWithBase64(algorithm: unknown, body: string): string;
};
