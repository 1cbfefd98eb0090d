import { type ArgumentsHost, Catch, type ExceptionFilter, HttpException } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Log } from '../logger.js';
import { StoreUnavailable } from '../store/outage.js';
import { PROBLEMS, Problem } from './problem.js';
import { wrongContentType } from './request-check.js';

/** Turns everything thrown under a request into RFC 9457, once. Only faults of our own are logged with their stack. */
@Catch()
export class ProblemFilter implements ExceptionFilter {
  constructor(private readonly log: Log) {}

  catch(error: unknown, host: ArgumentsHost): void {
    const request = host.switchToHttp().getRequest<FastifyRequest>();
    const reply = host.switchToHttp().getResponse<FastifyReply>();
    this.write(error, request, reply);
  }

  write(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
    if (reply.sent) return;
    const problem = problemOf(error, request);
    if (problem.status >= 500) {
      const stack = problem.problem === 'internal' && error instanceof Error ? { stack: error.stack } : {};
      this.log[problem.problem === 'internal' ? 'error' : 'warn'](
        `${request.method} ${request.routeOptions?.url ?? ''} failed: ${problem.detail}`,
        { request: request.id, ...stack },
      );
    }
    const { title } = PROBLEMS[problem.problem];
    reply.status(problem.status).headers(problem.headers).header('content-type', 'application/problem+json');
    reply.send({
      type: `urn:paifang:problem:${problem.problem}`,
      title,
      status: problem.status,
      detail: problem.detail,
      instance: request.id,
      errors: problem.faults,
    });
  }
}

/** What became of the change that was asked for. A commit that was sent may have been carried out, or may still be. */
function storedOf({ stored }: StoreUnavailable, method: string): string {
  if (method === 'GET' || method === 'HEAD') return '';
  return stored === 'nothing'
    ? 'Nothing was stored. '
    : 'Whether the change was stored is not known: read before you send it again. ';
}

function problemOf(error: unknown, request: FastifyRequest): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof StoreUnavailable) {
    return new Problem(
      'database-away',
      `${error.message}. ${storedOf(error, request.method)}Envoys keep running on what they have; changes are possible again when it is back.`,
      [],
      { 'retry-after': '1' },
    );
  }
  const { statusCode, message } = error as { statusCode?: number; message?: string };
  // A wait for the lock of the workspace that took too long (PostgreSQL lock_not_available, deadlock, serialization).
  const { driverError, code } = error as { driverError?: { code?: string }; code?: string };
  const sql = (driverError ?? { code }).code;
  if (sql === '55P03' || sql === '40P01' || sql === '40001') {
    return new Problem(
      'conflict',
      'Other changes of this workspace kept the database busy; nothing was stored. Try again.',
      [],
      { 'retry-after': '1' },
    );
  }
  const status = error instanceof HttpException ? error.getStatus() : statusCode;
  if (status === 404)
    return new Problem('not-found', `There is no ${request.method} ${request.url.split('?', 1)[0]}.`, [
      {
        code: 'not-found',
        pointer: '',
        message: 'No operation has this path and method.',
        hint: 'The operations are listed at /openapi.json.',
      },
    ]);
  if (status === 413) {
    const detail = 'The body is larger than 32 MiB.';
    return new Problem('body-too-large', detail, [
      { code: 'limit', pointer: '', message: detail, hint: 'Split the change set.' },
    ]);
  }
  if (status === 415) return wrongContentType(request.headers['content-type'] ?? '', 'application/json');
  if (typeof status === 'number' && status >= 400 && status < 500) {
    const detail = message ?? 'The request is not well-formed.';
    return new Problem('malformed-request', detail, [
      { code: 'syntax', pointer: '', message: detail, hint: 'Compare it with /openapi.json.' },
    ]);
  }
  return new Problem('internal', 'Something is wrong in the gateway itself; its log has more under this request id.');
}
