import { randomBytes } from 'node:crypto';
import { Controller } from '@nestjs/common';
import { Type } from 'typebox';
import { Secret } from '../core/secret.js';
import type { Owner } from '../store/credential-owner.js';
import { addCredential, changeCredential, listCredentials, removeCredentials } from '../store/credentials.js';
import { findHead } from '../store/objects.js';
import type { WorkspaceTransaction } from '../store/transaction.js';
import { Live } from './live.js';
import { Answer, Checked, Handles, type InputOf, operation } from './operation.js';
import { invalidDefinitions, notFound, Problem } from './problem.js';
import { Removed } from './receipts/content-receipt.js';
import { Waiting } from './receipts/waiting.js';
import {
  AccessKey,
  Credential,
  CredentialPatch,
  credentialView,
  InWorkspace,
  MadeCredential,
  NameOrId,
  NewCredential,
  pageOf,
} from './views.js';

const workspace = InWorkspace.properties.workspace;
const OneOwner = Type.Object({ workspace, name: NameOrId });
const OneKey = Type.Object({ workspace, name: NameOrId, accessKey: AccessKey });
const tag = 'credentials';
const query = Type.Object({ ...Waiting }, { additionalProperties: false });
const removed = { 204: { description: 'Deleted.' }, 200: { description: 'Deleted; with wait.', schema: Removed } };
const ofApp = '/api/v1/workspaces/{workspace}/apps/{name}/credentials';
const ofCluster = '/api/v1/workspaces/{workspace}/clusters/{name}/credential';
const made = { 201: { description: 'The credential, with its secret key: shown this once.', schema: MadeCredential } };

const CREATE = operation({
  method: 'POST',
  path: ofApp,
  id: 'createAppCredential',
  tag,
  summary: 'Give an App a key pair',
  params: OneOwner,
  query,
  description: 'Valid at once, without a release. Existing keys can be imported.',
  body: { schema: NewCredential, optional: true },
  answers: made,
  problems: [404, 409, 422],
});
const LIST = operation({
  method: 'GET',
  path: ofApp,
  id: 'listAppCredentials',
  tag,
  summary: 'List the key pairs of an App',
  params: OneOwner,
  answers: { 200: { description: 'All of them, without secrets.', schema: pageOf(Credential, 'CredentialPage') } },
  problems: [404],
});
const PATCH = operation({
  method: 'PATCH',
  path: `${ofApp}/{accessKey}`,
  id: 'changeAppCredential',
  tag,
  summary: 'Switch a key pair on or off, or let it expire',
  params: OneKey,
  query,
  body: { schema: CredentialPatch, contentType: 'application/merge-patch+json' },
  answers: { 200: { description: 'The credential.', schema: Credential } },
  problems: [404, 422],
});
const REMOVE = operation({
  method: 'DELETE',
  path: `${ofApp}/{accessKey}`,
  id: 'deleteAppCredential',
  tag,
  summary: 'Delete a key pair',
  params: OneKey,
  query,
  answers: removed,
  problems: [404],
});
const SET_CLUSTER = operation({
  method: 'PUT',
  path: ofCluster,
  id: 'setClusterCredential',
  tag,
  summary: 'Set the key pair with which requests to a cluster are signed',
  params: OneOwner,
  query,
  description: 'Takes the place of the one before, at once and without a release.',
  body: { schema: NewCredential, optional: true },
  answers: made,
  problems: [404, 409, 422],
});
const GET_CLUSTER = operation({
  method: 'GET',
  path: ofCluster,
  id: 'getClusterCredential',
  tag,
  summary: 'Read which key pair a cluster has',
  params: OneOwner,
  answers: { 200: { description: 'The credential, without its secret.', schema: Credential } },
  problems: [404],
});
const REMOVE_CLUSTER = operation({
  method: 'DELETE',
  path: ofCluster,
  id: 'deleteClusterCredential',
  tag,
  summary: 'Delete the key pair of a cluster',
  params: OneOwner,
  query,
  answers: removed,
  problems: [404],
});

@Controller()
export class CredentialsController {
  constructor(private readonly live: Live) {}

  @Handles(CREATE)
  create(@Checked() { params, body, actor }: InputOf<typeof CREATE>) {
    return this.live.changeAtOnce(params.workspace, actor, async (tx) =>
      add(tx, this.live, await ownerOf(tx, 'app', params.name), body ?? {}),
    );
  }

  @Handles(LIST)
  async list(@Checked() { params }: InputOf<typeof LIST>) {
    const items = (await this.listOf('app', params)).map(credentialView);
    return { items, total: items.length };
  }

  @Handles(PATCH)
  patch(@Checked() { params, body, actor }: InputOf<typeof PATCH>) {
    return this.live.changeAtOnce(params.workspace, actor, async (tx) => {
      const owner = await ownerOf(tx, 'app', params.name);
      const expiresAt = body.expiresAt === undefined ? {} : { expiresAt: instant(body.expiresAt) };
      const changed = await changeCredential(tx, owner, params.accessKey, {
        ...(body.enabled === undefined ? {} : { enabled: body.enabled }),
        ...expiresAt,
      });
      if (!changed) throw noSuchKey(owner, params.accessKey);
      await tx.audit([{ action: 'credential changed', ref: owner, changes: { accessKey: params.accessKey, ...body } }]);
      return credentialView(changed);
    });
  }

  @Handles(REMOVE)
  remove(@Checked() { params, actor }: InputOf<typeof REMOVE>) {
    return this.live.changeAtOnce(params.workspace, actor, async (tx) => {
      const owner = await ownerOf(tx, 'app', params.name);
      if ((await removeCredentials(tx, owner, params.accessKey)) === 0) throw noSuchKey(owner, params.accessKey);
      await tx.audit([{ action: 'credential deleted', ref: owner, changes: { accessKey: params.accessKey } }]);
    });
  }

  @Handles(SET_CLUSTER)
  setCluster(@Checked() { params, body, actor }: InputOf<typeof SET_CLUSTER>) {
    return this.live.changeAtOnce(params.workspace, actor, async (tx) => {
      const owner = await ownerOf(tx, 'cluster', params.name);
      await removeCredentials(tx, owner);
      return add(tx, this.live, owner, body ?? {});
    });
  }

  @Handles(GET_CLUSTER)
  async getCluster(@Checked() { params }: InputOf<typeof GET_CLUSTER>) {
    const [credential] = await this.listOf('cluster', params);
    if (!credential) throw notFound(`A credential of the cluster "${params.name}"`, `Set it with PUT ${ofCluster}.`);
    return credentialView(credential);
  }

  @Handles(REMOVE_CLUSTER)
  removeCluster(@Checked() { params, actor }: InputOf<typeof REMOVE_CLUSTER>) {
    return this.live.changeAtOnce(params.workspace, actor, async (tx) => {
      const owner = await ownerOf(tx, 'cluster', params.name);
      if ((await removeCredentials(tx, owner)) === 0) throw notFound(`A credential of the cluster "${params.name}"`);
      await tx.audit([{ action: 'credential deleted', ref: owner }]);
    });
  }

  private async listOf(kind: Owner['kind'], params: { workspace: string; name: string }) {
    return this.live.store.read(async (manager) => {
      const head = await findHead(manager, params.workspace, kind, params.name);
      if (!head) throw notFound(`The ${kind} "${params.name}" of workspace "${params.workspace}"`);
      return listCredentials(manager, params.workspace, { kind, name: head.name });
    });
  }
}

async function ownerOf(tx: WorkspaceTransaction, kind: Owner['kind'], nameOrId: string): Promise<Owner> {
  const head = await findHead(tx.manager, tx.workspace.name, kind, nameOrId);
  if (!head) throw notFound(`The ${kind} "${nameOrId}" of workspace "${tx.workspace.name}"`);
  return { kind, name: head.name };
}

/** Stores the credential and answers it with its secret key, the only time that is told. */
async function add(tx: WorkspaceTransaction, live: Live, owner: Owner, given: NewCredential): Promise<Answer> {
  const accessKey = given.accessKey ?? `ak${randomBytes(15).toString('hex')}`;
  const secretKey = given.secretKey ?? randomBytes(32).toString('base64url');
  const [enabled, expiresAt] = [given.enabled ?? true, instant(given.expiresAt ?? null)];
  const stored = await addCredential(tx, live.store.masterKey, owner, {
    accessKey,
    secretKey: new Secret(secretKey),
    enabled,
    expiresAt,
  });
  if (!stored) {
    const message = `The access key "${accessKey}" is taken; access keys are unique in the whole instance.`;
    throw new Problem('conflict', message, [
      { code: 'duplicate-access-key', pointer: '/accessKey', message, hint: 'Choose another, or leave it out.' },
    ]);
  }
  await tx.audit([{ action: 'credential created', ref: owner, changes: { accessKey, enabled, expiresAt } }]);
  const view = { accessKey, enabled, expiresAt, createdAt: tx.now, createdBy: tx.actor.name, secretKey };
  // No cache between us and the caller may keep it.
  return new Answer(view, { status: 201, headers: { 'cache-control': 'no-store' } });
}

/** @throws Problem for a day that no month has. */
function instant(text: string | null): Date | null {
  if (text === null) return null;
  const time = new Date(text);
  if (!Number.isNaN(time.getTime())) return time;
  throw invalidDefinitions([
    {
      code: 'schema',
      pointer: '/expiresAt',
      message: `${text} is no instant.`,
      hint: 'Write it as 2027-01-31T00:00:00Z.',
      severity: 'error',
    },
  ]);
}

function noSuchKey(owner: Owner, accessKey: string): Problem {
  return notFound(
    `The access key "${accessKey}" of the ${owner.kind} "${owner.name}"`,
    'List the credentials of the owner.',
  );
}
