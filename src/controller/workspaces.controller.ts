import { Controller } from '@nestjs/common';
import { Live } from './live.js';
import { Answer, Checked, Handles, type InputOf, operation } from './operation.js';
import { notFound, Problem } from './problem.js';
import { InWorkspace, NewWorkspace, pageOf, Workspace, workspaceView } from './views.js';

const path = '/api/v1/workspaces';
const tag = 'workspaces';
const CREATE = operation({
  method: 'POST',
  path,
  id: 'createWorkspace',
  tag,
  summary: 'Create a workspace',
  body: { schema: NewWorkspace },
  answers: { 201: { description: 'The workspace.', schema: Workspace } },
  problems: [409, 422],
});
const LIST = operation({
  method: 'GET',
  path,
  id: 'listWorkspaces',
  tag,
  summary: 'List workspaces by name',
  answers: { 200: { description: 'All of them.', schema: pageOf(Workspace, 'WorkspacePage') } },
});
const GET = operation({
  method: 'GET',
  path: `${path}/{workspace}`,
  id: 'getWorkspace',
  tag,
  summary: 'Read a workspace',
  params: InWorkspace,
  answers: { 200: { description: 'The workspace.', schema: Workspace } },
  problems: [404],
});
const REMOVE = operation({
  method: 'DELETE',
  path: `${path}/{workspace}`,
  id: 'deleteWorkspace',
  tag,
  summary: 'Delete an empty workspace',
  params: InWorkspace,
  description: 'Its releases and history go with it; its audit stays. Refused while it holds an object.',
  answers: { 204: { description: 'Deleted.' } },
  problems: [404, 409],
});

@Controller()
export class WorkspacesController {
  constructor(private readonly live: Live) {}

  @Handles(CREATE)
  async create(@Checked() { body, actor }: InputOf<typeof CREATE>) {
    const made = await this.live.store.createWorkspace(body.name, body.description ?? null, actor);
    if (!made) {
      const message = `There is a workspace "${body.name}" already.`;
      throw new Problem('conflict', message, [
        { code: 'duplicate-name', pointer: '/name', message, hint: 'Choose another name.' },
      ]);
    }
    await this.live.refresh();
    return new Answer(await this.view(body.name), { headers: { location: `${path}/${body.name}` } });
  }

  @Handles(LIST)
  async list() {
    const items = (await this.live.store.workspaces()).map(workspaceView);
    return { items, total: items.length };
  }

  @Handles(GET)
  get(@Checked() { params }: InputOf<typeof GET>) {
    return this.view(params.workspace);
  }

  @Handles(REMOVE)
  async remove(@Checked() { params, actor }: InputOf<typeof REMOVE>) {
    const outcome = await this.live.store.deleteWorkspace(params.workspace, actor);
    if (outcome === 'missing') throw notFound(`The workspace "${params.workspace}"`);
    if (outcome === 'not empty') {
      const message = `The workspace "${params.workspace}" still holds objects.`;
      throw new Problem('conflict', message, [
        {
          code: 'not-empty',
          pointer: '',
          message,
          hint: 'Delete them first, for instance by a change set with empty definitions and "prune": true.',
        },
      ]);
    }
    await this.live.refresh();
  }

  private async view(name: string) {
    const row = await this.live.store.findWorkspace(name);
    if (row === null)
      throw notFound(`The workspace "${name}"`, 'Create it with POST /api/v1/workspaces, or correct the name.');
    return workspaceView(row);
  }
}
