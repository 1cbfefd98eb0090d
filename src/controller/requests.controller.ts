import { Controller } from '@nestjs/common';
import { Type } from 'typebox';
import { MAX_LIMIT } from '../logs/queries.js';
import { InvalidCursor, type RequestPage } from '../logs/store.js';
import { Checked, Handles, type InputOf, operation } from './operation.js';
import { Problem } from './problem.js';
import { RequestLog } from './request-log.js';
import { Cursor, DEFAULT_LIMIT, GivenInstant, InWorkspace, Search } from './views.js';

const REQUESTS = operation({
  method: 'GET',
  path: '/api/v1/workspaces/{workspace}/requests',
  id: 'listRequests',
  tag: 'requests',
  summary: 'Requests that passed the gateway, newest first',
  params: InWorkspace,
  description:
    'All conditions must hold. Each item is an access-log line with its result code, memo and the meaning of its flags, or a line that could not be parsed.',
  query: Type.Object(
    {
      requestId: Search('x-gateway-request-id of the response.'),
      api: Search('Id or name of the API.'),
      app: Search('Id of the App.'),
      group: Search('Id of the group.'),
      code: Type.Optional(Type.String({ pattern: '^[0-9]{4}$', description: 'Result code.' })),
      status: Type.Optional(Type.Integer({ minimum: 0, maximum: 999, description: 'HTTP status.' })),
      from: Type.Optional(GivenInstant('At or after.')),
      to: Type.Optional(GivenInstant('Before.')),
      unparsed: Type.Optional(
        Type.Boolean({ description: 'true: only lines that could not be parsed; false: only those that could.' }),
      ),
      limit: Type.Optional(
        Type.Integer({ minimum: 1, maximum: MAX_LIMIT, description: 'Items of one page. Default 100.' }),
      ),
      cursor: Cursor,
    },
    { additionalProperties: false },
  ),
  answers: {
    200: {
      description: 'A page.',
      schema: Type.Object(
        {
          items: Type.Array(Type.Object({ kind: Type.Enum(['request', 'unparsed']) })),
          next: Type.Optional(Type.String({ description: 'Cursor of the next page; absent on the last.' })),
        },
        { title: 'RequestPage' },
      ),
    },
  },
  problems: [503],
});

@Controller()
export class RequestsController {
  constructor(private readonly log: RequestLog) {}

  @Handles(REQUESTS)
  async list(@Checked() { params, query }: InputOf<typeof REQUESTS>) {
    const { from, to, limit = DEFAULT_LIMIT, ...equal } = query;
    const store = this.log.store();
    let page: RequestPage;
    try {
      page = await store.query({
        ...equal,
        workspace: params.workspace,
        limit,
        ...(from && { from: Date.parse(from) }),
        ...(to && { to: Date.parse(to) }),
      });
    } catch (error) {
      if (error instanceof InvalidCursor) {
        throw new Problem('invalid-parameter', 'The cursor is none of this API.', [
          {
            code: 'schema',
            pointer: 'query:/cursor',
            message: 'The cursor is none of this API.',
            hint: 'Send `next` of the page before, with the same conditions.',
          },
        ]);
      }
      throw new Problem('log-store-away', `The log store does not answer: ${(error as Error).message}.`, [], {
        'retry-after': '2',
      });
    }
    return { items: page.records, ...(page.nextCursor === undefined ? {} : { next: page.nextCursor }) };
  }
}
