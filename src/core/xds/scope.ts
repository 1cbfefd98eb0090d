import { create } from '@bufbuild/protobuf';
import {
  type ScopedRouteConfiguration,
  ScopedRouteConfigurationSchema,
} from '../../gen/envoy/config/route/v3/scoped_route_pb.js';
import type { GroupIr } from '../ir/group.js';
import { routeConfigurationName, scopeName } from './names.js';

/** Leads requests for `host` to the route table of the group. */
export function scopeOf(host: string, group: GroupIr): ScopedRouteConfiguration {
  return create(ScopedRouteConfigurationSchema, {
    name: scopeName(host),
    routeConfigurationName: routeConfigurationName(group),
    key: { fragments: [{ type: { case: 'stringKey', value: host } }] },
  });
}
