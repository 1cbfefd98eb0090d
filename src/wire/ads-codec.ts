import { fromBinary } from '@bufbuild/protobuf';
import { BinaryReader } from '@bufbuild/protobuf/wire';
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

/** Decodes a DeltaDiscoveryRequest. Throws when the bytes are none, or hold more than {@link refuseExcess} takes. */
export function decodeDelta(bytes: Uint8Array): Received<DeltaRequest> {
  refuseExcess(bytes);
  const message = fromBinary(DeltaDiscoveryRequestSchema, bytes);
  const request: DeltaRequest = {
    type: message.typeUrl,
    subscribe: message.resourceNamesSubscribe,
    unsubscribe: message.resourceNamesUnsubscribe,
    initialVersions: new Map(Object.entries(message.initialResourceVersions)),
    nonce: message.responseNonce,
    ...(message.errorDetail && { error: readable(message.errorDetail.message, MOST_ERROR) }),
  };
  return { request, node: message.node };
}

/** Decodes a DiscoveryRequest. Throws likewise. */
export function decodeSotw(bytes: Uint8Array): Received<SotwRequest> {
  refuseExcess(bytes);
  const message = fromBinary(DiscoveryRequestSchema, bytes);
  const request: SotwRequest = {
    type: message.typeUrl,
    names: message.resourceNames,
    version: message.versionInfo,
    nonce: message.responseNonce,
    ...(message.errorDetail && { error: readable(message.errorDetail.message, MOST_ERROR) }),
  };
  return { request, node: message.node };
}

/** Parts of a request beside each other, names and versions above all. The largest proxies have some 60 000 names of a type. */
const MOST_PARTS = 200_000;
/** Bytes of one part: a node tells its extensions, an error repeats what is refused. */
const LARGEST_PART = 2 << 20;
/** Characters of an error that are kept; the reason stands at its beginning or at its end. */
const MOST_ERROR = 16_384;

/** Throws when a request is made of more parts, or larger ones, than any proxy sends: decoded, it would fill the memory. */
function refuseExcess(bytes: Uint8Array): void {
  const reader = new BinaryReader(bytes);
  for (let parts = 1; reader.pos < reader.len; parts++) {
    const [field, type] = reader.tag();
    const began = reader.pos;
    reader.skip(type, field);
    if (parts > MOST_PARTS)
      throw new Error(`it has more than ${MOST_PARTS} parts; a stream takes so many names at most`);
    if (reader.pos - began > LARGEST_PART) throw new Error(`a part of it is larger than ${LARGEST_PART} bytes`);
  }
}

/** Text of a node that may be shown and stored: at most `most` characters, the middle left out, and no control character but line ends. */
export function readable(text: string, most: number): string {
  const short = text.length <= most ? text : `${text.slice(0, most / 2)}…${text.slice(1 - most / 2)}`;
  return short.replaceAll(/[\p{Cc}\p{Cs}]/gu, (character) => (/[\t\r\n]/.test(character) ? character : '\ufffd'));
}

/** What the first request of a stream says before anything is proved. */
export interface Greeting {
  /** Whether the node tells of something it has. */
  readonly holds: boolean;
  /** Its node.cluster. */
  readonly fleet: string;
}

/** The greeting in the first request of a stream; an empty one for bytes that are no request. */
export function greetingOf(bytes: Uint8Array, kind: 'delta' | 'sotw'): Greeting {
  try {
    refuseExcess(bytes);
    const of = (holds: boolean, node: { readonly cluster: string } | undefined) => ({
      holds,
      fleet: node?.cluster ?? '',
    });
    if (kind === 'sotw') {
      const { versionInfo, node } = fromBinary(DiscoveryRequestSchema, bytes);
      return of(versionInfo !== '', node);
    }
    const { initialResourceVersions, node } = fromBinary(DeltaDiscoveryRequestSchema, bytes);
    return of(Object.keys(initialResourceVersions).length > 0, node);
  } catch {
    // The stream will say so.
    return { holds: false, fleet: '' };
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
