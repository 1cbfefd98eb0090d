import type { Log } from '../logger.js';
import { expiredEndpoints, expireEndpoints } from '../store/endpoints.js';
import type { Actor } from '../store/transaction.js';
import type { Live } from './live.js';

/** How often it is looked for endpoints whose time has run out. */
const EVERY_MS = 1000;
/** A look that takes longer is taken for an outage: heartbeats had to wait as well. */
const SLOW_MS = 5000;

/**
 * Takes out registered endpoints that nobody registered again in time. What runs out while the database, or every controller,
 * is away had no chance to: an endpoint goes only when this controller could have taken its heartbeats for as long as its
 * time to live.
 */
export class EndpointSweep {
  /** Since when heartbeats could be taken without a break; undefined: they cannot. */
  private reachableSince: number | undefined = performance.now();
  private looking: Promise<void> | undefined;
  private readonly timer: NodeJS.Timeout;

  private constructor(
    private readonly live: Live,
    private readonly log: Log,
  ) {
    this.timer = setInterval(() => {
      this.looking ??= this.look().finally(() => {
        this.looking = undefined;
      });
    }, EVERY_MS);
    this.timer.unref();
  }

  static start(live: Live, log: Log): EndpointSweep {
    return new EndpointSweep(live, log);
  }

  /** Resolves when nothing of it is under way any more. */
  async close(): Promise<void> {
    clearInterval(this.timer);
    await this.looking;
  }

  private async look(): Promise<void> {
    const began = performance.now();
    const since = this.reachableSince ?? began;
    const withinSeconds = (began - since) / 1000;
    try {
      const expired = await this.live.store.read((manager) => expiredEndpoints(manager, withinSeconds));
      const slow = performance.now() - began > SLOW_MS;
      this.reachableSince = slow ? performance.now() : since;
      if (!slow) for (const { workspace } of expired) await this.expire(workspace, withinSeconds);
    } catch (error) {
      // Live tells of the outage.
      this.reachableSince = undefined;
      this.log.debug('endpoints cannot be looked through', { reason: String(error) });
    }
  }

  private async expire(workspace: string, withinSeconds: number): Promise<void> {
    const actor: Actor = { name: 'paifang', requestId: 'endpoint-sweep' };
    const gone = await this.live.changeAtOnce(workspace, actor, async (tx) => {
      const byCluster = await expireEndpoints(tx, withinSeconds);
      await tx.audit(
        [...byCluster].map(([name, removed]) => ({
          action: 'endpoints expired',
          ref: { kind: 'cluster' as const, name },
          changes: { removed },
        })),
      );
      return byCluster;
    });
    for (const [cluster, endpoints] of gone)
      this.log.warn('endpoints were not registered again in time and are taken out', {
        workspace,
        cluster,
        endpoints: endpoints.slice(0, 20),
        count: endpoints.length,
      });
  }
}
