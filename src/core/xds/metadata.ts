import type { JsonObject } from '@bufbuild/protobuf';
import type { GroupIr, RouteIr } from '../ir/group.js';
import { METADATA } from './names.js';

/** What local-reply mappers and the log read of a route. Strings, because the log's formatter and CEL compare them so. */
export interface RouteMetadata {
  readonly api_id?: string;
  readonly api_name?: string;
  readonly policy?: string;
  readonly backend_protocol?: string;
  /** Result code of the reply this route itself makes. */
  readonly code?: string;
  readonly memo?: string;
  readonly tips?: string;
  /** Status the reply gets in the end, where it must be born with another. */
  readonly http?: string;
}

/** Envoy's Metadata with `fields` in our namespace, in sorted order, so that equal content has equal bytes. */
export function metadata(fields: object): { filterMetadata: { [namespace: string]: JsonObject } } {
  const sorted = Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return { filterMetadata: { [METADATA]: Object.fromEntries(sorted) } };
}

/** What every route of an API carries. */
export function apiMetadata(route: RouteIr): RouteMetadata {
  return {
    api_id: route.apiId,
    api_name: route.apiName,
    backend_protocol: route.action.kind === 'mock' ? 'Mock' : 'Http',
    ...(route.policy && { policy: route.policy.name }),
  };
}

/** What the virtual host carries. The release stands here, because no log operator reads metadata of a RouteConfiguration. */
export function groupMetadata(group: GroupIr): object {
  return { workspace: group.workspace, group_id: group.id, release: group.release };
}
