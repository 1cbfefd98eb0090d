import { describe, expect, it } from 'vitest';
import { resource, TYPE, type TypeUrl } from '../../src/core/ads/resource.js';
import type { Outgoing } from '../../src/core/ads/session.js';
import { type DeltaRequest, DeltaSession } from '../../src/core/ads/session-delta.js';
import { ResourceTable } from '../../src/core/ads/table.js';

// What tells a client that asked for all of a type that all of it has come.

const cluster = resource(TYPE.cluster, 'c', Buffer.from('cluster'));
const route = resource(TYPE.route, 'r', Buffer.from('routes'), [{ type: TYPE.cluster, name: 'c' }]);

function session(upserts = [cluster, route], removed: { type: TypeUrl; name: string }[] = [], knownNode = false) {
  const table = new ResourceTable();
  table.apply({
    upserts: [...upserts, ...removed.map(({ type, name }) => resource(type, name, Buffer.from('x')))],
    removals: [],
  });
  table.apply({ upserts: [], removals: removed });
  return new DeltaSession({ table, authorised: true, knownNode, now: 0 });
}

const request = (type: string, more: Partial<DeltaRequest> = {}): DeltaRequest => {
  return { type, subscribe: [], unsubscribe: [], initialVersions: new Map(), nonce: '', ...more };
};

/** All responses there are for now, as `type: names` and `-names`. */
function said(from: DeltaSession): { lines: string[]; last: Outgoing | undefined } {
  const lines: string[] = [];
  let last: Outgoing | undefined;
  for (let response = from.next(0); response; response = from.next(0)) {
    last = response;
    const names = [...response.resources.map(({ name }) => name), ...response.removed.map((name) => `-${name}`)];
    lines.push(`${response.type.slice(response.type.lastIndexOf('.') + 1)}: ${names.join(' ')}`.trim());
  }
  return { lines, last };
}

describe('the first delivery of a type asked for with *', () => {
  it('ends with an empty response, once, and later changes have none', () => {
    const delta = session();
    delta.request(request(TYPE.cluster, { subscribe: ['*'] }), 0);
    expect(said(delta).lines).toEqual(['Cluster: c', 'Cluster:']);
    delta.request(request(TYPE.cluster, { nonce: '1' }), 0);
    delta.request(request(TYPE.cluster, { nonce: '2' }), 0);
    expect(said(delta).lines).toEqual([]);
  });

  it('does not end while something of it waits for what it needs', () => {
    const delta = session();
    delta.request(request(TYPE.cluster, { subscribe: ['*'] }), 0);
    delta.request(request(TYPE.route, { subscribe: ['*'] }), 0);
    const first = said(delta);
    expect(first.lines).toEqual(['Cluster: c', 'Cluster:']);
    delta.request(request(TYPE.cluster, { nonce: '1' }), 0);
    expect(said(delta).lines).toEqual(['RouteConfiguration: r', 'RouteConfiguration:']);
  });

  it('ends at once when the client has everything, or there is nothing', () => {
    const delta = session();
    delta.request(request(TYPE.cluster, { subscribe: ['*'], initialVersions: new Map([['c', cluster.version]]) }), 0);
    delta.request(request(TYPE.endpoint, { subscribe: ['*'] }), 0);
    expect(said(delta).lines.sort()).toEqual(['Cluster:', 'ClusterLoadAssignment:']);
  });

  it('has no such end when Envoy asks without a name', () => {
    const delta = session();
    delta.request(request(TYPE.cluster), 0);
    expect(said(delta).lines).toEqual(['Cluster: c']);
  });

  it('a node that must be told of removals is answered first', () => {
    const delta = session([], [{ type: TYPE.scope, name: 'gone.example.com' }], true);
    delta.request(request(TYPE.scope), 0);
    expect(said(delta).lines).toEqual(['ScopedRouteConfiguration:', 'ScopedRouteConfiguration: -gone.example.com']);
  });
});
