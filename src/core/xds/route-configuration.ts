import { create, toBinary } from '@bufbuild/protobuf';
import {
  RouteSchema,
  type VirtualHost,
  VirtualHostSchema,
} from '../../gen/envoy/config/route/v3/route_components_pb.js';
import { RouteConfigurationSchema } from '../../gen/envoy/config/route/v3/route_pb.js';
import type { FleetIr } from '../ir/fleet.js';
import type { GroupIr, RouteIr } from '../ir/group.js';
import { concat, lengthDelimited } from './encoded.js';
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

/** Numbers of repeated fields whose messages are encoded one by one. */
const FIELD = { virtualHosts: 2, routes: 3 } as const;

/**
 * The route table of a group, an encoded RouteConfiguration. Its hosts were matched by their scopes, so it has one virtual
 * host for all. Each API's route is encoded once and remembered: an edit costs the encoding of one route, and copying the
 * bytes of its group.
 *
 * @param longestList up to how many APIs the routes are a list.
 */
export function routeConfiguration(group: GroupIr, fleet: FleetIr, longestList = LONGEST_LIST): Uint8Array {
  const entries = group.routes.map((ir) => ({ ir, route: encodedRoute(ir, group, fleet) }));
  const asList = entries.length <= longestList;
  const asksForCode = group.routes.some((route) => route.action.kind === 'forward' && route.resultCodeHeader);
  const bodyBytes = Math.max(
    ...group.routes.map(({ action }) => (action.kind === 'mock' ? utf8Length(action.body) : 0)),
    0,
  );
  const table = create(RouteConfigurationSchema, {
    name: routeConfigurationName(group),
    virtualHosts: [
      {
        name: routeConfigurationName(group),
        domains: ['*'],
        ...(!asList && { matcher: routeMatcher(entries, LAST) }),
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
  if (!asList) return toBinary(RouteConfigurationSchema, table);
  const [{ name, domains, ...host }] = table.virtualHosts as [VirtualHost];
  // Fields in the order of their numbers, as if the routes had been in the message: equal content has equal bytes.
  const hostBytes = concat(
    toBinary(VirtualHostSchema, create(VirtualHostSchema, { name, domains })),
    ...[...entries.map(({ route }) => route), LAST].map((route) => lengthDelimited(FIELD.routes, route)),
    toBinary(VirtualHostSchema, { ...host, name: '', domains: [] }),
  );
  return concat(
    toBinary(RouteConfigurationSchema, create(RouteConfigurationSchema, { name: table.name })),
    lengthDelimited(FIELD.virtualHosts, hostBytes),
    toBinary(RouteConfigurationSchema, { ...table, name: '', virtualHosts: [] }),
  );
}

const LAST = toBinary(RouteSchema, noApiRoute());

/** Routes by the fleet and the resolved route they were made of, both of which stay the same objects while they are unchanged. */
const made = new WeakMap<FleetIr, WeakMap<RouteIr, { readonly group: string; readonly bytes: Uint8Array }>>();

function encodedRoute(route: RouteIr, group: GroupIr, fleet: FleetIr): Uint8Array {
  const ofFleet = made.get(fleet) ?? new WeakMap();
  made.set(fleet, ofFleet);
  const known = ofFleet.get(route);
  if (known?.group === group.id) return known.bytes;
  const bytes = toBinary(RouteSchema, apiRoute(route, group, fleet));
  ofFleet.set(route, { group: group.id, bytes });
  return bytes;
}

const utf8Length = (text: string): number => new TextEncoder().encode(text).length;
