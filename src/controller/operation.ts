import {
  applyDecorators,
  createParamDecorator,
  type ExecutionContext,
  RequestMapping,
  RequestMethod,
  SetMetadata,
} from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import type { Static, TObject, TSchema } from 'typebox';
import type { Actor } from '../store/transaction.js';

/** One route, described once: routing, checks and OpenAPI are made from it. */
export interface Operation {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** As in OpenAPI, e.g. `/api/v1/workspaces/{workspace}`. */
  readonly path: string;
  /** Unique; clients generated from the document name their methods after it. */
  readonly id: string;
  readonly tag: string;
  readonly summary: string;
  readonly description?: string;
  /** No token is needed. Default: one is. */
  readonly open?: boolean;
  /** Parameters in the path; each is text. */
  readonly params?: TObject;
  /** Parameters in the query; others are refused. */
  readonly query?: TObject;
  /** What the body must be. `loose`: its content is checked by the handler, which can tell more. */
  readonly body?: {
    readonly schema: TSchema;
    readonly contentType?: string;
    readonly optional?: boolean;
    readonly loose?: boolean;
  };
  /** Whether If-Match is asked for. */
  readonly ifMatch?: 'required' | 'optional';
  readonly answers: Readonly<
    Record<
      number,
      {
        readonly description: string;
        readonly schema?: TSchema;
        readonly contentType?: string;
        readonly etag?: boolean;
      }
    >
  >;
  /** Statuses of problems beyond those every operation may have. */
  readonly problems?: readonly number[];
}

/** What a handler gets: checked, and typed by the operation's schemas. */
export interface Input<Params = unknown, Query = unknown, Body = unknown> {
  readonly params: Params;
  readonly query: Query;
  readonly body: Body;
  /** Revision the caller has read; `*` for whichever there is. */
  readonly ifMatch: number | '*' | undefined;
  readonly actor: Actor;
}
type Given<S> = S extends TSchema ? Static<S> : Record<string, never>;
export type InputOf<O extends Operation> = Input<
  Given<O['params']>,
  Given<O['query']>,
  O['body'] extends { schema: infer S extends TSchema } ? Static<S> : undefined
>;

/** The request once guard and checks have seen it. */
export interface CheckedRequest extends FastifyRequest {
  actorName?: string;
  input?: Input;
}

/** A body with a status other than the operation's first, or with headers. */
export class Answer {
  constructor(
    readonly body: unknown,
    readonly about: { readonly status?: number; readonly headers?: Readonly<Record<string, string>> } = {},
  ) {}
}

/** Keeps the literal types of a description. */
export function operation<const O extends Operation>(description: O): O {
  return description;
}

const METADATA = 'paifang:operation';
const described: Operation[] = [];

/** Every operation whose controller was loaded, in the order of declaration. */
export function operations(): readonly Operation[] {
  return described;
}

/** Makes a method the handler of `operation`. */
export function Handles(operation: Operation): MethodDecorator {
  described.push(operation);
  return applyDecorators(
    RequestMapping({ method: RequestMethod[operation.method], path: operation.path.replaceAll(/\{(\w+)\}/g, ':$1') }),
    SetMetadata(METADATA, operation),
  );
}

/** The operation of the handler that is about to run. */
export function operationOf(context: ExecutionContext): Operation | undefined {
  return Reflect.getMetadata(METADATA, context.getHandler()) as Operation | undefined;
}

/** The checked input, as a parameter of a handler. */
export const Checked = createParamDecorator(
  (_: unknown, context: ExecutionContext) => context.switchToHttp().getRequest<CheckedRequest>().input,
);
