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

/** `bytes` as a field of a message that is put together by hand: its tag, the length, the bytes. */
export function lengthDelimited(field: number, bytes: Uint8Array): Uint8Array {
  const head: number[] = [];
  for (let rest of [(field << 3) | 2, bytes.length]) {
    for (; rest > 127; rest >>>= 7) head.push((rest & 127) | 128);
    head.push(rest);
  }
  const whole = new Uint8Array(head.length + bytes.length);
  whole.set(head);
  whole.set(bytes, head.length);
  return whole;
}

/** `parts` one after the other. */
export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
