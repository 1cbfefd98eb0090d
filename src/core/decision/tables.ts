import type { HmacKey } from './hmac-key.js';

/** What to do with requests of a route; the content of one `paifang.v1.Policy`. */
export interface Policy {
  readonly name: string;
  /** Absent: the caller is not identified. */
  readonly signature?: SignaturePolicy;
  /** Present: requests that pass are signed for the backend with the key of this cluster. */
  readonly resign?: { readonly clusterId: string };
}

export interface SignaturePolicy {
  /** Names a signature must cover, lower-case. */
  readonly requiredHeaders: readonly string[];
  readonly digest: 'required' | 'when-present' | 'ignore';
  /** How far a signed time may be from now, in seconds. */
  readonly clockSkewSeconds: number;
  /** Also try the target as it was before percent-encoding. */
  readonly tolerant: boolean;
}

/** A caller. */
export interface App {
  readonly id: string;
  readonly name: string;
  readonly workspace: string;
  /** Empty where tenants are not used. */
  readonly tenant: string;
  readonly enabled: boolean;
  readonly grantedApiIds: ReadonlySet<string>;
  readonly grantedGroupIds: ReadonlySet<string>;
}

/** One access key of a caller. */
export interface Caller {
  readonly accessKey: string;
  /** Absent: the key is known but no App stands behind it (3103). */
  readonly app?: App;
  /** Absent: the secret is not usable (2114). */
  readonly key?: HmacKey;
  readonly enabled: boolean;
  /** Unix seconds; absent: never. */
  readonly expiresAt?: number;
}

/** The key with which requests to a cluster are signed. */
export interface ServiceKey {
  readonly clusterId: string;
  /** Empty: there is none (2109). */
  readonly accessKey: string;
  /** Absent: not usable (2110). */
  readonly key?: HmacKey;
}

/** What a decision looks things up in. Reads are synchronous and see one consistent state. */
export interface Tables {
  policy(name: string): Policy | undefined;
  /** By access key, as a byte string of its UTF-8 form. */
  caller(accessKey: string): Caller | undefined;
  serviceKey(clusterId: string): ServiceKey | undefined;
}
