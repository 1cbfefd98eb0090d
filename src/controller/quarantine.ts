import type { Quarantined } from '../core/ads/quarantine.js';
import { BY_NAME, byNameOnly } from '../core/ads/resource.js';
import { type Origin, originsOf, reasonOf } from '../core/explain/refusal.js';
import { resourceJson } from '../core/xds/resource-json.js';
import type { AdsServer } from '../wire/ads-server.js';
import { knownOf } from './judgement.js';
import type { Live } from './live.js';

/** What a node refused, with the objects it was made from. */
export interface HeldBack extends Quarantined {
  readonly fleet: string;
  /** Last part of the type URL. */
  readonly kind: string;
  readonly origins: readonly Origin[];
}

/** Everything held back from nodes of a workspace's fleets by this controller; in the order in which it was refused. */
export function heldBack(ads: AdsServer, live: Live, workspace: string): HeldBack[] {
  const fleets = live.compiler(workspace)?.fleetKeys() ?? [];
  return fleets.flatMap((fleet) => ads.heldBack(fleet).map((entry) => traced(entry, fleet, live)));
}

/** `entry`, refused by a node of `fleet` (`<workspace>/<name>`), traced to the objects in force. */
export function traced(entry: Quarantined, fleet: string, live: Live): HeldBack {
  const [workspace = '', own = ''] = fleet.split('/');
  const { type, name } = entry.resource;
  const kind = type.slice(type.lastIndexOf('.') + 1);
  const compiler = live.compiler(workspace);
  const refusal = { type: kind, name, text: entry.error, fleet: own, json: resourceJson(entry.resource) };
  const known = compiler && knownOf({ upserts: [] }, compiler);
  // A gRPC client's are named by the cluster they are of, not by its id.
  const cluster = byNameOnly(name) ? known?.find('cluster', name.slice(BY_NAME.length)) : undefined;
  const of = cluster && { object: { kind: 'cluster' as const, name: cluster.name }, path: '' };
  const origins = of ? [of] : known ? originsOf(refusal, known) : [];
  return { ...entry, fleet, kind, origins };
}

/** One of them, for the log. */
export function logFields({ node, fleet, kind, resource, error, origins, good }: HeldBack): Record<string, unknown> {
  return {
    node,
    fleet,
    type: kind,
    resource: resource.name,
    version: resource.version,
    objects: origins.map(({ object, path }) => `${object.kind}/${object.name}${path}`),
    error: reasonOf(error),
    inForce: good?.version ?? null,
  };
}
