import type { SignedRequest } from './sofa-signature.js';
import type { App } from './tables.js';

/** One request as the edge is shown it. Texts are byte strings: one character per byte. */
export interface CheckInput extends SignedRequest {
  /** Bytes of the body; absent or empty when there is none or the route does not hand it over. */
  readonly body?: Uint8Array;
  /** Name (content hash) of the policy the route was compiled with. */
  readonly policy: string;
  readonly apiId: string;
  readonly groupId: string;
  /** Port the request came in on. Envoy may have taken it off the Host header, which the client signed with it. */
  readonly listenerPort?: number | undefined;
  /** Target the backend will be asked for where the route rewrites it; what re-signing covers. Default: `target`. */
  readonly backendTarget?: string | undefined;
}

export type HeaderPair = readonly [name: string, value: string];

/** The request may pass. */
export interface Allow {
  readonly kind: 'allow';
  readonly code: '1000';
  /** Absent: the policy does not identify callers. */
  readonly app?: App;
  /** Headers to set on the request to the backend; each replaces the client's own. */
  readonly setHeaders: readonly HeaderPair[];
  /** Headers of the client that must not reach the backend. */
  readonly removeHeaders: readonly string[];
}

/** The request is refused with a code of the catalogue. */
export interface Deny {
  readonly kind: 'deny';
  readonly code: DenialCode;
  /** The caller, as far as it was identified; its signature may not have been checked yet. */
  readonly app?: App;
  /** What is wrong and what to do, for the developer of the client. Holds no secret and no expected signature. */
  readonly detail: string;
  /** With 2102: what the gateway signed, line feeds shown as `\n`; for the log only. Bounded, values of unusual headers masked. */
  readonly stringToSign?: string;
}

export type DenialCode =
  | '2100'
  | '2101'
  | '2102'
  | '2103'
  | '2109'
  | '2110'
  | '2113'
  | '2114'
  | '2115'
  | '2116'
  | '2300'
  | '3103'
  | '3104'
  | '3105'
  | '5001';

/** The tables do not hold the policy (yet): ask for it and decide again, or answer 5001. */
export interface UnknownPolicy {
  readonly kind: 'unknown-policy';
  readonly name: string;
}

export type Decision = Allow | Deny | UnknownPolicy;

/** Carries the id of the identified App to the backend; a client's own is always dropped. */
export const APP_ID_HEADER = 'x-gateway-app-id';
