import type { Canary } from '../canary/canary.js';
import type { AdsServer } from '../wire/ads-server.js';
import type { Names } from './names.js';
import type { RefusedPeers } from './refused-peers.js';

/** What this controller is and serves, once it does. */
export class Serving {
  readonly startedAt = new Date();
  ads: AdsServer | undefined;
  canary: Canary | undefined;
  refused: RefusedPeers | undefined;
  names: Names | undefined;

  constructor(readonly version: string) {}
}
