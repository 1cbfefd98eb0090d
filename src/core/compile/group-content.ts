import { createHash } from 'node:crypto';
import type { FleetIr } from '../ir/fleet.js';
import type { GroupIr, RouteIr } from '../ir/group.js';
import { clustersOf, type Objects, type StoredObject } from './objects.js';
import { transportOf } from './resolve-cluster.js';
import { bindRoute, byPrecedence, type ClusterLink, type RouteDraft, resolveRoute } from './resolve-route.js';

/** A group, resolved as far as that is the same for all fleets. */
export interface GroupContent {
  readonly id: string;
  readonly name: string;
  readonly hosts: readonly string[];
  /** In order of precedence. */
  readonly routes: readonly RouteDraft[];
  /** Names of the clusters its routes use, sorted. */
  readonly clusters: readonly string[];
  /** Equal for equal content; the release is not part of it. */
  readonly hash: string;
}

const links = new WeakMap<StoredObject<'cluster'>, ClusterLink>();

/** What routes take from the cluster. */
export function linkOf(cluster: StoredObject<'cluster'>): ClusterLink {
  const known = links.get(cluster);
  if (known) return known;
  const { id, spec } = cluster;
  const transport = transportOf(spec);
  const link = { id, ...(transport !== undefined && { transport }), signed: spec.authentication === 'secret' };
  links.set(cluster, link);
  return link;
}

/** Whether routes take from a cluster what they took before. */
export function sameLink(before: StoredObject | undefined, after: StoredObject): boolean {
  if (before?.kind !== 'cluster' || after.kind !== 'cluster') return false;
  const [a, b] = [linkOf(before), linkOf(after)];
  return a.id === b.id && a.transport === b.transport && a.signed === b.signed;
}

/** Resolves groups; remembers each route by the API and the cluster links that it was made of. */
export class GroupResolver {
  readonly #objects: Objects;
  readonly #drafts = new WeakMap<StoredObject<'api'>, { links: string; draft: RouteDraft; hash: string }>();
  readonly #bound = new WeakMap<RouteDraft, Map<string, RouteIr>>();

  constructor(objects: Objects) {
    this.#objects = objects;
  }

  /** The content of a group whose references are in order. */
  content(group: StoredObject<'group'>): GroupContent {
    const routes: { draft: RouteDraft; hash: string }[] = [];
    const clusters = new Set<string>();
    for (const name of this.#objects.apisOfGroup.of(group.name)) {
      const api = this.#objects.find('api', name);
      if (!api) throw new Error(`API ${name} of group ${group.name} is not in force`);
      for (const cluster of clustersOf(api)) clusters.add(cluster);
      routes.push(this.#route(api));
    }
    routes.sort((a, b) => byPrecedence(a.draft, b.draft));
    const hosts = [...group.spec.hosts].sort();
    const hash = createHash('sha256').update(JSON.stringify([group.id, group.name, hosts]));
    for (const route of routes) hash.update(route.hash);
    return Object.freeze({
      id: group.id,
      name: group.name,
      hosts: Object.freeze(hosts),
      routes: Object.freeze(routes.map(({ draft }) => draft)),
      clusters: Object.freeze([...clusters].sort()),
      hash: hash.digest('hex'),
    });
  }

  /** The group as the fleet serves it. */
  bind(content: GroupContent, release: number, fleet: FleetIr): GroupIr {
    const { id, name, hosts, routes } = content;
    const bound = Object.freeze(routes.map((draft) => this.#bind(draft, fleet)));
    return Object.freeze({ id, name, workspace: fleet.workspace, release, hosts, routes: bound });
  }

  #route(api: StoredObject<'api'>): { draft: RouteDraft; hash: string } {
    const link = (name: string): ClusterLink => {
      const cluster = this.#objects.find('cluster', name);
      if (!cluster) throw new Error(`Cluster ${name} of API ${api.name} is not in force`);
      return linkOf(cluster);
    };
    const links = JSON.stringify(clustersOf(api).map(link));
    const known = this.#drafts.get(api);
    if (known?.links === links) return known;
    const draft = resolveRoute(api, link);
    const hash = createHash('sha256').update(JSON.stringify(draft)).digest('base64');
    const route = { links, draft, hash };
    this.#drafts.set(api, route);
    return route;
  }

  /** Fleets with equal defaults share a route, and a back end may remember what it made of one. */
  #bind(draft: RouteDraft, fleet: FleetIr): RouteIr {
    const key = `${fleet.maxBodyBytes} ${fleet.resultCodeHeader}`;
    const byDefaults = this.#bound.get(draft) ?? new Map<string, RouteIr>();
    this.#bound.set(draft, byDefaults);
    const known = byDefaults.get(key);
    if (known) return known;
    const route = bindRoute(draft, fleet);
    byDefaults.set(key, route);
    return route;
  }
}
