import { fromBinary } from '@bufbuild/protobuf';
import type { Place, Resource } from '../core/ads/resource.js';
import type { Outgoing } from '../core/ads/session.js';
import type { DeltaRequest } from '../core/ads/session-delta.js';
import type { SotwRequest } from '../core/ads/session-sotw.js';
import type { Node } from '../gen/envoy/config/core/v3/base_pb.js';
import { DeltaDiscoveryRequestSchema, DiscoveryRequestSchema } from '../gen/envoy/service/discovery/v3/discovery_pb.js';

/** A request and, in the first one of a stream, who sends it. */
export interface Received<T> {
  readonly request: T;
  readonly node: Node | undefined;
}

/** Decodes a DeltaDiscoveryRequest. Throws when the bytes are none. */
export function decodeDelta(bytes: Uint8Array): Received<DeltaRequest> {
  const message = fromBinary(DeltaDiscoveryRequestSchema, bytes);
  const request: DeltaRequest = {
    type: message.typeUrl,
    subscribe: message.resourceNamesSubscribe,
    unsubscribe: message.resourceNamesUnsubscribe,
    initialVersions: new Map(Object.entries(message.initialResourceVersions)),
    nonce: message.responseNonce,
    ...(message.errorDetail && { error: message.errorDetail.message }),
  };
  return { request, node: message.node };
}

/** Decodes a DiscoveryRequest. Throws when the bytes are none. */
export function decodeSotw(bytes: Uint8Array): Received<SotwRequest> {
  const message = fromBinary(DiscoveryRequestSchema, bytes);
  const request: SotwRequest = {
    type: message.typeUrl,
    names: message.resourceNames,
    nonce: message.responseNonce,
    ...(message.errorDetail && { error: message.errorDetail.message }),
  };
  return { request, node: message.node };
}

/** Whether the first request of a stream tells of something the node has. False for bytes that are no request. */
export function holdsSomething(bytes: Uint8Array, kind: 'delta' | 'sotw'): boolean {
  try {
    if (kind === 'sotw') return fromBinary(DiscoveryRequestSchema, bytes).versionInfo !== '';
    return Object.keys(fromBinary(DeltaDiscoveryRequestSchema, bytes).initialResourceVersions).length > 0;
  } catch {
    // The stream will say so.
    return false;
  }
}

/**
 * A DeltaDiscoveryResponse. The bytes of each resource are made once and shared by all streams.
 *
 * @param place where the node stands; without it, it is given what the fleet is.
 */
export function encodeDelta(response: Outgoing, place?: Place): Buffer {
  const parts: Uint8Array[] = response.resources.map((resource) => deltaResource(seen(resource, place)));
  parts.push(text(4, response.type), text(5, response.nonce));
  for (const name of response.removed) parts.push(text(6, name));
  return Buffer.concat(parts);
}

/** A DiscoveryResponse; `place` likewise. */
export function encodeSotw(response: Outgoing, place?: Place): Buffer {
  const parts: Uint8Array[] = [text(1, response.version)];
  for (const resource of response.resources) parts.push(sotwResource(seen(resource, place)));
  parts.push(text(4, response.type), text(5, response.nonce));
  return Buffer.concat(parts);
}

function seen(resource: Resource, place: Place | undefined): Resource {
  return place && resource.at ? resource.at(place) : resource;
}

const deltaBytes = new WeakMap<Resource, Buffer>();
const sotwBytes = new WeakMap<Resource, Buffer>();

/** Field `resources` of DeltaDiscoveryResponse: Resource{version = 1, resource = 2 (Any), name = 3}. */
function deltaResource(resource: Resource): Buffer {
  return once(deltaBytes, resource, () =>
    field(2, Buffer.concat([text(1, resource.version), field(2, any(resource)), text(3, resource.name)])),
  );
}

/** Field `resources` of DiscoveryResponse: Any. */
function sotwResource(resource: Resource): Buffer {
  return once(sotwBytes, resource, () => field(2, any(resource)));
}

function once(cache: WeakMap<Resource, Buffer>, resource: Resource, encode: () => Buffer): Buffer {
  const known = cache.get(resource);
  if (known) return known;
  const bytes = encode();
  cache.set(resource, bytes);
  return bytes;
}

function any(resource: Resource): Buffer {
  return Buffer.concat([text(1, resource.type), field(2, resource.bytes)]);
}

function text(number: number, value: string): Buffer {
  return field(number, Buffer.from(value));
}

function field(number: number, value: Uint8Array): Buffer {
  return Buffer.concat([varint((number << 3) | 2), varint(value.length), value]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 127; rest >>>= 7) bytes.push((rest & 127) | 128);
  bytes.push(rest);
  return Buffer.from(bytes);
}
