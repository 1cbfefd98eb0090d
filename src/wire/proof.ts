import { timingSafeEqual } from 'node:crypto';
import type { PeerCertificate } from 'node:tls';
import { type Metadata, status } from '@grpc/grpc-js';
import { looksBound, readBoundToken } from '../core/ads/bound-token.js';
import { grantsOf, isIdentity, type Proof } from '../core/ads/identity.js';
import { type Refusal, refusal } from './refusal.js';

/** How callers prove who they are. */
export interface ProofRules {
  /** Token that all edges share. */
  readonly nodeToken?: string | undefined;
  /** Key of tokens that were made for one fleet or node. Left out: there are none. */
  readonly tokenKey?: Buffer | undefined;
  /** Trust domain of the URIs in client certificates that count. Left out: each that the CA vouches for. */
  readonly trustDomain?: string | undefined;
  /**
   * `optional`: callers without any proof are heard, but are given no secret. `required`: each must prove that it belongs to a
   * fleet. `bound`: by a certificate or token of its own; the shared token is not enough. Default `optional`.
   */
  readonly identity?: 'optional' | 'required' | 'bound' | undefined;
}

/** What a call presents. Asks no database and no clock but that of the machine. */
export interface Presented {
  readonly proofs: readonly Proof[];
  /** May have types that hold secrets, in the fleet the proofs are for. */
  readonly authorised: boolean;
}

/** Of the connection; gRPC tells only of certificates that the CA vouches for. */
interface PeerContext {
  readonly sslPeerCertificate?: PeerCertificate;
}

/** What is asked of a call of gRPC. */
export interface ProvingCall {
  readonly metadata: Metadata;
  getAuthContext(): PeerContext | null;
}

const HOW =
  'a client certificate with the URI spiffe://<trust domain>/fleet/<workspace>/<fleet>, or a token of its own ("paifang node-token") as "authorization: Bearer <token>"';

/** Reads what a call presents, or tells why it is not heard. */
export function presentedBy(
  call: ProvingCall,
  rules: ProofRules,
  nowMs = Date.now(),
): Presented | { refusal: Refusal } {
  const proofs: Proof[] = [];
  const certificate = certificateOf(call.getAuthContext(), rules.trustDomain);
  if (certificate) proofs.push(certificate);
  const [header] = call.metadata.get('authorization');
  const token = header === undefined ? undefined : judgeToken(header, rules, nowMs);
  if (token && 'message' in token) return unauthenticated(token.message);
  if (token) proofs.push(token);

  const { identity = 'optional' } = rules;
  const enough = proofs.some((proof) => isIdentity(proof) && (identity !== 'bound' || proof.kind !== 'shared-token'));
  if (identity === 'optional' || enough) return { proofs, authorised: proofs.some(isIdentity) };
  if (certificate?.grants.length === 0)
    return unauthenticated(
      `The client certificate with serial ${certificate.serial} names no fleet. Every node must prove here who it is: with ${HOW}.`,
    );
  const shared = identity === 'bound' && proofs.length > 0;
  const lack = shared ? 'The node token that all edges share is not enough here.' : 'No proof of identity came along.';
  return unauthenticated(`${lack} Every node must prove who it is: with ${HOW}.`);
}

function certificateOf(
  context: PeerContext | null,
  trustDomain: string | undefined,
): (Proof & { kind: 'certificate' }) | undefined {
  const found = context?.sslPeerCertificate;
  if (found === undefined) return undefined;
  return {
    kind: 'certificate',
    serial: found.serialNumber,
    expiresAtMs: Date.parse(found.valid_to),
    grants: grantsOf(found.subjectaltname ?? '', trustDomain),
  };
}

function judgeToken(
  header: Buffer | string,
  rules: ProofRules,
  nowMs: number,
): Proof | { message: string } | undefined {
  const text = header.toString();
  const bound = text.replace(/^Bearer /, '');
  if (rules.tokenKey && looksBound(bound)) {
    const verdict = readBoundToken(bound, rules.tokenKey, nowMs);
    if (verdict.kind === 'right') return { kind: 'token', expiresAtMs: verdict.expiresAtMs, grants: [verdict.grant] };
    const remedy = 'Make a new one with "paifang node-token" where the master key of the controllers is.';
    if (verdict.kind === 'wrong')
      return { message: `The token is damaged, or was made with another master key. ${remedy}` };
    const { fleet, node } = verdict.grant;
    const holder = node === undefined ? `fleet "${fleet}"` : `node "${node}" of fleet "${fleet}"`;
    return { message: `The token of ${holder} expired at ${new Date(verdict.expiresAtMs).toISOString()}. ${remedy}` };
  }
  if (rules.nodeToken === undefined || rules.nodeToken === '') return undefined;
  const given = Buffer.from(text);
  const expected = Buffer.from(`Bearer ${rules.nodeToken}`);
  if (given.length === expected.length && timingSafeEqual(given, expected)) return { kind: 'shared-token' };
  return { message: 'The node token is wrong. Take the one this controller is configured with.' };
}

function unauthenticated(message: string): { refusal: Refusal } {
  return { refusal: refusal(status.UNAUTHENTICATED, message) };
}

/** The proof that says most of who a node is, in a few words for lists. */
export interface Identity {
  readonly by: 'certificate' | 'token' | 'shared-token' | 'none';
  /** Of a certificate, in hexadecimal. */
  readonly serial?: string;
  /** When the certificate or token ends, in ms since 1970. */
  readonly expiresAtMs?: number;
}

export function identityOf(proofs: readonly Proof[]): Identity {
  const certificate = proofs.find((proof) => proof.kind === 'certificate' && proof.grants.length > 0);
  const best = certificate ?? proofs.find((proof) => proof.kind === 'token') ?? proofs.find(isIdentity);
  if (best === undefined) return { by: 'none' };
  if (best.kind === 'shared-token') return { by: 'shared-token' };
  const { kind: by, expiresAtMs } = best;
  return best.kind === 'certificate' ? { by, serial: best.serial, expiresAtMs } : { by, expiresAtMs };
}
