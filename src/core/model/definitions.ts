import { type Static, Type } from 'typebox';
import { ApiSpec } from './api.js';
import { AppSpec } from './app.js';
import { ClusterSpec } from './cluster.js';
import { FleetSpec } from './fleet.js';
import { GroupSpec } from './group.js';
import type { Kind } from './kind.js';
import { WorkspaceName } from './name.js';

/** A definitions file: everything one workspace should hold. */
export const Definitions = Type.Object(
  {
    workspace: Type.Optional(WorkspaceName),
    fleets: Type.Optional(Type.Array(FleetSpec)),
    clusters: Type.Optional(Type.Array(ClusterSpec)),
    groups: Type.Optional(Type.Array(GroupSpec)),
    apis: Type.Optional(Type.Array(ApiSpec)),
    apps: Type.Optional(Type.Array(AppSpec)),
  },
  { additionalProperties: false },
);
export type Definitions = Static<typeof Definitions>;

/** Schema of each kind; the one source of types, validation, OpenAPI and reference documentation. */
export const SPEC = { fleet: FleetSpec, cluster: ClusterSpec, group: GroupSpec, api: ApiSpec, app: AppSpec } as const;
export interface SpecOf {
  fleet: FleetSpec;
  cluster: ClusterSpec;
  group: GroupSpec;
  api: ApiSpec;
  app: AppSpec;
}
export type Spec = SpecOf[Kind];
