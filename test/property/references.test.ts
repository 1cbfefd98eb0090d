import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TYPE } from '../../src/core/ads/resource.js';
import { Compiler, type StoredObject } from '../../src/core/compile.js';
import { hasErrors } from '../../src/core/diagnostic.js';
import type { Spec } from '../../src/core/model/definitions.js';
import type { Kind } from '../../src/core/model/kind.js';
import { deriveId } from '../../src/core/model/name.js';
import { clusterResources, fleetResources, groupResources } from '../../src/core/xds/resources.js';
import { clusterIr, fleetIr, forward, groupIr, mock, routeIr } from '../support/ir.js';
import { brokenReferences } from '../support/references.js';
import * as a from './arbitrary.js';

const stored = (kind: Kind) => (spec: Spec) =>
  ({ kind, name: spec.name, id: deriveId('default', kind, spec.name), spec, release: 1 }) as StoredObject;
const clusters = a.clusterName.chain(a.cluster).map(stored('cluster'));
const apis = a.apiName.chain(a.api).map(stored('api'));
const upsert = fc.oneof(
  a.fleetName.chain(a.fleet).map(stored('fleet')),
  clusters,
  a.groupName.chain(a.group).map(stored('group')),
  { weight: 3, arbitrary: apis },
  a.appName.chain(a.app).map(stored('app')),
);
const removal = fc.oneof(
  a.clusterName.map((name) => ({ kind: 'cluster' as const, name })),
  a.groupName.map((name) => ({ kind: 'group' as const, name })),
  a.apiName.map((name) => ({ kind: 'api' as const, name })),
  a.fleetName.map((name) => ({ kind: 'fleet' as const, name })),
);
/** Mostly something new, at times something away from under what uses it. */
const edit = fc.record({
  upserts: fc.array(upsert, { maxLength: 2 }),
  removals: fc.oneof({ weight: 3, arbitrary: fc.constant([]) }, fc.array(removal, { maxLength: 1 })),
});

describe('references between resources', () => {
  it('X96 whatever is in force refers to nothing that is not there, in any fleet, after any edit', () => {
    let accepted = 0;
    let refused = 0;
    const property = fc.property(fc.array(edit, { minLength: 20, maxLength: 60, size: 'max' }), (edits) => {
      const compiler = new Compiler('default');
      for (const [i, { upserts, removals }] of edits.entries()) {
        const { diagnostics } = compiler.apply({ release: i + 1, upserts, removals });
        if (hasErrors(diagnostics)) {
          refused++;
          continue;
        }
        accepted++;
        for (const key of compiler.fleetKeys()) expect(brokenReferences([...compiler.resources(key)])).toEqual([]);
      }
    });
    fc.assert(property, { numRuns: 30 });
    expect(accepted).toBeGreaterThan(200);
    expect(refused).toBeGreaterThan(100);
  });

  it('X96 the check finds every reference that is cut', () => {
    const fleet = fleetIr();
    const group = groupIr(['a.test'], [routeIr('/a', forward('one')), routeIr('/b', mock('{}'))], { id: 'group' });
    const all = [...fleetResources(fleet), ...groupResources(group, fleet), ...clusterResources(clusterIr('one'))];
    expect(brokenReferences(all)).toEqual([]);
    const without = (...types: string[]) => brokenReferences(all.filter(({ type }) => !types.includes(type)));
    expect(without(TYPE.cluster)).toEqual(['RouteConfiguration group -> Cluster one']);
    expect(without(TYPE.endpoint)).toEqual(['Cluster one -> ClusterLoadAssignment one']);
    expect(without(TYPE.route)).toEqual(['ScopedRouteConfiguration a.test -> RouteConfiguration group']);
    expect(without(TYPE.endpoint, TYPE.route)).toHaveLength(2);
  });
});
