import type { Place } from './place.js';

export interface FleetIr {
  /** `<workspace>/<name>`: what Envoys carry as node.cluster. */
  readonly key: string;
  readonly workspace: string;
  readonly name: string;
  readonly listeners: readonly ListenerIr[];
  readonly trustedProxies: number;
  readonly maxBodyBytes: number;
  readonly resultCodeHeader: boolean;
  readonly headers: { readonly resultCode: string; readonly memo: string; readonly requestId: string };
  /** Further headers the edge is handed, lower-case, sorted. */
  readonly signedHeaders: readonly string[];
  readonly accessLogPath: string;
  readonly docsUrl: string;
  /** Where nodes stand that do not say it themselves. */
  readonly place?: Place;
}

export interface ListenerIr {
  readonly name: string;
  readonly address: string;
  readonly port: number;
}
