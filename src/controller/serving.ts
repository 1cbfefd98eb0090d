import type { Canary } from '../canary/canary.js';
import type { AdsServer } from '../wire/ads-server.js';

/** What this controller is and serves, once it does. */
export class Serving {
  readonly startedAt = new Date();
  ads: AdsServer | undefined;
  canary: Canary | undefined;

  constructor(readonly version: string) {}
}
