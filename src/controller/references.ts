import { type Diagnostic, diagnostic } from '../core/diagnostic.js';
import type { SpecOf } from '../core/model/definitions.js';
import type { Kind } from '../core/model/kind.js';
import { keyOf, type Ref } from '../store/objects.js';

export interface Reference extends Ref {
  /** JSON pointer of the name in the spec. */
  readonly path: string;
}

/** What a valid spec names. The only place that knows where names of other objects stand. Pure. */
export function referencesOf(kind: Kind, spec: Record<string, unknown>): Reference[] {
  switch (kind) {
    case 'api': {
      const api = spec as SpecOf['api'];
      const group: Reference = { kind: 'group', name: api.group, path: '/group' };
      const { upstream } = api;
      if (upstream.kind === 'cluster')
        return [group, { kind: 'cluster', name: upstream.cluster, path: '/upstream/cluster' }];
      if (upstream.kind === 'weighted') {
        return [
          group,
          ...upstream.clusters.map(({ cluster }, i) => ({
            kind: 'cluster' as const,
            name: cluster,
            path: `/upstream/clusters/${i}/cluster`,
          })),
        ];
      }
      return [group];
    }
    case 'group':
      return ((spec as SpecOf['group']).fleets ?? []).map((name, i) => ({ kind: 'fleet', name, path: `/fleets/${i}` }));
    case 'app': {
      const { grants } = spec as SpecOf['app'];
      return [
        ...(grants?.apis ?? []).map((name, i) => ({ kind: 'api' as const, name, path: `/grants/apis/${i}` })),
        ...(grants?.groups ?? []).map((name, i) => ({ kind: 'group' as const, name, path: `/grants/groups/${i}` })),
      ];
    }
    case 'cluster':
    case 'fleet':
      return [];
  }
}

/** One diagnostic for each reference of `object` to something `exists` does not know. Pure. */
export function danglingReferences(
  object: Ref,
  references: readonly Reference[],
  exists: (key: string) => boolean,
): Diagnostic[] {
  return references
    .filter((reference) => !exists(keyOf(reference)))
    .map((reference) =>
      diagnostic(
        'unknown-reference',
        reference.path,
        `There is no ${reference.kind} "${reference.name}" in this workspace.`,
        `Create the ${reference.kind} first, send both in one change set, or correct the name.`,
        object,
      ),
    );
}
