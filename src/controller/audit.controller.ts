import { Controller } from '@nestjs/common';
import { Type } from 'typebox';
import { KINDS } from '../core/model/kind.js';
import { Live } from './live.js';
import { existing } from './objects.controller.js';
import { Checked, Handles, type InputOf, operation } from './operation.js';
import { AuditEntry, auditView, DEFAULT_LIMIT, GivenInstant, InWorkspace, Limit, pageOf, Search } from './views.js';

const AUDIT = operation({
  method: 'GET',
  path: '/api/v1/workspaces/{workspace}/audit',
  id: 'listAudit',
  tag: 'audit',
  summary: 'Who changed what, newest first',
  params: InWorkspace,
  problems: [404],
  query: Type.Object(
    {
      limit: Limit,
      cursor: Type.Optional(Type.String({ pattern: '^[0-9]{1,18}$', description: '`next` of the page before.' })),
      author: Search('Name of the admin token.'),
      action: Search('For instance created, changed, deleted, released.'),
      kind: Type.Optional(Type.Enum([...KINDS])),
      name: Search('Name of the object.'),
      requestId: Search('Id of the request that made the change.'),
      from: Type.Optional(GivenInstant('At or after.')),
      to: Type.Optional(GivenInstant('Before.')),
    },
    { additionalProperties: false },
  ),
  answers: { 200: { description: 'A page.', schema: pageOf(AuditEntry, 'AuditPage') } },
});

@Controller()
export class AuditController {
  constructor(private readonly live: Live) {}

  @Handles(AUDIT)
  async list(@Checked() { params, query }: InputOf<typeof AUDIT>) {
    await existing(this.live.store, params.workspace);
    const { limit = DEFAULT_LIMIT, cursor, from, to, ...equal } = query;
    const filter = {
      ...equal,
      workspace: params.workspace,
      ...(from && { from: new Date(from) }),
      ...(to && { to: new Date(to) }),
    };
    const page = await this.live.store.auditOf(filter, limit, cursor);
    return { ...page, items: page.items.map(auditView) };
  }
}
