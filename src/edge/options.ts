import type { Log } from '../logger.js';
import type { ChannelSecurity } from '../wire/channel-security.js';

/** What an edge is started with. */
export interface EdgeOptions {
  /** node.id of the Envoy this edge serves. Default: the host's name. */
  readonly node?: string | undefined;
  /** node.cluster of that Envoy: `<workspace>/<fleet>`. */
  readonly cluster: string;
  /** Where that Envoy stands, as its bootstrap says. */
  readonly region?: string | undefined;
  readonly zone?: string | undefined;
  readonly room?: string | undefined;
  /** `host:port` of a controller. */
  readonly controller: string;
  /** Envoy's working directory: the socket, the access log and the digest log are here. Made when missing. */
  readonly directory: string;
  /** Where `node.token` is looked for when no token is given, and `last-good.key` is kept when there is no shared one. */
  readonly dataDir: string;
  readonly nodeToken?: string | undefined;
  /** File with the token of this node, read at each connection. */
  readonly tokenFile?: string | undefined;
  /** Path of the certificate of this node; with one no token is needed. It is used by way of `security`. */
  readonly certificate?: string | undefined;
  /** TLS to the controller ({@link openControllerAccess}). Default: plain text. */
  readonly security?: ChannelSecurity | undefined;
  /** URL of Envoy's admin. */
  readonly envoyAdmin: string;
  /** Loopback ports of the node endpoints; 0 = any. */
  readonly configPort: number;
  readonly toolPort: number;
  /** Milliseconds a request waits for a policy that is not held. */
  readonly policyWait: number;
  /** Size at which access log and digest log are rotated, and how many rotated files are kept. */
  readonly rotateBytes: number;
  readonly keepFiles: number;
  readonly log: Log;
  /** File names below `directory`. Defaults: `authz.sock`, `access.log`, `mosng-digest.log`. */
  readonly socket?: string;
  readonly accessLog?: string;
  readonly digestLog?: string;
  /** Synthetic checks before the socket is reachable. Default 3000. */
  readonly warmUpChecks?: number;
  /**
   * Keeps what the controller has in force below `directory`, serves checks from it when there is no controller at start, and
   * serves it to an Envoy that starts meanwhile, on `failover.sock`. Default: no.
   */
  readonly lastGood?: boolean;
  /** Milliseconds after which the edge serves although the controller has not delivered everything. Default: it waits. */
  readonly syncGraceMs?: number;
}
