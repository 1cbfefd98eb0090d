import { join } from 'node:path';
import { createLogClient } from '../wire/log-service.js';
import { askEnvoy } from './envoy-admin.js';
import { LogAgent } from './log/log-agent.js';
import type { EdgeOptions } from './options.js';

/** Rotated access logs that are not stored yet may take this many times the room of those that are kept. */
const UNSTORED_FACTOR = 20;

/** Starts the log half of the edge, shipping to the controller the edge subscribes to. What must be closed is pushed to `closers`. */
export async function startLogAgent(
  options: EdgeOptions,
  node: string,
  token: () => string | undefined,
  closers: (() => Promise<void> | void)[],
): Promise<LogAgent> {
  const { directory, rotateBytes, keepFiles, log } = options;
  const client = createLogClient(options.controller, token, options.security);
  closers.push(() => client.close());
  const agent = await LogAgent.start({
    accessLog: join(directory, options.accessLog ?? 'access.log'),
    checkpoint: join(directory, 'log-checkpoint.json'),
    digest: { path: join(directory, options.digestLog ?? 'mosng-digest.log'), maxBytes: rotateBytes, keep: keepFiles },
    node,
    cluster: options.cluster,
    rotation: { maxBytes: rotateBytes, keep: keepFiles, hardMaxBytes: rotateBytes * keepFiles * UNSTORED_FACTOR },
    reopenLogs: async () => {
      await askEnvoy(options.envoyAdmin, '/reopen_logs', 'POST');
    },
    ship: async (batch, signal) => {
      const answer = await abortable(client.ship({ ...batch, offset: BigInt(batch.offset) }), signal);
      return { storedTo: Number(answer.storedTo), unparsed: answer.unparsed };
    },
    onTrouble: (message) => log.warn(message),
  });
  closers.push(() => agent.close());
  return agent;
}

/** `promise`, or a rejection as soon as `signal` aborts; what the promise does then is of no interest. */
function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(new Error('stopped'));
    signal.addEventListener('abort', abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
