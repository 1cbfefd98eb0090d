import type { Place } from '../ir/place.js';

/** No place in particular: everything is equally near. */
export const NOWHERE: Place = Object.freeze({ region: '', zone: '', room: '' });

/** The last tier that is told from those before it: Envoy knows 128 priorities, and with three distances these are 27. */
export const LAST_TIER = 8;

/**
 * Envoy's priority of each of `places` as seen from `node`: its own room before its region before all else; what does not say
 * where it stands counts as near, so that labelling some endpoints takes no traffic off the others. Without a room the zone, else
 * the region, is what is near. Equally near ones go by their tier ({@link LAST_TIER} at most): SRV priorities of one name say nothing of another's. Priorities have
 * no gaps, as Envoy wants it (ClusterLoadAssignment); 0 is the first.
 */
export function priorities(
  node: Place,
  spots: readonly { readonly place: Place | undefined; readonly tier: number }[],
): number[] {
  const ranks = spots.map(({ place, tier }) => distance(node, place) * (LAST_TIER + 1) + tier);
  const levels = [...new Set(ranks)].sort((a, b) => a - b);
  return ranks.map((rank) => levels.indexOf(rank));
}

function distance(node: Place, place: Place | undefined): 0 | 1 | 2 {
  if (!place || (node.region === '' && node.zone === '' && node.room === '')) return 0;
  if (node.region !== '' && node.region !== place.region) return 2;
  const otherZone = node.zone !== '' && place.zone !== '' && node.zone !== place.zone;
  return otherZone || (node.room !== '' && node.room !== place.room) ? 1 : 0;
}
