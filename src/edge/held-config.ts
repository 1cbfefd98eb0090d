import { TYPE } from '../core/ads/resource.js';
import type { Caller } from '../core/decision/tables.js';
import type { EdgeTables } from './tables.js';

/** Kinds `/mosng/config/query` can be asked for that the edge itself holds; `Metadata` is the contract's name of Apps. */
export const HELD_TYPES = {
  Metadata: TYPE.app,
  App: TYPE.app,
  Policy: TYPE.policy,
  ServiceKey: TYPE.serviceKey,
} as const;
export type HeldType = keyof typeof HELD_TYPES;

/** Everything this edge decides from, with versions. Secrets are never among it. */
export function heldConfig(tables: EdgeTables): object {
  const all = (type: HeldType) =>
    [...tables.versions(HELD_TYPES[type]).keys()].map((name) => heldResource(tables, type, name));
  return { policies: all('Policy'), apps: all('App'), serviceKeys: all('ServiceKey') };
}

/** One resource, or undefined when it is not held. */
export function heldResource(tables: EdgeTables, type: HeldType, name: string): object | undefined {
  const version = tables.versions(HELD_TYPES[type]).get(name);
  if (version === undefined) return undefined;
  return { name, version, ...content(tables, HELD_TYPES[type], name) };
}

function content(tables: EdgeTables, type: string, name: string): object {
  if (type === TYPE.policy) return { ...tables.policy(name) };
  if (type === TYPE.serviceKey) {
    const held = tables.serviceKey(name);
    return { accessKey: held?.accessKey, secret: held?.key ? '[redacted]' : 'missing' };
  }
  const callers = tables.callersOf(name);
  const app = callers[0]?.app;
  return {
    ...(app && {
      appName: app.name,
      workspace: app.workspace,
      tenant: app.tenant,
      enabled: app.enabled,
      grantedApiIds: [...app.grantedApiIds],
      grantedGroupIds: [...app.grantedGroupIds],
    }),
    credentials: callers.map(credential),
  };
}

function credential({ accessKey, enabled, expiresAt, key }: Caller): object {
  return {
    accessKey,
    secret: key ? '[redacted]' : 'missing',
    enabled,
    ...(expiresAt !== undefined && { expiresAt: new Date(expiresAt * 1000).toISOString() }),
  };
}
