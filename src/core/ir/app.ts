import type { Secret } from '../secret.js';

/** A caller, resolved. Not part of a {@link Gateway}, because it holds secrets and goes to edges only. */
export interface AppIr {
  readonly id: string;
  readonly name: string;
  readonly workspace: string;
  readonly enabled: boolean;
  readonly credentials: readonly Credential[];
  /** Only those in force. */
  readonly grantedApiIds: readonly string[];
  readonly grantedGroupIds: readonly string[];
}

/** A key pair by which an App is known, or with which requests to a cluster are signed. */
export interface Credential {
  readonly accessKey: string;
  readonly secretKey: Secret;
  readonly enabled: boolean;
  /** Unix seconds; absent: never. */
  readonly expiresAt?: number;
}
