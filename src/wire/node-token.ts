import { timingSafeEqual } from 'node:crypto';
import { Metadata } from '@grpc/grpc-js';

/** Metadata with which a node proves that it is one. */
export function tokenMetadata(token: string | undefined): Metadata {
  const metadata = new Metadata();
  if (token !== undefined) metadata.set('authorization', `Bearer ${token}`);
  return metadata;
}

/**
 * Whether a call presents `token`: `none` when it presents nothing, or when no token is configured and so none can be right.
 * Takes the same time for every wrong token of the right length.
 */
export function presentsToken(metadata: Metadata, token: string | undefined): 'right' | 'wrong' | 'none' {
  const [presented] = metadata.get('authorization');
  if (presented === undefined || token === undefined || token === '') return 'none';
  const given = Buffer.from(presented);
  const expected = Buffer.from(`Bearer ${token}`);
  return given.length === expected.length && timingSafeEqual(given, expected) ? 'right' : 'wrong';
}
