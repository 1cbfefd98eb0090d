import { type Diagnostic, diagnostic } from '../diagnostic.js';
import type { SpecOf } from './definitions.js';
import type { Report } from './fault.js';
import type { Kind } from './kind.js';
import { checkApi } from './rules-api.js';
import { checkCluster } from './rules-cluster.js';
import { checkFleet } from './rules-fleet.js';
import { checkGroup } from './rules-group.js';

/**
 * Everything that can be said of one object alone and that its schema cannot say: what Envoy would refuse, and what users
 * would regret. The spec must conform to its schema. Pure; never throws. Rules across objects are the compiler's.
 *
 * @returns findings with `object`, and paths relative to the spec.
 */
export function checkSpec<K extends Kind>(kind: K, spec: SpecOf[K]): Diagnostic[] {
  const found: Diagnostic[] = [];
  const report: Report = (code, path, message, hint) => {
    found.push(diagnostic(code, path, message, hint, { kind, name: spec.name }));
  };
  RULES[kind](spec, report);
  return found;
}

const RULES: { readonly [K in Kind]: (spec: SpecOf[K], report: Report) => void } = {
  fleet: checkFleet,
  cluster: checkCluster,
  group: checkGroup,
  api: checkApi,
  // An App is names and switches; what can be wrong with its grants is a matter of other objects.
  app: () => {},
};
