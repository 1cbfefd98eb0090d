import { create, toBinary } from '@bufbuild/protobuf';
import { PolicySchema, Signature_Dialect, Signature_Digest } from '../../gen/paifang/v1/policy_pb.js';
import { type Resource, resource, TYPE } from '../ads/resource.js';
import type { PolicyIr } from '../ir/policy.js';

const DIGEST = {
  required: Signature_Digest.REQUIRED,
  'when-present': Signature_Digest.WHEN_PRESENT,
  ignore: Signature_Digest.IGNORE,
} as const;

/** The policy as edges get it. Equal policies have equal bytes. */
export function policyResource({ name, signature, resignClusterId }: PolicyIr): Resource {
  const message = create(PolicySchema, {
    name,
    ...(signature && {
      signature: {
        dialect: Signature_Dialect.SOFA,
        requiredHeaders: [...signature.requiredHeaders].sort(),
        digest: DIGEST[signature.digest],
        clockSkewSeconds: signature.clockSkewSeconds,
        tolerant: signature.tolerant,
      },
    }),
    ...(resignClusterId !== undefined && { resign: { clusterId: resignClusterId } }),
  });
  return resource(TYPE.policy, name, toBinary(PolicySchema, message));
}
