import { setTimeout as delay } from 'node:timers/promises';
import type { Greeting } from '../wire/ads-codec.js';
import { SharedLook } from './shared-look.js';

/** What a controller knows of the releases there are. */
interface Releases {
  /** Loads what was committed before the call; never rejects. */
  refresh(): Promise<void>;
  /** Why the last look failed, if it did. */
  readonly outage: string | undefined;
  /** Whether what is in force here of a workspace is older than what was found. */
  behind(workspace: string): boolean;
}

/** How long a node that has nothing waits for a database that does not answer, in ms; it is better off with something older. */
const EMPTY_MS = 3_000;
/** How long one waits that has something: without the database nothing is published that it would miss. */
const HOLDING_MS = 30_000;
const AGAIN_MS = 250;
const BEHIND =
  'This controller is behind what is stored; its /readyz says why. The node keeps what it has; try another controller.';

/**
 * Lets a node in when all that was committed before is loaded. A node that comes from another replica may have what this one
 * has not heard of yet (it was paused, or the notification is under way), and must not be sent back to older content.
 * The database keeps nobody out for good: when it stays away, the node is served what is held. But as long as something newer
 * of its workspace is known and cannot be served here, a node that has something, which may be that, is sent to another controller.
 * The answer goes to peers that have proved nothing yet, so it tells nothing of the workspace.
 */
export function admission(releases: Releases): (greeting: Greeting) => Promise<string | undefined> {
  const look = new SharedLook(() => releases.refresh());
  return async ({ holds, fleet }) => {
    const refusal = () => (holds && releases.behind(fleet.split('/', 1)[0] as string) ? BEHIND : undefined);
    const end = performance.now() + (holds ? HOLDING_MS : EMPTY_MS);
    const left = () => Math.max(0, end - performance.now());
    do {
      const looked = look.run().then(() => releases.outage === undefined);
      if (await Promise.race([looked, delay(left(), false, { ref: false })])) return refusal();
      if (!holds) return undefined;
      await delay(Math.min(AGAIN_MS, left()), undefined, { ref: false });
    } while (left() > 0);
    return refusal();
  };
}
