import { create } from '@bufbuild/protobuf';
import { type RouteConfiguration, RouteConfigurationSchema } from '../../gen/envoy/config/route/v3/route_pb.js';
import type { FleetIr } from '../ir/fleet.js';
import type { GroupIr } from '../ir/group.js';
import { AUTHZ_OFF } from './filter/ext-authz.js';
import { resultCodeHeader } from './filter/response-headers.js';
import { routeMatcher } from './matcher.js';
import { groupMetadata, metadata } from './metadata.js';
import { FILTER, HEADER, routeConfigurationName } from './names.js';
import { apiRoute, noApiRoute } from './route.js';

/** Above this many APIs a matcher tree is cheaper for Envoy than trying route after route. */
export const LONGEST_LIST = 100;

/** What Envoy allows the body of a direct response unless told, in bytes. */
const DEFAULT_BODY_BYTES = 4096;

/**
 * The route table of a group. Its hosts were matched by their scopes, so it has one virtual host for all.
 *
 * @param longestList up to how many APIs the routes are a list.
 */
export function routeConfiguration(group: GroupIr, fleet: FleetIr, longestList = LONGEST_LIST): RouteConfiguration {
  const last = noApiRoute();
  const entries = group.routes.map((ir) => ({ ir, route: apiRoute(ir, group, fleet) }));
  const asList = entries.length <= longestList;
  const asksForCode = group.routes.some((route) => route.action.kind === 'forward' && route.resultCodeHeader);
  const bodyBytes = Math.max(
    ...group.routes.map(({ action }) => (action.kind === 'mock' ? utf8Length(action.body) : 0)),
    0,
  );
  return create(RouteConfigurationSchema, {
    name: routeConfigurationName(group),
    virtualHosts: [
      {
        name: routeConfigurationName(group),
        domains: ['*'],
        ...(asList
          ? { routes: [...entries.map(({ route }) => route), last] }
          : { matcher: routeMatcher(entries, last) }),
        metadata: metadata(groupMetadata(group)),
      },
    ],
    requestHeadersToRemove: [HEADER.host, HEADER.path],
    // A backend cannot speak for the gateway. Mocks and mappers set these later, so routes must come after the table.
    responseHeadersToRemove: [fleet.headers.resultCode, fleet.headers.memo],
    mostSpecificHeaderMutationsWins: true,
    typedPerFilterConfig: {
      [FILTER.authz]: AUTHZ_OFF,
      ...(asksForCode && { [FILTER.responseHeaders]: resultCodeHeader(fleet) }),
    },
    ...(bodyBytes > DEFAULT_BODY_BYTES && { maxDirectResponseBodySizeBytes: bodyBytes }),
  });
}

const utf8Length = (text: string): number => new TextEncoder().encode(text).length;
