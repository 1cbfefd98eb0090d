import { Controller } from '@nestjs/common';
import { Type } from 'typebox';
import { discoveryOf } from '../core/compile/resolve-cluster.js';
import type { Compiler } from '../core/compile.js';
import type { Diagnostic } from '../core/diagnostic.js';
import type { ClusterSpec } from '../core/model/cluster.js';
import { EndpointId, MOST_REGISTERED, Registration, RegistrationList } from '../core/model/endpoint.js';
import { canonicalIp } from '../core/model/host.js';
import { endpointId, registrationFaults, registrationListFaults } from '../core/model/rules-endpoint.js';
import {
  type EndpointChange,
  type EndpointRow,
  listEndpoints,
  type NewEndpoint,
  putEndpoints,
  removeEndpoints,
  renewEndpoint,
} from '../store/endpoints.js';
import { findHead } from '../store/objects.js';
import type { Head } from '../store/tables.js';
import type { WorkspaceTransaction } from '../store/transaction.js';
import { Live } from './live.js';
import { Answer, Checked, Handles, type InputOf, operation } from './operation.js';
import { faultsOf, invalidDefinitions, notFound, Problem } from './problem.js';
import { ContentReceipt, Removed } from './receipts/content-receipt.js';
import { Waiting } from './receipts/waiting.js';
import { InWorkspace, NameOrId, pageOf } from './views.js';

const Instant = Type.String({ format: 'date-time' });
const OrNull = <T extends typeof Instant | ReturnType<typeof Type.Integer>>(schema: T) =>
  Type.Union([schema, Type.Null()]);
const RegisteredEndpoint = Type.Object(
  {
    id: EndpointId,
    host: Type.String(),
    port: Type.Integer(),
    weight: Type.Integer(),
    region: Type.Optional(Type.String()),
    zone: Type.Optional(Type.String()),
    room: Type.Optional(Type.String()),
    ttlSeconds: OrNull(Type.Integer()),
    expiresAt: OrNull(Instant),
    registeredAt: Instant,
    registeredBy: Type.String({ description: 'Name of the admin token.' }),
    receipt: Type.Optional(ContentReceipt),
  },
  { title: 'RegisteredEndpoint' },
);
const Registered = Type.Object(
  { ...pageOf(RegisteredEndpoint, 'RegisteredEndpointPage').properties, receipt: Type.Optional(ContentReceipt) },
  { title: 'RegisteredEndpointPage' },
);

const OfCluster = Type.Object({ workspace: InWorkspace.properties.workspace, name: NameOrId });
const OneOf = Type.Object({ ...OfCluster.properties, id: EndpointId });
const path = '/api/v1/workspaces/{workspace}/clusters/{name}/endpoints';
const tag = 'endpoints';
const query = Type.Object({ ...Waiting }, { additionalProperties: false });
const removed = { 200: { description: 'None is left of what was to go; with wait.', schema: Removed } };
const effect =
  'Reaches Envoy at once, as endpoints alone (EDS), without a release. Repeated, it changes nothing but the time until an endpoint with ttlSeconds is taken out.';

const PUT_ALL = operation({
  method: 'PUT',
  path,
  id: 'setEndpoints',
  tag,
  summary: 'Register the endpoints of a cluster, and take out those not listed',
  description: `${effect} Those of the cluster's definition are not touched.`,
  params: OfCluster,
  query,
  body: { schema: RegistrationList, loose: true },
  answers: { 200: { description: 'All that are registered now.', schema: Registered } },
  problems: [404, 409, 422],
});
const PUT_ONE = operation({
  method: 'PUT',
  path: `${path}/{id}`,
  id: 'registerEndpoint',
  tag,
  summary: 'Register one endpoint of a cluster, or let it live on',
  description: `${effect} An address that is registered under another id is taken over.`,
  params: OneOf,
  query,
  body: { schema: Registration, loose: true },
  answers: {
    200: { description: 'The endpoint, which was registered before.', schema: RegisteredEndpoint },
    201: { description: 'The endpoint, which is new.', schema: RegisteredEndpoint },
  },
  problems: [404, 409, 422],
});
const LIST = operation({
  method: 'GET',
  path,
  id: 'listEndpoints',
  tag,
  summary: 'List the endpoints that registered for a cluster',
  params: OfCluster,
  answers: {
    200: { description: "All of them. Those of the definition stand in the cluster's spec.", schema: Registered },
  },
  problems: [404],
});
const GET = operation({
  method: 'GET',
  path: `${path}/{id}`,
  id: 'getEndpoint',
  tag,
  summary: 'Read one registered endpoint',
  params: OneOf,
  answers: { 200: { description: 'The endpoint.', schema: RegisteredEndpoint } },
  problems: [404],
});
const REMOVE_ALL = operation({
  method: 'DELETE',
  path,
  id: 'removeEndpoints',
  tag,
  summary: 'Take out all registered endpoints of a cluster',
  description: 'Reaches Envoy at once; requests under way are finished.',
  params: OfCluster,
  query,
  answers: { 204: { description: 'None is registered now.' }, ...removed },
  problems: [404],
});
const REMOVE_ONE = operation({
  method: 'DELETE',
  path: `${path}/{id}`,
  id: 'removeEndpoint',
  tag,
  summary: 'Take out one registered endpoint',
  description: 'Reaches Envoy at once; requests under way are finished.',
  params: OneOf,
  query,
  answers: { 204: { description: 'It is not registered now.' }, ...removed },
  problems: [404],
});

@Controller()
export class EndpointsController {
  constructor(private readonly live: Live) {}

  @Handles(PUT_ALL)
  putAll(@Checked() { params, body, actor }: InputOf<typeof PUT_ALL>) {
    refuse(registrationListFaults(body));
    return this.live.changeAtOnce(params.workspace, actor, async (tx, compiler) => {
      const cluster = await registrable(tx, compiler, params.name);
      const endpoints = body.endpoints.map((given) => newEndpoint(endpointId(given), given));
      const done = await putEndpoints(tx, cluster, endpoints, { whole: true });
      await audit(tx, cluster, done);
      return pageView(done.rows);
    });
  }

  @Handles(PUT_ONE)
  async putOne(@Checked() { params, body, actor }: InputOf<typeof PUT_ONE>) {
    refuse(registrationFaults(body));
    const endpoint = newEndpoint(params.id, body);
    const renewed = await this.live.store.read((manager) =>
      renewEndpoint(manager, params.workspace, params.name, endpoint),
    );
    if (renewed) return new Answer(view(renewed));
    return this.live.changeAtOnce(params.workspace, actor, async (tx, compiler) => {
      const cluster = await registrable(tx, compiler, params.name);
      const done = await putEndpoints(tx, cluster, [endpoint], { whole: false });
      if (done.count > MOST_REGISTERED) throw tooMany(cluster);
      await audit(tx, cluster, done);
      return new Answer(view(done.rows[0] as EndpointRow), { status: done.added.length > 0 ? 201 : 200 });
    });
  }

  @Handles(LIST)
  async list(@Checked() { params }: InputOf<typeof LIST>) {
    return pageView(await this.rows(params));
  }

  @Handles(GET)
  async get(@Checked() { params }: InputOf<typeof GET>) {
    const row = (await this.rows(params)).find(({ id }) => id === params.id);
    if (!row) throw noSuchEndpoint(params);
    return view(row);
  }

  @Handles(REMOVE_ALL)
  removeAll(@Checked() { params, actor }: InputOf<typeof REMOVE_ALL>) {
    return this.live.changeAtOnce(params.workspace, actor, async (tx) => {
      const cluster = (await headOf(tx, params.name)).name;
      await audit(tx, cluster, { added: [], changed: [], removed: await removeEndpoints(tx, cluster) });
    });
  }

  @Handles(REMOVE_ONE)
  removeOne(@Checked() { params, actor }: InputOf<typeof REMOVE_ONE>) {
    return this.live.changeAtOnce(params.workspace, actor, async (tx) => {
      const cluster = (await headOf(tx, params.name)).name;
      const removed = await removeEndpoints(tx, cluster, params.id);
      if (removed.length === 0) throw noSuchEndpoint(params);
      await audit(tx, cluster, { added: [], changed: [], removed });
    });
  }

  private rows({ workspace, name }: { workspace: string; name: string }): Promise<EndpointRow[]> {
    return this.live.store.read(async (manager) => {
      const head = await findHead(manager, workspace, 'cluster', name);
      if (!head) throw noSuchCluster(workspace, name);
      return listEndpoints(manager, workspace, head.name);
    });
  }
}

/** Name of the cluster, for which endpoints can register. @throws Problem when there is none, or it is one of DNS names. */
async function registrable(tx: WorkspaceTransaction, compiler: Compiler, nameOrId: string): Promise<string> {
  const head = await headOf(tx, nameOrId);
  // What is in force decides, and before there is anything, the draft.
  const spec = compiler.find('cluster', head.name)?.spec ?? (head.spec as ClusterSpec);
  if (discoveryOf(spec) === 'eds') return head.name;
  const message = `The endpoints of the cluster "${head.name}" are DNS names, which Envoy resolves; it cannot be told of others.`;
  throw new Problem('conflict', message, [
    {
      code: 'dns-cluster',
      pointer: '',
      message,
      hint: 'Register for a cluster whose definition lists IP addresses or nothing; an API can divide its requests among both.',
    },
  ]);
}

async function headOf(tx: WorkspaceTransaction, nameOrId: string): Promise<Head> {
  const head = await findHead(tx.manager, tx.workspace.name, 'cluster', nameOrId);
  if (!head) throw noSuchCluster(tx.workspace.name, nameOrId);
  return head;
}

async function audit(tx: WorkspaceTransaction, name: string, { added, changed, removed }: EndpointChange) {
  const changes = { added, changed, removed };
  if (added.length + changed.length + removed.length === 0) return;
  const action = added.length + changed.length > 0 ? 'endpoints registered' : 'endpoints removed';
  await tx.audit([{ action, ref: { kind: 'cluster', name }, changes }]);
}

function newEndpoint(id: string, given: Registration): NewEndpoint {
  const { host, port, weight = 1, region = '', zone = '', room = '', ttlSeconds = null } = given;
  return { id, host: canonicalIp(host), port, weight, region, zone, room, ttlSeconds };
}

function refuse(diagnostics: readonly Diagnostic[]): void {
  if (diagnostics.length > 0) throw invalidDefinitions(faultsOf(diagnostics));
}

function tooMany(cluster: string): Problem {
  const message = `The cluster "${cluster}" has ${MOST_REGISTERED} registered endpoints, which is the most it may have.`;
  const hint = 'Take out those that are gone, or give endpoints a ttlSeconds so that they go by themselves.';
  return new Problem('conflict', message, [{ code: 'limit', pointer: '', message, hint }]);
}

function noSuchCluster(workspace: string, name: string): Problem {
  return notFound(`The cluster "${name}" of workspace "${workspace}"`);
}

function noSuchEndpoint({ name, id }: { name: string; id: string }): Problem {
  return notFound(`The registered endpoint "${id}" of the cluster "${name}"`, 'List the endpoints of the cluster.');
}

function view({ id, host, port, weight, region, zone, room, ...rest }: EndpointRow) {
  const place = Object.fromEntries(Object.entries({ region, zone, room }).filter(([, part]) => part !== ''));
  const { ttlSeconds, expiresAt, registeredAt, registeredBy } = rest;
  return { id, host, port, weight, ...place, ttlSeconds, expiresAt, registeredAt, registeredBy };
}

function pageView(rows: readonly EndpointRow[]) {
  return { items: rows.map(view), total: rows.length };
}
