import { randomUUID } from 'node:crypto';
import { type DynamicModule, Module } from '@nestjs/common';
import { APP_FILTER, APP_GUARD, APP_INTERCEPTOR, NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import Fastify, { type FastifyReply, type FastifyRequest } from 'fastify';
import type { Log } from '../logger.js';
import { AdminGuard, AdminTokens, unauthorized } from './admin-guard.js';
import { AuditController } from './audit.controller.js';
import { ChangeSetsController } from './changesets.controller.js';
import { CodesController } from './codes.controller.js';
import { CredentialsController } from './credentials.controller.js';
import { Editor } from './editor.js';
import { EndpointsController } from './endpoints.controller.js';
import { HealthController } from './health.controller.js';
import { readBody } from './json-body.js';
import { Live } from './live.js';
import { Metrics } from './metrics.js';
import { NamesController } from './names.controller.js';
import { OBJECT_CONTROLLERS } from './objects.controller.js';
import { OpenApi } from './openapi.js';
import { type CheckedRequest, operations } from './operation.js';
import { Problem } from './problem.js';
import { ProblemFilter } from './problem-filter.js';
import { QuarantineController } from './quarantine.controller.js';
import { ConsoleConfigController } from './receipts/console-config.controller.js';
import { Inventory } from './receipts/inventory.js';
import { NodesController } from './receipts/nodes.controller.js';
import { Receipts } from './receipts/receipts.js';
import { AwaitReceipt } from './receipts/waiting.js';
import { ReleasesController } from './releases.controller.js';
import { RequestCheck } from './request-check.js';
import { RequestLog } from './request-log.js';
import { RequestsController } from './requests.controller.js';
import { Serving } from './serving.js';
import { WorkspacesController } from './workspaces.controller.js';

export interface ApplicationParts {
  readonly live: Live;
  readonly tokens: AdminTokens;
  readonly requests: RequestLog;
  readonly receipts: Receipts;
  readonly inventory: Inventory;
  readonly serving: Serving;
  readonly metrics: Metrics;
  readonly log: Log;
}

/** Largest body: a change set of a whole workspace. */
const LARGEST_BODY = 32 * 1024 * 1024;
const JSON_TYPES = ['application/json', 'application/merge-patch+json'];

/** The one module: all controllers, and the few things they are given. */
@Module({})
class ControllerModule {}

function moduleOf(parts: ApplicationParts): DynamicModule {
  const filter = new ProblemFilter(parts.log);
  return {
    module: ControllerModule,
    controllers: [
      WorkspacesController,
      ...OBJECT_CONTROLLERS,
      ChangeSetsController,
      ReleasesController,
      CredentialsController,
      EndpointsController,
      NamesController,
      AuditController,
      RequestsController,
      QuarantineController,
      CodesController,
      NodesController,
      ConsoleConfigController,
      HealthController,
    ],
    providers: [
      { provide: Live, useValue: parts.live },
      { provide: Editor, useValue: new Editor(parts.live) },
      { provide: Receipts, useValue: parts.receipts },
      { provide: Inventory, useValue: parts.inventory },
      { provide: RequestLog, useValue: parts.requests },
      { provide: Serving, useValue: parts.serving },
      { provide: Metrics, useValue: parts.metrics },
      { provide: OpenApi, useValue: new OpenApi(operations(), parts.serving.version) },
      { provide: APP_FILTER, useValue: filter },
      { provide: APP_GUARD, useValue: new AdminGuard() },
      { provide: APP_INTERCEPTOR, useValue: new RequestCheck() },
      { provide: APP_INTERCEPTOR, useValue: new AwaitReceipt(parts.receipts, parts.live) },
    ],
  };
}

/** Makes the admin application; it does not listen yet. */
export async function createApplication(parts: ApplicationParts): Promise<NestFastifyApplication> {
  const filter = new ProblemFilter(parts.log);
  const write = (error: unknown, request: FastifyRequest, reply: FastifyReply) => filter.write(error, request, reply);
  const fastify = Fastify({
    bodyLimit: LARGEST_BODY,
    genReqId: (request) => {
      const given = request.headers['x-request-id'];
      return typeof given === 'string' && /^[A-Za-z0-9._:-]{1,128}$/.test(given) ? given : randomUUID();
    },
    // What the router itself refuses (a path that is not percent-encoded text) is a problem like any other.
    frameworkErrors: write,
    routerOptions: { maxParamLength: 20_000 },
    requestTimeout: 60_000,
    // What arrives on an open connection while this replica stops is still done, and told to connect anew.
    return503OnClosing: false,
  });
  fastify.removeAllContentTypeParsers();
  for (const type of JSON_TYPES) {
    fastify.addContentTypeParser(type, { parseAs: 'buffer' }, (_request, body, done) => {
      if (body.length === 0) return done(null, undefined);
      const read = readBody(body as Buffer);
      if (read.kind === 'value') return done(null, read.value);
      done(new Problem('malformed-body', 'The body cannot be read.', read.faults));
    });
  }
  fastify.addHook('onRequest', async (request, reply) => {
    reply.header('x-request-id', request.id);
    reply.header('x-content-type-options', 'nosniff');
    const { authorization } = request.headers;
    const name = await parts.tokens.nameOf(authorization);
    if (name !== undefined) (request as CheckedRequest).actorName = name;
    // No operation without a token takes a body: a stranger's is not even read.
    else if (!['GET', 'HEAD', 'DELETE'].includes(request.method)) throw unauthorized(authorization);
  });
  fastify.addHook('onResponse', async (request, reply) => {
    parts.metrics.request(
      `${request.method} ${request.routeOptions.url ?? 'none'}`,
      reply.statusCode,
      reply.elapsedTime / 1000,
    );
  });
  const adapter = new FastifyAdapter(fastify as never);
  const app = await NestFactory.create<NestFastifyApplication>(moduleOf(parts), adapter, {
    logger: false,
    bodyParser: false,
    abortOnError: false,
  });
  await app.init();
  return app;
}
