import { createHash } from 'node:crypto';
import { Type } from 'typebox';
import type { Kind } from './kind.js';

/**
 * Name of an object: unique per kind in its workspace, chosen by people, used in URLs, references and files. It never
 * changes; another name is another object. Letters of any script, digits, `_`, `-`, `.`.
 */
export const Name = Type.String({
  pattern: '^[\\p{L}\\p{N}][\\p{L}\\p{N}._-]{0,63}$',
  description: 'Unique per kind in the workspace; 1–64 letters, digits, "_", "-", "."; begins with a letter or digit.',
  examples: ['list-orders'],
});

/** Name of a workspace: it is part of Envoy's node.cluster (`<workspace>/<fleet>`) and of URLs. */
export const WorkspaceName = Type.String({
  pattern: '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$',
  description: 'A DNS label: 1–63 lower-case letters, digits and "-".',
  examples: ['default'],
});

/** Explicit id; only needed to keep the ids of another gateway when moving from it. */
export const Id = Type.String({
  pattern: '^[A-Za-z0-9_-]{1,64}$',
  description:
    'Stable id in logs, metrics and Envoy resources. Leave it out: it is derived from workspace, kind and name.',
});

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
/** Lengths follow the gateway whose log lines we keep: 32 for an API, 16 for everything else. */
const ID_LENGTH = { api: 32, group: 16, cluster: 16, app: 16, fleet: 16 } as const satisfies Record<Kind, number>;

/**
 * The id of an object that was stored without one: base62 text from SHA-256 of workspace, kind and name. Pure, so the same
 * definitions have the same ids on every machine. Group ids are lower-case, because a group's id is a host label.
 */
export function deriveId(workspace: string, kind: Kind, name: string): string {
  const digest = createHash('sha256').update(`${workspace}\n${kind}\n${name}`).digest();
  let value = BigInt(`0x${digest.toString('hex')}`);
  const base = kind === 'group' ? ALPHABET.slice(26) : ALPHABET;
  let id = '';
  while (id.length < ID_LENGTH[kind]) {
    id += base[Number(value % BigInt(base.length))];
    value /= BigInt(base.length);
  }
  return id;
}
