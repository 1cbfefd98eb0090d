import { type DescMessage, type MessageShape, toBinary } from '@bufbuild/protobuf';
import { type Resource, type ResourceName, resource, type TypeUrl } from '../ads/resource.js';

/**
 * `message` as a resource, encoded once. Deterministic: fields go out in the order of their numbers, and everything in this
 * room fills maps in sorted order.
 */
export function encoded<Desc extends DescMessage>(
  type: TypeUrl,
  name: string,
  schema: Desc,
  message: MessageShape<Desc>,
  needs: readonly ResourceName[] = [],
): Resource {
  return resource(type, name, toBinary(schema, message), needs);
}
