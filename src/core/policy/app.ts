import { create, toBinary } from '@bufbuild/protobuf';
import { AppSchema } from '../../gen/paifang/v1/policy_pb.js';
import { type Resource, resource, TYPE } from '../ads/resource.js';
import type { AppIr } from '../ir/app.js';

/**
 * The App as edges get it, with its secrets in clear. Equal Apps have equal bytes, in whatever order their credentials and
 * grants come.
 */
export function appResource(app: AppIr): Resource {
  const utf8 = new TextEncoder();
  const message = create(AppSchema, {
    id: app.id,
    name: app.name,
    workspace: app.workspace,
    enabled: app.enabled,
    credentials: [...app.credentials]
      .sort((a, b) => (a.accessKey < b.accessKey ? -1 : 1))
      .map(({ accessKey, secretKey, enabled, expiresAt }) => ({
        accessKey,
        secretKey: utf8.encode(secretKey.reveal()),
        enabled,
        expiresAt: BigInt(Math.trunc(expiresAt ?? 0)),
      })),
    grantedApiIds: [...app.grantedApiIds].sort(),
    grantedGroupIds: [...app.grantedGroupIds].sort(),
  });
  return resource(TYPE.app, app.id, toBinary(AppSchema, message));
}
