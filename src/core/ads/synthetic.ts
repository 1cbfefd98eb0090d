import { type Resource, resource, TYPE } from './resource.js';

/**
 * A RouteConfiguration with a name and nothing else: what a client is told that asks for a route table that does not exist.
 * `removed_resources` would keep an Envoy that is starting up in "initializing" for as long as the name is unknown.
 */
export function emptyRoute(name: string): Resource {
  return resource(TYPE.route, name, field(1, Buffer.from(name)));
}

/**
 * A scope that no request selects and that points to route table `route`: makes Envoy fetch the table, so that it is in
 * force before a scope with traffic is moved to it. Its key holds a line feed, which no HTTP header can.
 */
export function helperScope(route: string): Resource {
  const name = helperScopeName(route);
  const key = field(1, field(1, Buffer.from(`\n${route}`)));
  const bytes = Buffer.concat([field(1, Buffer.from(name)), field(2, Buffer.from(route)), field(3, key)]);
  return resource(TYPE.scope, name, bytes, [{ type: TYPE.route, name: route }]);
}

/** Name of {@link helperScope}; no host can have it, so it never meets the name of a real scope. */
export function helperScopeName(route: string): string {
  return `paifang/helper/${route}`;
}

/** A length-delimited protobuf field. */
function field(number: number, value: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from([(number << 3) | 2]), varint(value.length), value]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  for (; value > 127; value >>>= 7) bytes.push((value & 127) | 128);
  bytes.push(value);
  return Buffer.from(bytes);
}
