import { Metadata } from '@grpc/grpc-js';

/** A token, or how to find the one that is good now; undefined: there is none. */
export type TokenSource = string | undefined | (() => string | undefined);

/** Metadata with which a node proves that it is one. */
export function tokenMetadata(source: TokenSource): Metadata {
  const token = typeof source === 'function' ? source() : source;
  const metadata = new Metadata();
  if (token !== undefined) metadata.set('authorization', `Bearer ${token}`);
  return metadata;
}
