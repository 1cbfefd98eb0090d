import { create, toBinary } from '@bufbuild/protobuf';
import { ServiceKeySchema } from '../../gen/paifang/v1/policy_pb.js';
import { type Resource, resource, TYPE } from '../ads/resource.js';
import type { Credential } from '../ir/app.js';

/** The key with which edges sign requests to the cluster, in clear. */
export function serviceKeyResource(clusterId: string, { accessKey, secretKey }: Credential): Resource {
  const bytes = new TextEncoder().encode(secretKey.reveal());
  const message = create(ServiceKeySchema, { clusterId, accessKey, secretKey: bytes });
  return resource(TYPE.serviceKey, clusterId, toBinary(ServiceKeySchema, message));
}
