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

  /** Name of the token, or undefined when it is none; one that another replica made a moment ago is found too. */
  async nameOf(token: string): Promise<string | undefined> {
    const name = tokenName(this.known, token);
    if (name !== undefined || performance.now() - this.lookedAt < LOOK_AGAIN_MS) return name;
    await this.load();
    return tokenName(this.known, token);
  }
}

/** Lets a request pass that shows an admin token, or whose operation needs none. */
@Injectable()
export class AdminGuard implements CanActivate {
  constructor(private readonly tokens: AdminTokens) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const operation = operationOf(context);
    // What /openapi.json does not describe does not exist.
    if (operation === undefined) throw new Error(`${context.getClass().name}.${context.getHandler().name} is no operation`);
    if (operation.open) return true;
    const request = context.switchToHttp().getRequest<CheckedRequest>();
    const header = request.headers.authorization;
    const token = /^Bearer ([A-Za-z0-9._~+/-]{1,512}=*)$/i.exec(header ?? '')?.[1];
    const name = token === undefined ? undefined : await this.tokens.nameOf(token);
    if (name === undefined) throw unauthorized(header);
    request.actorName = name;
    return true;
  }
}

function unauthorized(header: string | undefined): Problem {
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
