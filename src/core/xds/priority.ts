import type { Place } from '../ir/place.js';

/** No place in particular: everything is equally near. */
export const NOWHERE: Place = Object.freeze({ region: '', zone: '', room: '' });

/**
 * Envoy's priority of each of `places` as seen from `node`: its own room before its region before all else; what does not say
 * where it stands counts as near, so that labelling some endpoints takes no traffic off the others. Without a room the zone, else
 * the region, is what is near. Priorities have no gaps, as Envoy wants it (ClusterLoadAssignment); 0 is the first.
 */
export function priorities(node: Place, places: readonly (Place | undefined)[]): number[] {
  const distances = places.map((place) => distance(node, place));
  const levels = [...new Set(distances)].sort();
  return distances.map((d) => levels.indexOf(d));
}

function distance(node: Place, place: Place | undefined): 0 | 1 | 2 {
  if (!place || (node.region === '' && node.zone === '' && node.room === '')) return 0;
  if (node.region !== '' && node.region !== place.region) return 2;
  const otherZone = node.zone !== '' && place.zone !== '' && node.zone !== place.zone;
  return otherZone || (node.room !== '' && node.room !== place.room) ? 1 : 0;
}
