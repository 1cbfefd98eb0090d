import { Controller } from '@nestjs/common';
import { Type } from 'typebox';
import { Live } from './live.js';
import { Metrics } from './metrics.js';
import { nameView, ResolvedName } from './names.controller.js';
import { OpenApi } from './openapi.js';
import { Answer, Handles, operation } from './operation.js';
import { FleetNode, Inventory } from './receipts/inventory.js';
import { RefusedView } from './refused-peers.js';
import { RequestLog } from './request-log.js';
import { Serving } from './serving.js';

const tag = 'operations';
const Health = Type.Object(
  {
    status: Type.Enum(['UP', 'DOWN']),
    components: Type.Record(
      Type.String(),
      Type.Object({ status: Type.String(), details: Type.Optional(Type.Unknown()) }),
    ),
  },
  { title: 'Health', description: 'As the actuator of Spring Boot has it.' },
);
const health = { 200: { description: 'UP.', schema: Health }, 503: { description: 'DOWN.', schema: Health } };
const FailingName = Type.Object({ workspace: Type.String(), ...ResolvedName.properties }, { title: 'FailingName' });
const READINESS = operation({
  method: 'GET',
  path: '/actuator/readiness',
  id: 'readiness',
  tag,
  summary: 'Whether this controller can serve fleets',
  open: true,
  answers: health,
  description:
    'Stays UP without the database: fleets are then served from what is loaded, and must not be cut off. DOWN while a stored release does not compile here (component releases): an upgrade stops, and nodes and people go to a controller that can.',
});
const HEALTH = operation({
  method: 'GET',
  path: '/actuator/health',
  id: 'health',
  tag,
  summary: 'Whether everything this controller needs is there',
  open: true,
  answers: health,
});
const READYZ = operation({
  method: 'GET',
  path: '/readyz',
  id: 'readyz',
  tag,
  summary: 'As /actuator/readiness',
  open: true,
  answers: health,
});
const LIVEZ = operation({
  method: 'GET',
  path: '/livez',
  id: 'livez',
  tag,
  summary: 'Whether the process answers',
  open: true,
  answers: {
    200: { description: 'It does.', schema: Type.Object({ status: Type.Literal('UP') }, { title: 'Alive' }) },
  },
});
const METRICS = operation({
  method: 'GET',
  path: '/metrics',
  id: 'metrics',
  tag,
  summary: 'Figures for Prometheus',
  open: true,
  answers: {
    200: {
      description: 'Text of Prometheus.',
      schema: Type.String(),
      contentType: 'text/plain; version=0.0.4; charset=utf-8',
    },
  },
});
const OPENAPI = operation({
  method: 'GET',
  path: '/openapi.json',
  id: 'openapi',
  tag,
  summary: 'This API as OpenAPI 3.1',
  open: true,
  answers: { 200: { description: 'The document.', schema: Type.Object({}, { title: 'OpenApiDocument' }) } },
});
const STATUS = operation({
  method: 'GET',
  path: '/api/v1/status',
  id: 'status',
  tag,
  summary: 'Fleets, streams and releases in force at this controller',
  description: 'Answered from memory, also without the database.',
  answers: {
    200: {
      description: 'The state of this controller.',
      schema: Type.Object(
        {
          version: Type.String(),
          startedAt: Type.String({ format: 'date-time' }),
          components: Health.properties.components,
          workspaces: Type.Array(
            Type.Object({
              workspace: Type.String(),
              release: Type.Integer(),
              fleets: Type.Array(Type.String()),
              fault: Type.Optional(Type.String()),
            }),
          ),
          nodes: Type.Array(FleetNode, {
            description: 'Of all workspaces; those of other controllers as they were last known.',
          }),
          refused: Type.Array(RefusedView, {
            description: 'Who was not let in here since the start, the latest first; at most 100.',
          }),
          streams: Type.Array(Type.Object({ node: Type.String(), fleet: Type.String() })),
          names: Type.Array(FailingName, {
            description: 'Names that DNS has no good answer for, over all controllers, the latest first, at most 100.',
          }),
        },
        { title: 'Status' },
      ),
    },
  },
});

/** How long health waits for the database before it says DOWN. */
const PING_LIMIT_MS = 2000;

@Controller()
export class HealthController {
  constructor(
    private readonly live: Live,
    private readonly requests: RequestLog,
    private readonly serving: Serving,
    private readonly metrics: Metrics,
    private readonly openApi: OpenApi,
    private readonly inventory: Inventory,
  ) {}

  @Handles(READINESS)
  readiness() {
    return answer(this.components(this.live.away), ['ads', 'releases']);
  }

  @Handles(READYZ)
  readyz() {
    return this.readiness();
  }

  @Handles(HEALTH)
  async health() {
    return answer(this.components(await this.databaseFault()), ['ads', 'database', 'logStore', 'releases']);
  }

  @Handles(LIVEZ)
  livez() {
    return { status: 'UP' };
  }

  @Handles(METRICS)
  async figures() {
    return this.metrics.registry.metrics();
  }

  @Handles(OPENAPI)
  openapi() {
    return this.openApi.document;
  }

  @Handles(STATUS)
  status() {
    const { version, startedAt, ads } = this.serving;
    return {
      version,
      startedAt,
      components: this.components(this.live.away),
      workspaces: this.live.states(),
      nodes: this.inventory.nodes(),
      refused: this.serving.refused?.view() ?? [],
      streams: ads?.streams() ?? [],
      names: (this.serving.names?.state().failing ?? []).map((row) => ({ workspace: row.workspace, ...nameView(row) })),
    };
  }

  private components(databaseFault: string | undefined) {
    const { ads, canary } = this.serving;
    const faults = this.live.states().flatMap(({ workspace, fault }) => (fault ? [`${workspace}: ${fault}`] : []));
    return {
      releases: faults.length === 0 ? { status: 'UP' } : { status: 'DOWN', details: { reason: faults.join(' ') } },
      ads: ads ? { status: 'UP', details: { port: ads.port, streams: ads.streams().length } } : { status: 'DOWN' },
      database: databaseFault === undefined ? { status: 'UP' } : { status: 'DOWN', details: { reason: databaseFault } },
      logStore: {
        status: this.requests.status,
        ...(this.requests.fault ? { details: { reason: this.requests.fault } } : {}),
      },
      dns: this.dns(),
      canary: canary ? { status: canary.state.pid ? 'UP' : 'DOWN', details: canary.state } : { status: 'OFF' },
    };
  }

  /** OFF where no cluster leaves a name to the controller. */
  private dns() {
    const { names, failing, holder } = this.serving.names?.state() ?? { names: 0, failing: [], holder: undefined };
    if (names === 0) return { status: 'OFF' };
    const [first] = failing;
    const reason = first && `${failing.length} names without a good answer, as ${first.name}: ${first.failure}`;
    const asking = holder ?? 'none';
    return { status: first ? 'DEGRADED' : 'UP', details: { names, asking, ...(reason && { reason }) } };
  }

  private async databaseFault(): Promise<string | undefined> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<string>((resolve) => {
      timer = setTimeout(() => resolve(this.live.away ?? `no answer in ${PING_LIMIT_MS} ms`), PING_LIMIT_MS);
    });
    const asked = this.live.store.ping().then(
      () => undefined,
      (error: Error) => error.message,
    );
    return Promise.race([asked, late]).finally(() => clearTimeout(timer));
  }
}

/** DOWN, and 503, when any of `needed` is. */
function answer(components: Record<string, { status: string }>, needed: readonly string[]): Answer {
  const down = needed.some((name) => components[name]?.status === 'DOWN');
  return new Answer({ status: down ? 'DOWN' : 'UP', components }, { status: down ? 503 : 200 });
}
