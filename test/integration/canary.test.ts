import { existsSync, readlinkSync } from 'node:fs';
import { create, toBinary } from '@bufbuild/protobuf';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Canary, type Verdict } from '../../src/canary/canary.js';
import { type Resource, resource, TYPE } from '../../src/core/ads/resource.js';
import { clusterResources, fleetResources, groupResources } from '../../src/core/xds/resources.js';
import { ClusterSchema } from '../../src/gen/envoy/config/cluster/v3/cluster_pb.js';
import { ClusterLoadAssignmentSchema } from '../../src/gen/envoy/config/endpoint/v3/endpoint_pb.js';
import { ListenerSchema } from '../../src/gen/envoy/config/listener/v3/listener_pb.js';
import { RouteConfigurationSchema } from '../../src/gen/envoy/config/route/v3/route_pb.js';
import { ScopedRouteConfigurationSchema } from '../../src/gen/envoy/config/route/v3/scoped_route_pb.js';
import { keptLog } from '../support/admin.js';
import { startChild } from '../support/child.js';
import { envoyPath } from '../support/envoy.js';
import { clusterIr, fleetIr, forward, groupIr, mock, routeIr } from '../support/ir.js';
import { until } from '../support/until.js';

// The resident canary by itself: what a real Envoy says of single resources.

const log = keptLog();
let canary: Canary;
beforeAll(() => {
  canary = Canary.start({ binary: envoyPath(), log });
});
afterAll(() => canary.close());

const endpoints = [{ host: '10.255.0.1', port: 80, weight: 1 }];
const fleet = fleetIr();
/** Everything of a gateway of some size, each kind of cluster among it. */
const good = (tag: string): Resource[] => [
  ...clusterResources(clusterIr(`eds-${tag}`, { endpoints })),
  ...clusterResources(
    clusterIr(`checked-${tag}`, {
      endpoints,
      healthCheck: { path: '/', intervalMs: 60_000, timeoutMs: 60_000, healthyThreshold: 1, unhealthyThreshold: 1 },
    }),
  ),
  ...clusterResources(
    clusterIr(`dns-${tag}`, {
      discovery: 'dns',
      endpoints: [{ host: 'orders.internal', port: 80, weight: 1 }],
      tls: {},
    }),
  ),
  ...clusterResources(
    clusterIr(`dns-checked-${tag}`, {
      discovery: 'dns',
      endpoints: [{ host: 'localhost', port: 80, weight: 1 }],
      healthCheck: { path: '/', intervalMs: 60_000, timeoutMs: 60_000, healthyThreshold: 1, unhealthyThreshold: 1 },
    }),
  ),
  ...groupResources(
    groupIr([`${tag}.test`, `www.${tag}.test`], [routeIr('/mock', mock(tag)), routeIr('/call', forward(`eds-${tag}`))]),
    fleet,
  ),
  ...fleetResources(
    fleetIr({
      accessLogPath: '/no/such/folder/access.log',
      listeners: [{ name: `l-${tag}`, address: '10.255.255.1', port: 80 }],
    }),
  ),
];

const bad = (tag: string): Resource[] => [
  resource(
    TYPE.cluster,
    `bad-${tag}`,
    toBinary(ClusterSchema, create(ClusterSchema, { name: `bad-${tag}`, connectTimeout: { seconds: -1n, nanos: 0 } })),
  ),
  resource(
    TYPE.endpoint,
    `bad-${tag}`,
    toBinary(
      ClusterLoadAssignmentSchema,
      create(ClusterLoadAssignmentSchema, {
        clusterName: `bad-${tag}`,
        endpoints: [
          {
            lbEndpoints: [
              {
                hostIdentifier: {
                  case: 'endpoint',
                  value: {
                    address: {
                      address: {
                        case: 'socketAddress',
                        value: { address: '10.0.0.1', portSpecifier: { case: 'portValue', value: 99_999 } },
                      },
                    },
                  },
                },
              },
            ],
          },
        ],
      }),
    ),
  ),
  resource(
    TYPE.route,
    `bad-${tag}`,
    toBinary(
      RouteConfigurationSchema,
      create(RouteConfigurationSchema, { name: `bad-${tag}`, virtualHosts: [{ name: 'a', domains: [] }] }),
    ),
  ),
  resource(
    TYPE.scope,
    `bad-${tag}`,
    toBinary(ScopedRouteConfigurationSchema, create(ScopedRouteConfigurationSchema, { name: `bad-${tag}` })),
  ),
  resource(TYPE.listener, `bad-${tag}`, toBinary(ListenerSchema, create(ListenerSchema, { name: `bad-${tag}` }))),
];

const kinds = (verdicts: readonly Verdict[]) =>
  Object.fromEntries(verdicts.map(({ resource: r, kind }) => [`${r.type.split('.').at(-1)} ${r.name}`, kind]));

describe('the canary', () => {
  it('accepts what is good and refuses what is bad, whatever stands beside it', async () => {
    const [accepted, refused] = [good('a'), bad('a')];
    const mixed = accepted.flatMap((r, i) => [r, refused[i] ?? []].flat());
    const verdicts = await canary.judge(mixed, 20_000);
    const of = (rs: readonly Resource[]) => verdicts.filter((v) => rs.includes(v.resource));
    expect(new Set(Object.values(kinds(of(accepted)))), JSON.stringify(of(accepted), null, 1)).toEqual(
      new Set(['accepted']),
    );
    expect(new Set(Object.values(kinds(of(refused))))).toEqual(new Set(['refused']));
    for (const { text } of of(refused)) expect(text).not.toBe('');
  });

  it('judges a whole gateway at once, and again, without one blaming another', async () => {
    const accepted = Array.from({ length: 60 }, (_, i) => good(`many-${i}`)).flat();
    const refused = Array.from({ length: 60 }, (_, i) => bad(`many-${i}`)).flat();
    const mixed = [...accepted, ...refused].sort((a, b) => (a.version < b.version ? -1 : 1));
    for (let round = 0; round < 2; round++) {
      const verdicts = await canary.judge(mixed, 60_000);
      const wrong = verdicts.filter(({ resource: r, kind }) => (kind === 'accepted') !== accepted.includes(r));
      expect(wrong).toEqual([]);
      expect(verdicts).toHaveLength(mixed.length);
    }
  }, 60_000);

  it('leaves no Envoy behind when the process that started it is killed', async () => {
    const url = new URL('../../dist/canary/canary.js', import.meta.url).href;
    const log = '{ warn() {}, error() {}, info() {} }';
    const script = `const { Canary } = await import(${JSON.stringify(url)});
      const canary = Canary.start({ binary: ${JSON.stringify(envoyPath())}, log: ${log} });
      setInterval(() => canary.state.pid && console.log('pid ' + canary.state.pid), 20);`;
    const parent = startChild(process.execPath, ['--input-type=module', '-e', script], {});
    const pid = await until(() => Number(/pid (\d+)/.exec(parent.output())?.[1] ?? 0), { what: 'its pid' });
    const alive = () => {
      try {
        return process.kill(pid, 0);
      } catch {
        return false;
      }
    };
    expect(alive()).toBe(true);
    const directory = readlinkSync(`/proc/${pid}/cwd`);
    process.kill(parent.pid, 'SIGKILL');
    await until(() => !alive() && !existsSync(directory), { what: 'the end of the canary, and of its directory' });
  });

  it('blames nothing when it is killed in the middle of its work', async () => {
    const many = Array.from({ length: 30 }, (_, i) => good(`killed-${i}`)).flat();
    const judged = canary.judge([...many, ...bad('killed')], 40_000);
    await Promise.race([judged, canary.judge(good('killed-first').slice(0, 1), 20_000)]);
    process.kill(canary.state.pid as number, 'SIGKILL');
    const verdicts = await judged;
    expect(verdicts.filter(({ resource: r, kind }) => many.includes(r) && kind !== 'accepted')).toEqual([]);
    expect(verdicts.filter(({ kind }) => kind === 'refused')).toHaveLength(5);
    expect(canary.state.restarts).toBeGreaterThan(0);
  }, 60_000);

  it('is started again when it dies, and goes on', async () => {
    const { pid } = canary.state;
    process.kill(pid as number, 'SIGKILL');
    await until(() => canary.state.pid !== undefined && canary.state.pid !== pid, { what: 'another canary' });
    const verdicts = await canary.judge([...good('again'), ...bad('again')], 20_000);
    expect(verdicts.map(({ kind }) => kind)).not.toContain('not judged');
  });
});
