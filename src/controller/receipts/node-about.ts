import type { NodeAbout } from '../../store/receipts.js';
import type { TrackedNode, Tracker } from './tracker.js';

const last = new WeakMap<TrackedNode, NodeAbout>();
/** Held changes and refusals told of one node; a node that has more is told by its drift. */
const MOST_TOLD = 50;

/** What is known of a node here; of one that went away, as it was then. Undefined when it went before it was looked at. */
export function nodeAbout(tracker: Tracker, node: TrackedNode): NodeAbout | undefined {
  const info = node.stream?.info();
  if (!info) return last.get(node);
  const { role, beside, userAgent, locality, peer, variant, identity, heardAtMs, backlog } = info;
  const { unanswered, held, refused } = info;
  // What is to be taken away later is no lack.
  const coming = held.filter(({ change }) => change === 'upsert');
  const [sent] = node.unanswered.values();
  const since = [sent, ...coming.map(({ sinceMs }) => sinceMs), ...[...node.open.values()].map(({ atMs }) => atMs)];
  const behindSince = Math.min(...since.filter((ms) => ms !== undefined));
  const about: NodeAbout = {
    role,
    ...(beside !== undefined && { beside }),
    version: userAgent,
    locality,
    peer,
    variant,
    identity,
    release: tracker.inForce(node),
    ...(node.revision !== null && { revision: node.revision }),
    drift: backlog - (held.length - coming.length) + unanswered + refused.length,
    ...(Number.isFinite(behindSince) && { behindSince }),
    heardAt: heardAtMs,
    held: held
      .slice(0, MOST_TOLD)
      .map(({ type, name, change, why, on, sinceMs }) => ({ type, name, change, why, on, sinceMs })),
    refused: refused.slice(0, MOST_TOLD),
  };
  last.set(node, about);
  return about;
}
