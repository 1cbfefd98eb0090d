import { create } from '@bufbuild/protobuf';
import { ApiVersion, ConfigSourceSchema } from '../../gen/envoy/config/core/v3/config_source_pb.js';

/** "Over the stream you have": resources that come with the listeners and clusters that name them. */
export const ADS_SOURCE = create(ConfigSourceSchema, {
  configSourceSpecifier: { case: 'ads', value: {} },
  resourceApiVersion: ApiVersion.V3,
});
