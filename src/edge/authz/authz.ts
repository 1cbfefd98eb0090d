import { TYPE } from '../../core/ads/resource.js';
import type { EdgeTables } from '../tables.js';
import { checkHandler } from './check-handler.js';
import { startUnaryServer, type UnaryServer } from './server.js';
import { WARM_UP_TABLES, warmUp } from './warm-up.js';

/** envoy.service.auth.v3.Authorization. */
export const CHECK_METHOD = '/envoy.service.auth.v3.Authorization/Check';

export interface AuthzOptions {
  /** Path of the Unix socket. */
  readonly socket: string;
  readonly tables: EdgeTables;
  /** Asks the controller for resources that are not held. */
  request(type: string, names: readonly string[]): void;
  /** How long a request waits for a policy that is not held, in ms. */
  readonly policyWaitMs: number;
  /** Synthetic checks before the socket has its name. */
  readonly warmUpChecks: number;
  onDecision?(code: string, microseconds: number): void;
  onError?(error: unknown): void;
}

/** The largest body a route may hand over (16 MiB) and the rest of a CheckRequest. */
const MAX_MESSAGE_BYTES = 17 << 20;
const MAX_HELD_BYTES = 512 << 20;

/**
 * Starts ext_authz and warms it up. It is not reachable before `publish` is called.
 * @throws Error when the socket cannot be placed.
 */
export async function startAuthz(options: AuthzOptions): Promise<UnaryServer> {
  const { tables, onDecision, onError } = options;
  const now = () => Date.now();
  const errors = onError ? { onError } : {};
  const synthetic = checkHandler({ tables: WARM_UP_TABLES, awaitPolicy: () => Promise.resolve(false), now, ...errors });
  const server = await startUnaryServer({
    path: options.socket,
    method: CHECK_METHOD,
    handler: synthetic,
    maxMessageBytes: MAX_MESSAGE_BYTES,
    maxHeldBytes: MAX_HELD_BYTES,
    ...errors,
  });
  try {
    await warmUp(server.temporaryPath, CHECK_METHOD, options.warmUpChecks, now());
  } catch (error) {
    await server.close(0);
    throw error;
  }
  const awaitPolicy = (name: string) => {
    const arrival = tables.whenPolicy(name, options.policyWaitMs);
    if (name !== '' && tables.policy(name) === undefined) options.request(TYPE.policy, [name]);
    return arrival;
  };
  server.use(checkHandler({ tables, awaitPolicy, now, ...(onDecision && { onDecision }), ...errors }));
  return server;
}
