import { type Diagnostic, diagnostic } from '../diagnostic.js';
import type { StoredObject } from './objects.js';

/** As in Envoy, unless the cluster says otherwise. */
const MAX_EJECTION_PERCENT = 10;

interface Placed {
  readonly region?: string | undefined;
  readonly zone?: string | undefined;
  readonly room?: string | undefined;
}

/**
 * A warning when a cluster's endpoints stand in several places and nothing tells Envoy that some of them are ill, so that it
 * would never leave the nearest. `others`: where endpoints stand that are not in the definition.
 */
export function checkRooms(
  { name, spec }: StoredObject<'cluster'>,
  others: readonly (Placed | undefined)[],
): Diagnostic[] {
  const all: readonly (Placed | undefined)[] = [...spec.endpoints, ...(spec.discovery?.dns ?? []), ...others];
  const rooms = new Set(
    all.map((place) => [place?.region, place?.zone, place?.room].map((part) => part ?? '').join('/')),
  );
  if (rooms.size < 2 || spec.healthCheck) return [];
  const object = { kind: 'cluster' as const, name };
  if (!spec.outlierDetection) {
    const message = `The endpoints of "${name}" stand in ${rooms.size} places, but Envoy is not told how to see that some are ill: it never leaves the nearest ones.`;
    const hint = 'Give the cluster a healthCheck or outlierDetection.';
    return [diagnostic('no-failover', '', message, hint, object)];
  }
  const { maxEjectionPercent = MAX_EJECTION_PERCENT } = spec.outlierDetection;
  // A name may stand for any number of endpoints.
  if (spec.discovery || Math.floor((all.length * maxEjectionPercent) / 100) > 0) return [];
  const message = `Of ${all.length} endpoints, outlier detection may eject ${maxEjectionPercent} %, which is none: Envoy never leaves the nearest ones.`;
  const hint = `Set maxEjectionPercent to ${Math.ceil(100 / all.length)} or more, or give the cluster a healthCheck.`;
  return [diagnostic('no-failover', '/outlierDetection', message, hint, object)];
}
