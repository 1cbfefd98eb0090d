import { type CallHandler, type ExecutionContext, Injectable, type NestInterceptor } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import { map, type Observable } from 'rxjs';
import type { TObject, TSchema } from 'typebox';
import { schemaOf, validate } from '../core/model/validate.js';
import { Answer, type CheckedRequest, type Operation, operationOf } from './operation.js';
import { type Fault, faultsOf, Problem } from './problem.js';

/**
 * Checks path, query, If-Match and body against the operation before its handler runs, all faults at once, and writes the
 * status and headers of {@link Answer}s after it.
 */
@Injectable()
export class RequestCheck implements NestInterceptor {
  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const operation = operationOf(context);
    const request = context.switchToHttp().getRequest<CheckedRequest>();
    const reply = context.switchToHttp().getResponse<FastifyReply>();
    if (operation === undefined) return next.handle();
    request.input = check(operation, request);
    const [first] = Object.keys(operation.answers);
    return next.handle().pipe(
      map((result: unknown) => {
        const answer = result instanceof Answer ? result : new Answer(result);
        const usual = answer.body === undefined && 204 in operation.answers ? 204 : Number(first);
        const status = answer.about.status ?? usual;
        reply.status(status);
        for (const [name, value] of Object.entries(answer.about.headers ?? {})) reply.header(name, value);
        const contentType = operation.answers[status]?.contentType;
        if (contentType && !reply.getHeader('content-type')) reply.header('content-type', contentType);
        return answer.body;
      }),
    );
  }
}

function check(operation: Operation, request: CheckedRequest): NonNullable<CheckedRequest['input']> {
  const params = (request.params ?? {}) as Record<string, string>;
  const faults: Fault[] = operation.params ? schemaFaults(operation.params, params, 'path:') : [];
  const query = coerced(operation.query, (request.query ?? {}) as Record<string, unknown>);
  faults.push(...queryFaults(operation, query));
  if (faults.length > 0) {
    // A name that no object can have is a name that no object has.
    if (faults.every((fault) => fault.pointer.startsWith('path:')))
      throw new Problem('not-found', 'No object has such a name.', faults);
    throw new Problem(
      'invalid-parameter',
      `${faults.length === 1 ? 'One parameter is' : 'Parameters are'} wrong.`,
      faults,
    );
  }
  const ifMatch = revisionOf(operation, request.headers['if-match']);
  return {
    params,
    query,
    body: checkedBody(operation, request),
    ifMatch,
    actor: { name: request.actorName ?? 'anonymous', requestId: request.id },
  };
}

function checkedBody(operation: Operation, request: CheckedRequest): unknown {
  const { body: expected } = operation;
  const { body } = request;
  if (expected === undefined) {
    if (body === undefined) return undefined;
    throw new Problem('malformed-request', 'This operation takes no body.', [
      { code: 'schema', pointer: '', message: 'A body was sent.', hint: 'Send the request without a body.' },
    ]);
  }
  const contentType = expected.contentType ?? 'application/json';
  if (body === undefined) {
    if (expected.optional) return undefined;
    throw new Problem('malformed-body', 'The body is empty.', [
      { code: 'syntax', pointer: '', message: 'The body is empty.', hint: `Send ${contentType}.` },
    ]);
  }
  const sent = (request.headers['content-type'] ?? '').split(';', 1)[0]?.trim().toLowerCase();
  if (sent !== contentType) throw wrongContentType(sent ?? '', contentType);
  if (!expected.loose) {
    const faults = schemaFaults(expected.schema, body, '');
    if (faults.length > 0)
      throw new Problem('invalid-definitions', 'The body does not have the shape it must have.', faults);
  }
  return body;
}

export function wrongContentType(sent: string, expected: string): Problem {
  return new Problem(
    'wrong-content-type',
    `The content type ${sent === '' ? 'is missing' : `"${sent}" is not accepted`}; send ${expected}.`,
    [
      {
        code: 'content-type',
        pointer: 'header:/content-type',
        message: `Got "${sent}".`,
        hint: `Send "content-type: ${expected}".`,
      },
    ],
    { accept: expected },
  );
}

function queryFaults(operation: Operation, query: Record<string, unknown>): Fault[] {
  if (operation.query) return schemaFaults(operation.query, query, 'query:');
  return Object.keys(query).map((name) => ({
    code: 'unknown-field',
    pointer: `query:/${name}`,
    message: `There is no parameter "${name}" here.`,
    hint: 'This operation takes no parameters in the query.',
  }));
}

const compiled = new WeakMap<TSchema, ReturnType<typeof schemaOf>>();

function schemaFaults(schema: TSchema, value: unknown, where: string): Fault[] {
  let ready = compiled.get(schema);
  if (!ready) {
    ready = schemaOf(schema);
    compiled.set(schema, ready);
  }
  return faultsOf(validate(ready, value)).map((fault) => ({ ...fault, pointer: where + fault.pointer }));
}

/** Text of the query as the types its schema names; what cannot be converted stays text, for the check to tell. */
function coerced(schema: TObject | undefined, query: Record<string, unknown>): Record<string, unknown> {
  const properties = (schema?.properties ?? {}) as Record<string, { type?: string }>;
  return Object.fromEntries(
    Object.entries(query).map(([name, value]) => {
      const type = Object.hasOwn(properties, name) ? properties[name]?.type : undefined;
      if (type === 'integer' && typeof value === 'string' && /^\d{1,15}$/.test(value)) return [name, Number(value)];
      if (type === 'boolean' && (value === 'true' || value === 'false' || value === ''))
        return [name, value !== 'false'];
      return [name, value];
    }),
  );
}

/** The number in `If-Match: "3"` (RFC 9110 §13.1.1). */
function revisionOf(operation: Operation, header: string | undefined): number | '*' | undefined {
  if (operation.ifMatch === undefined || header === undefined) {
    if (operation.ifMatch !== 'required') return undefined;
    throw new Problem('precondition-required', 'A change must say which revision it is meant for.', [
      {
        code: 'if-match',
        pointer: 'header:/if-match',
        message: 'If-Match is missing.',
        hint: 'Read the object and send its ETag as If-Match, or If-Match: * to change whatever is there.',
      },
    ]);
  }
  if (header.trim() === '*') return '*';
  const revision = /^\s*(?:W\/)?"(\d{1,9})"\s*$/.exec(header)?.[1];
  if (revision !== undefined) return Number(revision);
  throw new Problem('invalid-parameter', 'If-Match is not an ETag of this API.', [
    {
      code: 'if-match',
      pointer: 'header:/if-match',
      message: 'The value is not one ETag.',
      hint: 'Send the ETag of the object, for instance If-Match: "3".',
    },
  ]);
}
