import type { Log, LogSettings } from '../logger.js';
import type { Drill } from './drill.js';
import { ENVOY_TYPES, type EnvoyType, inForce } from './envoy-admin.js';
import { HELD_TYPES, type HeldType, heldConfig, heldResource } from './held-config.js';
import type { EdgeMetrics } from './metrics.js';
import type { Endpoint, EndpointAnswer } from './node-endpoints.js';
import type { EdgeStats } from './state.js';
import type { EdgeTables } from './tables.js';

/** Levels operators of the original gateway know, as ours. */
const LEVELS: Readonly<Record<string, LogSettings['level']>> = {
  FATAL: 'error',
  ERROR: 'error',
  WARN: 'warn',
  INFO: 'info',
  DEBUG: 'debug',
  TRACE: 'debug',
};

const LONGEST_DRILL_S = 600;

export interface NodePathsSources {
  readonly tables: EdgeTables;
  readonly metrics: EdgeMetrics;
  readonly log: Log;
  readonly envoyAdmin: string;
  readonly drill: Drill;
  stats(): EdgeStats;
}

/** What the node endpoints answer. Paths and parameters under /mosng and /tool are those of the original gateway. */
export function nodePaths(sources: NodePathsSources): ReadonlyMap<string, Endpoint> {
  const { tables, metrics, stats } = sources;
  const read = (answer: Endpoint['answer']): Endpoint => ({ methods: ['GET', 'HEAD'], answer });
  return new Map([
    ['/mosng/config', read(() => ({ body: { ...stats(), config: heldConfig(tables) } }))],
    ['/mosng/config/query', read((query) => queried(sources, query))],
    [
      '/tool/setLogLevel',
      { methods: ['POST', 'GET'], answer: (query) => setLogLevel(sources.log, query.get('level')) },
    ],
    ['/tool/drill/controller-outage', { methods: ['POST'], answer: (query) => startDrill(sources.drill, query) }],
    ['/tool/drill', read(() => drillReport(sources.drill))],
    ['/healthz', read(() => healthy(stats()))],
    ['/metrics', read(async () => ({ body: await metrics.text() }))],
  ]);
}

function healthy({ ready, ads, config, lastGood }: EdgeStats): EndpointAnswer {
  return ready
    ? { body: { status: 'UP', ads, config, ...(lastGood && { lastGood }) } }
    : { status: 503, body: { status: 'STARTING', ads, config } };
}

async function queried({ tables, envoyAdmin }: NodePathsSources, query: URLSearchParams): Promise<EndpointAnswer> {
  const type = query.get('type') ?? '';
  const name = query.get('name') ?? '';
  const types = [...ENVOY_TYPES, ...Object.keys(HELD_TYPES)];
  if (!types.includes(type) || name === '') {
    return {
      status: 400,
      body: { error: `Ask with type= and name=. Types: ${types.join(', ')}. The name of a Router is groupId|apiId.` },
    };
  }
  const found =
    type in HELD_TYPES
      ? heldResource(tables, type as HeldType, name)
      : await inForce(envoyAdmin, type as EnvoyType, name);
  return found
    ? { body: { type, ...found } }
    : { status: 404, body: { error: `This node holds no ${type} "${name}".` } };
}

async function startDrill(drill: Drill, query: URLSearchParams): Promise<EndpointAnswer> {
  const seconds = Number(query.get('seconds') ?? 30);
  if (!Number.isInteger(seconds) || seconds < 1 || seconds > LONGEST_DRILL_S) {
    return { status: 400, body: { error: `seconds= is a whole number from 1 to ${LONGEST_DRILL_S}.` } };
  }
  const refused = await drill.start(seconds);
  return refused === undefined ? { status: 202, body: drill.report ?? {} } : { status: 409, body: { error: refused } };
}

function drillReport({ report }: Drill): EndpointAnswer {
  return report ? { body: report } : { status: 404, body: { error: 'No drill has been started on this edge.' } };
}

function setLogLevel(log: Log, wanted: string | null): EndpointAnswer {
  const level = LEVELS[(wanted ?? '').toUpperCase()];
  if (level === undefined) {
    return { status: 400, body: { error: `level= is one of ${Object.keys(LEVELS).join(', ')}.`, level: log.level() } };
  }
  const before = log.level();
  log.setLevel(level);
  log.info('log level changed', { from: before, to: level });
  return { body: { level, before } };
}
