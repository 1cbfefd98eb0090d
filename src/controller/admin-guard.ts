import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import { type Store, tokenName } from '../store/store.js';
import { type CheckedRequest, operationOf } from './operation.js';
import { Problem } from './problem.js';

/** Shortest time between two looks into the table for a token that is not known. */
const LOOK_AGAIN_MS = 1000;

/** The hashes of admin tokens, in memory: an outage of the database locks nobody out of what still works. */
export class AdminTokens {
  private known: { hash: Buffer; name: string }[] = [];
  private lookedAt = Number.NEGATIVE_INFINITY;

  constructor(private readonly store: Store) {}

  /** @throws StoreUnavailable when the database is away. */
  async load(): Promise<void> {
    this.lookedAt = performance.now();
    this.known = await this.store.adminTokens();
  }

  /**
   * Name of the token in an Authorization header, or undefined when it holds none that is known; one that another replica
   * made a moment ago is found too. @throws StoreUnavailable when an unknown one cannot be looked for.
   */
  async nameOf(header: string | undefined): Promise<string | undefined> {
    const token = /^Bearer ([A-Za-z0-9._~+/-]{1,512}=*)$/i.exec(header ?? '')?.[1];
    if (token === undefined) return undefined;
    const name = tokenName(this.known, token);
    if (name !== undefined || performance.now() - this.lookedAt < LOOK_AGAIN_MS) return name;
    await this.load();
    return tokenName(this.known, token);
  }
}

/** Lets a request pass that showed an admin token ({@link CheckedRequest.actorName}), or whose operation needs none. */
@Injectable()
export class AdminGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    const operation = operationOf(context);
    // What /openapi.json does not describe does not exist.
    if (operation === undefined) {
      throw new Error(`${context.getClass().name}.${context.getHandler().name} is no operation`);
    }
    const request = context.switchToHttp().getRequest<CheckedRequest>();
    if (operation.open || request.actorName !== undefined) return true;
    throw unauthorized(request.headers.authorization);
  }
}

export function unauthorized(header: string | undefined): Problem {
  const message =
    header === undefined
      ? 'The request has no Authorization header.'
      : 'The Authorization header holds no token that is known here.';
  return new Problem(
    'unauthorized',
    message,
    [
      {
        code: 'unauthorized',
        pointer: 'header:/authorization',
        message,
        hint: 'Send "Authorization: Bearer <admin token>". The token was shown when the controller first started; "paifang up" keeps it in a file of its data directory.',
      },
    ],
    { 'www-authenticate': 'Bearer realm="paifang"' },
  );
}
