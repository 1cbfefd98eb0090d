import type { HoldReason, Item } from './agenda.js';
import type { Holdings } from './holdings.js';
import { byNameOnly, type Resource, type ResourceName, TYPE, type TypeUrl } from './resource.js';
import type { ResourceTable } from './table.js';

/** After this long an item that waits for a client is late: it is told, and nothing that can go on without it waits. */
export const LATE_MS = 5_000;
/**
 * After this long a change no longer waits for a silent client. Longer than Envoy's initial_fetch_timeout (15 s), after
 * which a cluster is in use whatever came of its endpoints.
 */
export const GIVE_UP_MS = 20_000;

/** Types in the order in which additions are sent; removals go in reverse (xDS protocol, "Eventual consistency"). */
export const ORDER: readonly TypeUrl[] = Object.values(TYPE);

const SERVED: ReadonlySet<string> = new Set(ORDER);

/** Whether the control plane has resources of this type. */
export function isServed(type: string): type is TypeUrl {
  return SERVED.has(type);
}

/** What the order depends on. */
export interface StreamView {
  readonly table: ResourceTable;
  readonly holdings: Holdings;
  /** When the stream began, in ms. */
  readonly connectedAt: number;
  /** Whether the client wants this name now. */
  covers(type: string, name: string): boolean;
  /** Whether the client has asked for this type on this stream. */
  asked(type: string): boolean;
}

export type Verdict =
  | { readonly kind: 'go' }
  /** Look again when `on` is touched, or at the time `until` (ms); without `until`, waiting harms nobody. */
  | { readonly kind: 'wait'; readonly on: ResourceName; readonly why: HoldReason; readonly until?: number }
  /** As wait; besides, the client must first learn of this route table through a scope that no request selects. */
  | { readonly kind: 'introduce'; readonly on: ResourceName; readonly until: number };

const GO: Verdict = { kind: 'go' };

/**
 * Whether `resource` may be sent to a client now. Make before break: what uses a cluster waits until that cluster is warm at
 * the client, which the acknowledgement of its endpoints proves (that of the cluster itself may be withheld for the sake of
 * others); a scope moves to another route table only when that one is in force. Each resource waits only for what it needs,
 * so that one stuck change holds back no other.
 */
export function mayUpsert(view: StreamView, resource: Resource, item: Item, now: number): Verdict {
  for (const need of resource.needs ?? []) {
    const verdict =
      need.type === TYPE.cluster
        ? clusterReady(view, resource, need, item, now)
        : need.type === TYPE.route && resource.type === TYPE.scope
          ? routeReady(view, resource, need, item, now)
          : need.type === TYPE.secret
            ? secretReady(view, resource, need)
            : GO;
    if (verdict.kind !== 'go') return verdict;
  }
  return GO;
}

/** Whether a name may be removed at the client now: only when nothing it has in force, or may get, needs it. */
export function mayRemove(view: StreamView, type: TypeUrl, name: string, now: number): Verdict {
  const { holdings } = view;
  const own = { type, name };
  if (holdings.used(type, name)) return { kind: 'wait', on: own, why: 'in-use' };
  // Who names a cluster lets go of it by itself once no listener leads there. grpc-js, up to 1.14, does not, and if it were told
  // that the cluster is gone it would not notice that the same is back.
  if (byNameOnly(name) && type !== TYPE.listener) return { kind: 'wait', on: own, why: 'in-use' };
  if (type === TYPE.endpoint && holdings.has(TYPE.cluster, name))
    return { kind: 'wait', on: { type: TYPE.cluster, name }, why: 'in-use' };
  const user = type === TYPE.cluster ? TYPE.route : type === TYPE.route ? TYPE.scope : undefined;
  if (user) {
    // What the client brought from an earlier stream is known by version only, so it may use this name.
    const on = { type: user, name: '' };
    if (holdings.hasOpaque(user)) return { kind: 'wait', on, why: 'reconnect' };
    const until = view.connectedAt + LATE_MS;
    if (holdings.cameBack && !view.asked(user) && now < until) return { kind: 'wait', on, why: 'reconnect', until };
  }
  return GO;
}

function clusterReady(view: StreamView, resource: Resource, need: ResourceName, item: Item, now: number): Verdict {
  const { table, holdings } = view;
  const desired = table.get(need.type, need.name);
  // Not ours to deliver on this stream, or a reference to nothing: waiting would not help.
  if (!desired || !view.covers(need.type, need.name)) return GO;
  const hasOlder = holdings.inForce(need.type, need.name) !== undefined;
  const sent = holdings.statement(need.type, need.name);
  const refused =
    holdings.refused(need.type, need.name)?.version === desired.version ||
    endpointsRefused(view, need.name, sent?.nonce);
  const replaces = holdings.inForce(resource.type, resource.name) !== undefined;
  if (refused) return hasOlder || !replaces ? GO : { kind: 'wait', on: need, why: 'refused' };
  let since = item.since;
  if (sent?.resource?.version === desired.version) {
    if (sent.acked) return GO;
    // Envoy asks for secrets once it has the endpoints, and is not warm before it has them too.
    const missing = sent.resource.needs?.find(
      ({ type, name }) => type === TYPE.secret && !holdings.inForce(type, name),
    );
    const endpoints = holdings.inForce(TYPE.endpoint, need.name);
    if (endpoints && endpoints.nonce > sent.nonce && !missing) return GO;
    // With no secret to come it would be used without one: where something serves, that goes on.
    if (missing && !table.get(missing.type, missing.name))
      return hasOlder || !replaces ? GO : { kind: 'wait', on: missing, why: 'warming' };
    const late =
      missing && view.covers(missing.type, missing.name) ? holdings.statement(missing.type, missing.name) : sent;
    since = Math.max(sent.at, late?.at ?? now);
  }
  const until = since + (replaces && !hasOlder ? GIVE_UP_MS : LATE_MS);
  return until <= now ? GO : { kind: 'wait', on: need, why: 'warming', until };
}

/**
 * Whether what is in force may change to need this secret. A cluster that is new may come before its secret, and waits for
 * it; one that serves would serve without it 15 s later (initial_fetch_timeout).
 */
function secretReady({ table, holdings }: StreamView, resource: Resource, need: ResourceName): Verdict {
  const before = holdings.inForce(resource.type, resource.name);
  if (!before || table.get(need.type, need.name) || holdings.inForce(need.type, need.name)) return GO;
  return { kind: 'wait', on: need, why: 'warming' };
}

function endpointsRefused(view: StreamView, name: string, since: number | undefined): boolean {
  const endpoints = view.table.get(TYPE.endpoint, name);
  const refused = view.holdings.refused(TYPE.endpoint, name);
  if (!endpoints || !refused || since === undefined) return false;
  return refused.version === endpoints.version && view.holdings.inForce(TYPE.endpoint, name) === undefined;
}

function routeReady(view: StreamView, scope: Resource, need: ResourceName, item: Item, now: number): Verdict {
  const { holdings } = view;
  const before = holdings.statement(scope.type, scope.name);
  // New at the client: the table may travel with its scope, there is no traffic to lose.
  if (!before) return GO;
  const own = { type: scope.type, name: scope.name };
  const answered = before.at + LATE_MS;
  // Its removal may not have arrived.
  if (!before.resource) return answered <= now ? GO : { kind: 'wait', on: own, why: 'route', until: answered };
  // A client that takes no route tables from this stream has them from elsewhere. That shows once it has taken the scope; one
  // that came back with the scope asks for them next.
  if (!view.asked(TYPE.route)) {
    const came = before.nonce === 0;
    const until = came ? view.connectedAt + LATE_MS : answered;
    const on = came ? { type: TYPE.route, name: '' } : own;
    return (before.acked && !came) || until <= now ? GO : { kind: 'wait', on, why: 'route', until };
  }
  if (!before.opaque && before.resource.needs?.some((n) => n.type === need.type && n.name === need.name)) return GO;
  const wanted = view.covers(need.type, need.name);
  if (wanted && holdings.keeps(need.type, need.name)) return GO;
  const desired = view.table.get(need.type, need.name);
  if (!desired) return GO;
  if (
    wanted &&
    !holdings.inForce(need.type, need.name) &&
    holdings.refused(need.type, need.name)?.version === desired.version
  )
    return { kind: 'wait', on: need, why: 'refused' };
  // Where it is to move may have changed while it was held: each place has a time of its own.
  if (item.moving?.to !== need.name) item.moving = { to: need.name, since: now };
  const until = item.moving.since + GIVE_UP_MS;
  if (until <= now) return GO;
  return { kind: 'introduce', on: need, until };
}
