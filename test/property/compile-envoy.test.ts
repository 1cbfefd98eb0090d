import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Compiler, type StoredObject } from '../../src/core/compile.js';
import { hasErrors } from '../../src/core/diagnostic.js';
import type { Spec } from '../../src/core/model/definitions.js';
import type { Kind } from '../../src/core/model/kind.js';
import { deriveId } from '../../src/core/model/name.js';
import { validate } from '../support/envoy.js';
import { staticBootstrap } from '../support/static-gateway.js';
import { wildApi, wildCluster, wildFleet, wildGroup } from './wild.js';

const FLEETS = 3;
const OBJECTS = 3000;

describe('what the rules let by', () => {
  it('Envoy accepts, however odd', async () => {
    const [seed = 0] = fc.sample(fc.integer(), 1);
    const sample = <T>(arbitrary: fc.Arbitrary<T>): T[] => fc.sample(arbitrary, { seed, numRuns: OBJECTS });
    const compiler = new Compiler('default');
    const offer = (kind: Kind, spec: Spec): boolean => {
      const id = deriveId('default', kind, spec.name);
      const object = { kind, name: spec.name, id, spec, release: 1 } as StoredObject;
      return !hasErrors(compiler.apply({ release: 1, upserts: [object], removals: [] }).diagnostics);
    };
    const clusters = sample(wildCluster).flatMap((spec, i) =>
      offer('cluster', { ...spec, name: `c${i}` }) ? [`c${i}`] : [],
    );
    const groups = sample(wildGroup).flatMap((spec, i) =>
      offer('group', { ...spec, name: `g${i}` }) ? [`g${i}`] : [],
    );
    expect(clusters.length).toBeGreaterThan(100);
    expect(groups.length).toBeGreaterThan(20);
    // References are made to lead somewhere; everything else stays as odd as it is.
    let next = 0;
    const cluster = () => clusters[next++ % clusters.length] ?? '';
    const apis = sample(wildApi).filter((spec, i) => {
      const { upstream } = spec;
      const led =
        upstream.kind === 'cluster'
          ? { ...upstream, cluster: cluster() }
          : upstream.kind === 'weighted'
            ? { ...upstream, clusters: upstream.clusters.map(({ weight }) => ({ cluster: cluster(), weight })) }
            : upstream;
      return offer('api', { ...spec, name: `a${i}`, group: groups[i % groups.length] ?? '', upstream: led });
    });
    expect(apis.length).toBeGreaterThan(100);
    let fleets = 0;
    // Whether the folder of the log is there is a matter of the node.
    const logged = sample(wildFleet).map(({ accessLogPath = 'a', ...spec }) => ({
      ...spec,
      accessLogPath: accessLogPath.replaceAll('/', '_'),
    }));
    for (const [i, spec] of logged.entries())
      if (fleets < FLEETS && offer('fleet', { ...spec, name: `f${i}` })) fleets++;
    expect(fleets).toBe(FLEETS);
    for (const key of compiler.fleetKeys()) {
      const gateway = compiler.gateway(key.slice('default/'.length));
      const { ok, output } = await validate(staticBootstrap(gateway));
      expect(ok ? '' : `seed ${seed}: ${JSON.stringify(gateway.fleet)}\n${output}`).toBe('');
    }
  }, 120_000);
});
