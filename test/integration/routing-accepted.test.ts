import fc from 'fast-check';
import { expect, test } from 'vitest';
import { compile } from '../../src/core/compile.js';
import { hasErrors } from '../../src/core/diagnostic.js';
import { METHODS, RETRY_ON } from '../../src/core/model/api.js';
import type { Definitions } from '../../src/core/model/definitions.js';
import { validateSpec } from '../../src/core/model/validate.js';
import { validate } from '../support/envoy.js';
import { staticBootstrap } from '../support/static-gateway.js';

// What the rules of the model let pass, Envoy must take: one refused route table would keep a group from being served.

type Api = NonNullable<Definitions['apis']>[number];
type Cluster = NonNullable<Definitions['clusters']>[number];
type Fleet = NonNullable<Definitions['fleets']>[number];

const optional = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
const PCHARS = "abZ09._~!$&'()+,;=:@-".split('');
const pchars = (maxLength: number) =>
  fc
    .array(
      fc.oneof({ weight: 9, arbitrary: fc.constantFrom(...PCHARS) }, { weight: 1, arbitrary: fc.constant('%C3%a4') }),
      {
        minLength: 1,
        maxLength,
      },
    )
    .map((parts) => parts.join(''));
const token = fc.stringMatching(/^[a-z0-9!#$%&'*+.^_`|~-]{1,20}$/);
const visible = fc.stringMatching(/^[\x21-\x7e]([\x20-\x7e]{0,40}[\x21-\x7e])?$/);
const name = fc.stringMatching(/^[a-z]([a-z0-9-]{0,20}[a-z0-9])?$/);
const dnsName = fc.tuple(name, fc.constantFrom('', '.example.com', '.internal')).map((parts) => parts.join(''));
const ms = fc.constantFrom(1, 999, 1000, 60_000, 299_999, 300_000, 3_600_000);

const apiPath = fc
  .tuple(fc.array(fc.oneof(pchars(30), fc.constant('{}')), { maxLength: 8 }), fc.boolean())
  .map(([segments, prefix]) => {
    const written = segments.map((text, i) => (text === '{}' ? `{p${i}}` : text));
    return `/${[...written, ...(prefix ? ['*'] : [])].join('/')}`;
  });
const upstreamPath = fc
  .array(fc.oneof(pchars(10), fc.constantFrom('{p0}', '{p1}x', 'a{p2}-{p0}', '\\1', '*')), {
    minLength: 1,
    maxLength: 5,
  })
  .map((parts) => `/${parts.join('/')}`);

const toCluster = fc.record({
  kind: fc.constant('cluster'),
  cluster: fc.constant('backend'),
  path: optional(upstreamPath),
  host: optional(fc.oneof(dnsName, visible)),
});
const asMock = fc.record({
  kind: fc.constant('mock'),
  resultCode: optional(fc.constantFrom('1000', '1100', '1800', '1804', '3999', '6104', '8002', '9503')),
  status: optional(fc.integer({ min: 200, max: 599 })),
  headers: optional(fc.dictionary(token, fc.oneof(visible, fc.constant('')), { maxKeys: 4 })),
  body: optional(fc.string({ unit: 'binary', maxLength: 60 })),
  contentType: optional(visible),
});
const api = fc.record({
  match: fc.record({ path: apiPath, methods: optional(fc.uniqueArray(fc.constantFrom(...METHODS), { minLength: 1 })) }),
  auth: optional(fc.constantFrom({ type: 'none' }, { type: 'signature' }, { type: 'signature', digest: 'ignore' })),
  upstream: fc.oneof(toCluster, asMock),
  timeoutMs: optional(ms),
  retry: optional(
    fc.record({
      attempts: fc.integer({ min: 1, max: 10 }),
      on: optional(fc.uniqueArray(fc.constantFrom(...RETRY_ON), { minLength: 1 })),
      statusCodes: optional(fc.uniqueArray(fc.integer({ min: 100, max: 599 }), { maxLength: 4 })),
      perTryTimeoutMs: optional(ms),
    }),
  ),
  maxBodyBytes: optional(fc.constantFrom(0, 1, 1_048_576, 16_777_216)),
  resultCodeHeader: optional(fc.boolean()),
});

const limit = optional(fc.constantFrom(0, 1, 4_294_967_295));
const port = fc.integer({ min: 1, max: 65_535 });
const weight = optional(fc.integer({ min: 1, max: 128 }));
const endpointsOf = (host: fc.Arbitrary<string>) => fc.array(fc.record({ host, port, weight }), { maxLength: 4 });
const cluster = fc.record({
  protocol: optional(fc.constantFrom('http1', 'http2')),
  endpoints: fc.oneof(endpointsOf(fc.ipV4()), endpointsOf(fc.ipV6()), endpointsOf(dnsName)),
  loadBalancing: optional(fc.constantFrom('round_robin', 'random', 'least_request')),
  connectTimeoutMs: optional(fc.constantFrom(1, 60_000)),
  circuitBreaker: optional(
    fc.record({ maxConnections: limit, maxPendingRequests: limit, maxRequests: limit, maxRetries: limit }),
  ),
  healthCheck: optional(
    fc.record({
      path: visible.map((text) => `/${text.replaceAll(' ', '')}`),
      intervalMs: optional(fc.constantFrom(100, 600_000)),
      timeoutMs: optional(fc.constantFrom(10, 60_000)),
      healthyThreshold: optional(fc.integer({ min: 1, max: 20 })),
    }),
  ),
  outlierDetection: optional(
    fc.record({
      consecutive5xx: optional(fc.constantFrom(1, 1000)),
      intervalMs: optional(fc.constantFrom(100, 600_000)),
      baseEjectionTimeMs: optional(fc.constantFrom(100, 3_600_000)),
      maxEjectionPercent: optional(fc.constantFrom(0, 100)),
    }),
  ),
  tls: optional(fc.record({ sni: optional(fc.oneof(dnsName, fc.constant(''), visible)) })),
});

const fleet = fc.record({
  trustedProxies: optional(fc.constantFrom(0, 16)),
  maxBodyBytes: optional(fc.constantFrom(0, 1, 16_777_216)),
  headers: optional(fc.record({ resultCode: optional(token), memo: optional(token), requestId: optional(token) })),
  signedHeaders: optional(fc.uniqueArray(token, { maxLength: 5 })),
  docsUrl: optional(fc.oneof(visible, fc.constant(''))),
});

/** JSON drops what is undefined, as a definitions file would. */
const plain = <T>(value: unknown) => JSON.parse(JSON.stringify(value)) as T;

test('whatever passes the rules is accepted by Envoy', async () => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  const sample = <T>(arbitrary: fc.Arbitrary<T>, numRuns: number) => fc.sample(arbitrary, { numRuns, seed });
  const backend: Cluster = { name: 'backend', endpoints: [{ host: '10.0.0.1', port: 80 }] };
  const edge: Fleet = { name: 'edge', listeners: [{ name: 'http', port: 8088 }] };
  const passes = (definitions: Definitions) => !hasErrors(compile(definitions).diagnostics);
  const conforms = (kind: 'api' | 'cluster' | 'fleet', spec: unknown) => !hasErrors(validateSpec(kind, spec));

  const clusters = sample(cluster, 300)
    .map((spec, i) => plain<Cluster>({ ...spec, name: `c${i}` }))
    .filter((spec) => conforms('cluster', spec) && passes({ fleets: [edge], clusters: [spec] }));
  const groupsOf = (specs: readonly { group: string }[]) =>
    specs.map(({ group }) => ({ name: group, hosts: [`${group}.example.com`] }));
  const apis = sample(api, 600)
    .map((spec, i) => plain<Api>({ ...spec, name: `a${i}`, group: `g${i}` }))
    .filter((spec) => conforms('api', spec))
    .filter((spec) => passes({ fleets: [edge], clusters: [backend], groups: groupsOf([spec]), apis: [spec] }));
  const reachable = clusters.map(({ name }, i): Api => {
    return { name: `to-${name}`, group: `to-${i}`, match: { path: '/' }, upstream: { kind: 'cluster', cluster: name } };
  });
  const fleets = sample(fleet, 8)
    .map((spec) => plain<Fleet>({ ...edge, ...spec }))
    .filter((spec) => conforms('fleet', spec) && passes({ fleets: [spec] }));
  // The rules must not be so strict that nothing is left to prove.
  expect(Math.min(clusters.length / 20, apis.length / 80, fleets.length)).toBeGreaterThanOrEqual(1);

  const served = { groups: groupsOf([...apis, ...reachable]), apis: [...apis, ...reachable] };
  const definitions = [
    { fleets: [edge], clusters: [backend, ...clusters], ...served },
    ...fleets.map((spec) => ({
      fleets: [spec],
      clusters: [backend],
      groups: groupsOf(apis.slice(0, 5)),
      apis: apis.slice(0, 5),
    })),
  ];
  for (const each of definitions) {
    const { compiler, diagnostics } = compile(each);
    expect(hasErrors(diagnostics)).toBe(false);
    const { ok, output } = await validate(staticBootstrap(compiler.gateway('edge')));
    expect(ok, `seed ${seed}: ${output.slice(-2000)}`).toBe(true);
  }
}, 60_000);
