import { type CallHandler, type ExecutionContext, Injectable, type NestInterceptor } from '@nestjs/common';
import { mergeMap, type Observable } from 'rxjs';
import { Type } from 'typebox';
import type { Live } from '../live.js';
import { Answer, type CheckedRequest } from '../operation.js';
import type { Outcome } from '../outcome.js';
import type { Receipts } from './receipts.js';

const DEFAULT_TIMEOUT_MS = 10_000;
const LONGEST_TIMEOUT_MS = 300_000;

/** Parameters of every operation that may publish. */
export const Waiting = {
  wait: Type.Optional(
    Type.Enum(['acked'], {
      description:
        'acked: answer only when every connected node of the fleets that were touched has it in force, or has refused it, or the timeout is over. The change is made in any case: that not all nodes have it is no error. `receipt.acked` tells. What changes nothing at nodes is not waited for.',
    }),
  ),
  timeout: Type.Optional(
    Type.String({
      pattern: '^[0-9]{1,6}(ms|s)?$',
      description: 'Of wait: as 1500ms or 30s; a bare number is ms. Default 10s, at most 300s.',
    }),
  ),
};

/** `timeout` in ms. */
export function timeoutMs(text: string | undefined): number {
  const [, number, unit] = /^(\d{1,6})(ms|s)?$/.exec(text ?? '') ?? [];
  if (number === undefined) return DEFAULT_TIMEOUT_MS;
  return Math.min(Number(number) * (unit === 's' ? 1000 : 1), LONGEST_TIMEOUT_MS);
}

interface Waited {
  readonly wait?: string;
  readonly timeout?: string;
}

/**
 * After an operation that was asked to wait: waits, and puts the receipt into its outcome, or into what it answers where it
 * needs no release.
 */
@Injectable()
export class AwaitReceipt implements NestInterceptor {
  constructor(
    private readonly receipts: Receipts,
    private readonly live: Live,
  ) {}

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const request = context.switchToHttp().getRequest<CheckedRequest>();
    const { query, params } = request.input ?? { query: {}, params: {} };
    const { wait, timeout } = query as Waited;
    if (wait !== 'acked' || request.method === 'GET') return next.handle();
    const { workspace } = params as { workspace: string };
    return next.handle().pipe(
      mergeMap(async (result: unknown) => {
        const outcome = outcomeOf(result);
        if (!outcome) return this.#afterAtOnce(workspace, result, timeoutMs(timeout));
        if (outcome.release !== null && !outcome.dryRun)
          outcome.receipt = await this.receipts.wait(workspace, outcome.release, timeoutMs(timeout));
        return result;
      }),
    );
  }

  async #afterAtOnce(workspace: string, result: unknown, ms: number): Promise<Answer> {
    // What another controller wrote may be all that this call found, and not be here yet.
    await this.live.refresh();
    const receipt = await this.receipts.waitAtOnce(workspace, ms);
    if (result === undefined) return new Answer({ receipt }, { status: 200 });
    const answer = result instanceof Answer ? result : new Answer(result);
    return new Answer({ ...(answer.body as object), receipt }, answer.about);
  }
}

function outcomeOf(result: unknown): Outcome | undefined {
  const body = result instanceof Answer ? result.body : result;
  if (body === undefined) return undefined;
  const { outcome = body } = body as { outcome?: unknown };
  return typeof outcome === 'object' && outcome !== null && 'release' in outcome ? (outcome as Outcome) : undefined;
}
