import { setTimeout as delay } from 'node:timers/promises';
import { SharedLook } from './shared-look.js';

/** What a controller knows of the releases there are. */
interface Releases {
  /** Loads what was committed before the call; never rejects. */
  refresh(): Promise<void>;
  /** Why the last look failed, if it did. */
  readonly outage: string | undefined;
}

/** How long a node that has nothing waits for a database that does not answer, in ms; it is better off with something older. */
const EMPTY_MS = 3_000;
/** How long one waits that has something: without the database nothing is published that it would miss. */
const HOLDING_MS = 30_000;
const AGAIN_MS = 250;

/**
 * Lets a node in when all that was committed before is loaded. A node that comes from another replica may have what this one
 * has not heard of yet (it was paused, or the notification is under way), and must not be sent back to older content.
 * Nobody is kept out for good: when the database stays away, the node is served what is held.
 */
export function admission(releases: Releases): (holds: boolean) => Promise<undefined> {
  const look = new SharedLook(() => releases.refresh());
  return async (holds) => {
    const end = performance.now() + (holds ? HOLDING_MS : EMPTY_MS);
    const left = () => Math.max(0, end - performance.now());
    do {
      const looked = look.run().then(() => releases.outage === undefined);
      if (await Promise.race([looked, delay(left(), false, { ref: false })])) return undefined;
      if (!holds) return undefined;
      await delay(Math.min(AGAIN_MS, left()), undefined, { ref: false });
    } while (left() > 0);
    return undefined;
  };
}
