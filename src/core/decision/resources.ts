import { fromBinary } from '@bufbuild/protobuf';
import {
  AppSchema,
  type Credential,
  PolicySchema,
  ServiceKeySchema,
  Signature_Dialect,
  Signature_Digest,
} from '../../gen/paifang/v1/policy_pb.js';
import { HmacKey } from './hmac-key.js';
import type { App, Caller, Policy, ServiceKey } from './tables.js';

const DIGEST = {
  [Signature_Digest.UNSPECIFIED]: 'when-present',
  [Signature_Digest.REQUIRED]: 'required',
  [Signature_Digest.WHEN_PRESENT]: 'when-present',
  [Signature_Digest.IGNORE]: 'ignore',
} as const;

/** A policy from the bytes of a `paifang.v1.Policy`. @throws when they are malformed, or say what this version cannot do. */
export function readPolicy(bytes: Uint8Array): Policy {
  const { name, signature, resign } = fromBinary(PolicySchema, bytes);
  if (signature && !(signature.digest in DIGEST)) {
    throw new RangeError(
      `policy ${name} checks digests in a way this edge does not know (${signature.digest}); update the edge`,
    );
  }
  if (signature && signature.dialect !== Signature_Dialect.SOFA) {
    throw new RangeError(
      `policy ${name} asks for a signature dialect this edge does not know (${signature.dialect}); update the edge`,
    );
  }
  return Object.freeze({
    name,
    ...(signature && {
      signature: Object.freeze({
        requiredHeaders: signature.requiredHeaders,
        digest: DIGEST[signature.digest],
        clockSkewSeconds: signature.clockSkewSeconds,
        tolerant: signature.tolerant,
      }),
    }),
    ...(resign && { resign: { clusterId: resign.clusterId } }),
  });
}

/** A caller's App and its access keys, secrets prepared for use, from the bytes of a `paifang.v1.App`. @throws when they are malformed. */
export function readApp(bytes: Uint8Array): { readonly id: string; readonly callers: readonly Caller[] } {
  const message = fromBinary(AppSchema, bytes);
  const { id, name, workspace, tenant, enabled } = message;
  const app: App | undefined =
    id === ''
      ? undefined
      : Object.freeze({
          id,
          name,
          workspace,
          tenant,
          enabled,
          grantedApiIds: new Set(message.grantedApiIds),
          grantedGroupIds: new Set(message.grantedGroupIds),
        });
  return { id, callers: message.credentials.map((credential) => caller(credential, app)) };
}

function caller(credential: Credential, app: App | undefined): Caller {
  return Object.freeze({
    // Headers are read as byte strings, so keys have to be looked up as such.
    accessKey: Buffer.from(credential.accessKey, 'utf8').toString('latin1'),
    enabled: credential.enabled,
    ...(app && { app }),
    ...(credential.secretKey.length > 0 && { key: new HmacKey(credential.secretKey) }),
    ...(credential.expiresAt > 0n && { expiresAt: Number(credential.expiresAt) }),
  });
}

/** The key of a cluster from the bytes of a `paifang.v1.ServiceKey`. @throws when they are malformed. */
export function readServiceKey(bytes: Uint8Array): ServiceKey {
  const { clusterId, accessKey, secretKey } = fromBinary(ServiceKeySchema, bytes);
  return Object.freeze({ clusterId, accessKey, ...(secretKey.length > 0 && { key: new HmacKey(secretKey) }) });
}
