import { type Resource, TYPE, type TypeUrl } from '../core/ads/resource.js';
import { helperScope, helperScopeName } from '../core/ads/synthetic.js';
import type { Feed } from './feed.js';
import { carrier, carrierName, harmless } from './probe.js';

/** Types that Envoy judges, in the order in which they are judged. */
export const JUDGED: readonly TypeUrl[] = [TYPE.cluster, TYPE.endpoint, TYPE.route, TYPE.scope, TYPE.listener];

/** Told of each resource as soon as Envoy has answered: its text when it refuses. */
export type OnVerdict = (resource: Resource, error: string | undefined) => void;

/**
 * Lets Envoy judge resources of one type with different names, each in a response of its own, so that a bad one never
 * blames a good one; afterwards the canary holds nothing of them. Rejects with CanaryLost when Envoy ends on the way.
 */
export async function judge(feed: Feed, type: TypeUrl, resources: readonly Resource[], tell: OnVerdict): Promise<void> {
  const names = resources.map(({ name }) => name);
  const each = async (r: Resource, ready?: Promise<unknown>) => {
    await ready;
    const error = await feed.say(type, [harmless(r)]);
    tell(r, error);
    return error === undefined ? [r.name] : [];
  };
  switch (type) {
    case TYPE.route: {
      feed.reserve(type, names);
      const asked = feed.say(TYPE.scope, names.map(helperScope));
      await all(
        resources.map((r) => each(r, feed.asked(type, r.name))),
        [asked],
      );
      await feed.say(TYPE.scope, [], names.map(helperScopeName));
      await feed.left(type, names);
      return feed.release(type, names);
    }
    case TYPE.endpoint: {
      feed.reserve(type, names);
      // Acknowledged only when all carriers are warm, hence after the verdicts.
      const asked = feed.say(TYPE.cluster, names.map(carrier));
      await all(
        resources.map((r) => each(r, feed.asked(type, r.name))),
        [asked],
      );
      await feed.say(TYPE.cluster, [], names.map(carrierName));
      await feed.left(type, names);
      return feed.release(type, names);
    }
    case TYPE.listener:
      // One by one, each gone before the next: listeners of two fleets may have the same address.
      for (const resource of resources) {
        if ((await each(resource)).length > 0) await feed.say(type, [], [resource.name]);
      }
      return;
    default: {
      const accepted = (await all(resources.map((r) => each(r)))).flat();
      if (accepted.length > 0) await feed.say(type, [], accepted);
      if (type === TYPE.cluster) await feed.left(TYPE.endpoint, names);
      if (type === TYPE.scope) await feed.left(TYPE.route, tablesOf(resources));
    }
  }
}

/** Waits for all, also when one fails; then fails with the first. */
async function all<T>(work: readonly Promise<T>[], beside: readonly Promise<unknown>[] = []): Promise<T[]> {
  const settled = await Promise.allSettled([...work, ...beside]);
  const failed = settled.find((one) => one.status === 'rejected');
  if (failed) throw failed.reason;
  return Promise.all(work);
}

const tablesOf = (scopes: readonly Resource[]): string[] =>
  scopes.flatMap(({ needs = [] }) => needs.filter(({ type }) => type === TYPE.route).map(({ name }) => name));
