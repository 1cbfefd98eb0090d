import { setTimeout as delay } from 'node:timers/promises';
import { SharedLook } from './shared-look.js';

/** What a controller knows of the releases there are. */
interface Releases {
  /** Loads what was committed before the call; never rejects. */
  refresh(): Promise<void>;
  /** Why the last look failed, if it did. */
  readonly outage: string | undefined;
  /** Why what is in force here is older than what was found, if it is. */
  readonly behind: string | undefined;
}

/** How long a node that has nothing waits for a database that does not answer, in ms; it is better off with something older. */
const EMPTY_MS = 3_000;
/** How long one waits that has something: without the database nothing is published that it would miss. */
const HOLDING_MS = 30_000;
const AGAIN_MS = 250;

/**
 * Lets a node in when all that was committed before is loaded. A node that comes from another replica may have what this one
 * has not heard of yet (it was paused, or the notification is under way), and must not be sent back to older content.
 * The database keeps nobody out for good: when it stays away, the node is served what is held. But as long as something newer
 * is known and cannot be served here, a node that has something, which may be that, is sent to another controller.
 */
export function admission(releases: Releases): (holds: boolean) => Promise<string | undefined> {
  const look = new SharedLook(() => releases.refresh());
  const refusal = (holds: boolean) =>
    holds && releases.behind !== undefined
      ? `This controller is behind what is stored (${releases.behind}) The node keeps what it has; try another controller.`
      : undefined;
  return async (holds) => {
    const end = performance.now() + (holds ? HOLDING_MS : EMPTY_MS);
    const left = () => Math.max(0, end - performance.now());
    do {
      const looked = look.run().then(() => releases.outage === undefined);
      if (await Promise.race([looked, delay(left(), false, { ref: false })])) return refusal(holds);
      if (!holds) return undefined;
      await delay(Math.min(AGAIN_MS, left()), undefined, { ref: false });
    } while (left() > 0);
    return refusal(holds);
  };
}
