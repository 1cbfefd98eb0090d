import { expect, it } from 'vitest';
import { compile } from '../../src/core/compile.js';
import { type Known, originsOf, type Refusal, reasonOf, refusalDiagnostics } from '../../src/core/explain/refusal.js';
import type { Definitions } from '../../src/core/model/definitions.js';
import { resourceJson } from '../../src/core/xds/resource-json.js';

const definitions = {
  fleets: [{ name: 'edge', listeners: [{ name: 'http', port: 80 }], accessLogPath: 'logs/access.log' }],
  clusters: [
    {
      name: 'orders',
      endpoints: [
        { host: '10.0.0.1', port: 80 },
        { host: '10.0.0.2', port: 80 },
      ],
      healthCheck: { path: '/up' },
      tls: { sni: 'orders.example.com' },
    },
  ],
  groups: [{ name: 'shop', hosts: ['shop.example.com'] }],
  apis: [
    { name: 'list', group: 'shop', match: { path: '/orders' }, upstream: { kind: 'cluster', cluster: 'orders' } },
    { name: 'one', group: 'shop', match: { path: '/orders/{id}' }, upstream: { kind: 'cluster', cluster: 'orders' } },
    { name: 'mock', group: 'shop', match: { path: '/mock' }, upstream: { kind: 'mock', body: 'a certain text' } },
  ],
} as unknown as Definitions;
const { compiler } = compile(definitions, { workspace: 'w' });
const known: Known = compiler;
const resources = [...compiler.resources('w/edge')];

/** What is said of a refusal of the resource of this type, as `kind/name pointer`. */
function told(type: string, text: string, name?: string): string[] {
  const found = resources.find((r) => r.type.endsWith(`.${type}`) && (name === undefined || r.name === name));
  if (!found) throw new Error(`no ${type}`);
  const refusal: Refusal = { type, name: found.name, text, fleet: 'edge', json: resourceJson(found) };
  return originsOf(refusal, known).map(({ object, path }) => `${object.kind}/${object.name} ${path}`.trim());
}

/** Texts of Envoy 1.40. */
it.each<[string, string, string[]]>([
  [
    'Cluster',
    'Error adding/updating cluster(s) x: Failed to load trusted CA certificates from <inline>',
    ['cluster/orders /tls'],
  ],
  [
    'Cluster',
    'Proto constraint validation failed (ClusterValidationError.HealthChecks[0]: embedded message failed validation | caused by HealthCheckValidationError.Interval: value is required)',
    ['cluster/orders /healthCheck'],
  ],
  [
    'ClusterLoadAssignment',
    'x: Proto constraint validation failed (ClusterLoadAssignmentValidationError.Endpoints[0]: embedded message failed validation | caused by LocalityLbEndpointsValidationError.LbEndpoints[1]: embedded message failed validation | caused by SocketAddressValidationError.PortValue: value must be less than or equal to 65535)',
    ['cluster/orders /endpoints/1/port'],
  ],
  [
    'ClusterLoadAssignment',
    'malformed IP address: 10.0.0.2. Consider setting resolver_name',
    ['cluster/orders /endpoints/1/host'],
  ],
  [
    'RouteConfiguration',
    'Proto constraint validation failed (RouteConfigurationValidationError.VirtualHosts[0]: embedded message failed validation | caused by VirtualHostValidationError.Routes[2]: embedded message failed validation | caused by RouteValidationError.DirectResponse: embedded message failed validation | caused by DirectResponseActionValidationError.Status)',
    ['api/mock /upstream'],
  ],
  ['RouteConfiguration', 'response body "a certain text" is too large', ['api/mock /upstream/body']],
  [
    'RouteConfiguration',
    "RE2 program size of 99999 > max program size of 10000 set for the error level threshold for expression '^/orders/[^/]+$'",
    ['api/one /match/path'],
  ],
  ['RouteConfiguration', 'Only a single wildcard domain is permitted in route w', ['group/shop /hosts']],
  ['RouteConfiguration', 'something nobody has heard of', ['group/shop']],
  ['ScopedRouteConfiguration', 'scope key conflicts', ['group/shop /hosts']],
  [
    'Listener',
    "Error adding/updating listener(s) http: unable to open file 'logs/access.log': No such file",
    ['fleet/edge /accessLogPath'],
  ],
  ['Listener', 'error adding listener: address is in use', ['fleet/edge /listeners']],
])('%s: %s', (type, text, expected) => {
  expect(told(type, text)).toEqual(expected);
});

it('shows the reason and not the resource before it, on one line of bounded length', () => {
  const text =
    'goo.gle/debugproto\nname: "a secret of yours"\n: Proto constraint validation failed (X: value\nis required)';
  expect(reasonOf(text)).toBe('Proto constraint validation failed (X: value is required)');
  expect(reasonOf('x'.repeat(5000)).length).toBe(1001);
});

it('tells of a resource nobody knows without an object', () => {
  const [finding] = refusalDiagnostics({ type: 'Cluster', name: 'nobody', text: 'no', fleet: 'edge' }, known);
  expect(finding).toMatchObject({ code: 'envoy-refused', severity: 'error', path: '' });
  expect(finding).not.toHaveProperty('object');
});

it('never throws, whatever Envoy says', () => {
  for (const text of ['', 'Routes[99999]', 'Routes[0]', '$1 \\ (', 'LbEndpoints[7]', '\u0000'])
    for (const { type } of resources) told(type.slice(type.lastIndexOf('.') + 1), text);
});
