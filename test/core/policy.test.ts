import { fromBinary } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { TYPE } from '../../src/core/ads/resource.js';
import { appResource } from '../../src/core/policy/app.js';
import { policyResource } from '../../src/core/policy/policy.js';
import { serviceKeyResource } from '../../src/core/policy/service-key.js';
import { Secret } from '../../src/core/secret.js';
import {
  AppSchema,
  PolicySchema,
  ServiceKeySchema,
  Signature_Dialect,
  Signature_Digest,
} from '../../src/gen/paifang/v1/policy_pb.js';

const APP = {
  id: 'app-id',
  name: 'caller',
  workspace: 'shop',
  enabled: true,
  credentials: [
    { accessKey: 'b', secretKey: new Secret('schlüssel'), enabled: true, expiresAt: 1_800_000_000 },
    { accessKey: 'a', secretKey: new Secret(''), enabled: false },
  ],
  grantedApiIds: ['2', '1'],
  grantedGroupIds: ['y', 'x'],
};

describe('what edges get', () => {
  it('of a policy', () => {
    const signature = {
      dialect: 'sofa',
      requiredHeaders: ['date', '(request-target)'],
      digest: 'required',
      clockSkewSeconds: 60,
      tolerant: true,
    } as const;
    const { type, name, bytes } = policyResource({ name: 'hash', signature, resignClusterId: 'c' });
    expect([type, name]).toEqual([TYPE.policy, 'hash']);
    expect(fromBinary(PolicySchema, bytes)).toMatchObject({
      name: 'hash',
      signature: {
        dialect: Signature_Dialect.SOFA,
        requiredHeaders: ['(request-target)', 'date'],
        digest: Signature_Digest.REQUIRED,
        clockSkewSeconds: 60,
        tolerant: true,
      },
      resign: { clusterId: 'c' },
    });
    const digests = (['required', 'when-present', 'ignore'] as const).map(
      (digest) =>
        fromBinary(PolicySchema, policyResource({ name: 'n', signature: { ...signature, digest } }).bytes).signature
          ?.digest,
    );
    expect(digests).toEqual([Signature_Digest.REQUIRED, Signature_Digest.WHEN_PRESENT, Signature_Digest.IGNORE]);
    const bare = fromBinary(PolicySchema, policyResource({ name: 'n' }).bytes);
    expect([bare.signature, bare.resign]).toEqual([undefined, undefined]);
  });

  it('of an App: secrets in clear, all sorted', () => {
    const { type, name, bytes } = appResource(APP);
    expect([type, name]).toEqual([TYPE.app, 'app-id']);
    const app = fromBinary(AppSchema, bytes);
    expect(app).toMatchObject({
      id: 'app-id',
      name: 'caller',
      workspace: 'shop',
      enabled: true,
      grantedApiIds: ['1', '2'],
      grantedGroupIds: ['x', 'y'],
    });
    expect(
      app.credentials.map((c) => [c.accessKey, Buffer.from(c.secretKey).toString('utf8'), c.enabled, c.expiresAt]),
    ).toEqual([
      ['a', '', false, 0n],
      ['b', 'schlüssel', true, 1_800_000_000n],
    ]);
  });

  it('of an App in another order: the same bytes', () => {
    const turned = {
      ...APP,
      credentials: [...APP.credentials].reverse(),
      grantedApiIds: ['1', '2'],
      grantedGroupIds: ['x', 'y'],
    };
    expect(appResource(turned).version).toBe(appResource(APP).version);
    expect(appResource({ ...APP, enabled: false }).version).not.toBe(appResource(APP).version);
  });

  it('of the key of a cluster', () => {
    const { type, name, bytes } = serviceKeyResource('c', {
      accessKey: 'ak',
      secretKey: new Secret('sk'),
      enabled: true,
    });
    expect([type, name]).toEqual([TYPE.serviceKey, 'c']);
    const key = fromBinary(ServiceKeySchema, bytes);
    expect([key.clusterId, key.accessKey, Buffer.from(key.secretKey).toString()]).toEqual(['c', 'ak', 'sk']);
  });
});
