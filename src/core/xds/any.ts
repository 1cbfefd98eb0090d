import { create, type DescMessage, type MessageInitShape, type MessageShape } from '@bufbuild/protobuf';
import { type Any, AnySchema, anyPack, type Duration, durationFromMs } from '@bufbuild/protobuf/wkt';

/** The message made of `init`, packed: how Envoy takes the configuration of its extensions. */
export function any<Desc extends DescMessage>(schema: Desc, init: MessageInitShape<Desc>): Any {
  return anyPack(schema, create(schema, init) as MessageShape<Desc>);
}

/** An encoded message, packed. */
export function packed(schema: DescMessage, value: Uint8Array): Any {
  return create(AnySchema, { typeUrl: `type.googleapis.com/${schema.typeName}`, value });
}

/** A TypedExtensionConfig: an extension by name with its configuration. */
export function extension<Desc extends DescMessage>(
  name: string,
  schema: Desc,
  init: MessageInitShape<Desc>,
): { name: string; typedConfig: Any } {
  return { name, typedConfig: any(schema, init) };
}

/** `ms` milliseconds as a protobuf Duration. */
export const duration = (ms: number): Duration => durationFromMs(ms);
