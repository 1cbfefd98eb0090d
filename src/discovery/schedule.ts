/** When names are asked again. */
export interface Pace {
  /** Least and most milliseconds between two questions for one name, whatever its time to live. */
  readonly leastMs: number;
  readonly mostMs: number;
  /** Milliseconds where DNS tells no time to live (SRV), and after a failure. */
  readonly otherMs: number;
}

/** After so many failures in a row the pause has grown to the most. */
const MOST_DOUBLINGS = 4;
/** Part of a pause by which it is lengthened at random, so that names that were published together part. */
const JITTER = 0.1;

/**
 * Milliseconds until a name is asked again.
 *
 * @param failures in a row; the pause doubles with each.
 * @param random from 0 to 1.
 */
export function pauseMs(
  pace: Pace,
  { ttlSeconds, failures }: { ttlSeconds?: number | undefined; failures: number },
  random: number,
): number {
  const wanted =
    failures > 0
      ? Math.min(pace.leastMs, pace.otherMs) * 2 ** Math.min(failures - 1, MOST_DOUBLINGS)
      : ttlSeconds === undefined
        ? pace.otherMs
        : ttlSeconds * 1000;
  return Math.min(Math.max(wanted, pace.leastMs), pace.mostMs) * (1 + JITTER * random);
}
