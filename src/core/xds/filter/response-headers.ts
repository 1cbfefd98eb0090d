import type { Any } from '@bufbuild/protobuf/wkt';
import {
  HeaderMutationPerRouteSchema,
  HeaderMutationSchema,
} from '../../../gen/envoy/extensions/filters/http/header_mutation/v3/header_mutation_pb.js';
import { CODES, codeFromStatus } from '../../codes/catalogue.js';
import type { FleetIr } from '../../ir/fleet.js';
import { any } from '../any.js';
import { headerOption } from '../format-string.js';
import { METADATA } from '../names.js';

/** Puts the request id on every response, in place of a backend's own. */
export function responseHeaders(fleet: FleetIr): Any {
  return any(HeaderMutationSchema, {
    mutations: {
      responseMutations: [
        { action: { case: 'append', value: headerOption(fleet.headers.requestId, '%REQ(X-REQUEST-ID)%') } },
      ],
    },
  });
}

const ASKED = `xds.route_metadata.filter_metadata['${METADATA}'].result_code_header == 'true'`;
const FROM_BACKEND = "response.code_details == 'via_upstream'";

/**
 * For a group in which APIs ask for it: the result code on responses of the backend, by status. Stands at the group's
 * RouteConfiguration and asks the route's metadata, because per-route settings of this filter add up.
 */
export function resultCodeHeader(fleet: FleetIr): Any {
  const value = (expression: string) => `%CEL(${FROM_BACKEND} && ${ASKED} ? (${expression}) : '')%`;
  return any(HeaderMutationPerRouteSchema, {
    mutations: {
      // A status without a code of its own misses the map, which sets nothing; then the code of its class stands.
      responseMutations: [CODE_BY_STATUS, CODE_BY_CLASS].map((expression) => ({
        action: {
          case: 'append' as const,
          value: headerOption(fleet.headers.resultCode, value(expression), { action: 'ifAbsent' }),
        },
      })),
    },
  });
}

const CODE_BY_STATUS = `{${statuses()
  .map((status) => `${status}:'${codeFromStatus(status)}'`)
  .join(',')}}[response.code]`;

const CODE_BY_CLASS = [2, 3, 4]
  .map((digit) => `response.code < ${digit + 1}00 ? '${codeFromStatus(digit * 100 + 99)}' : `)
  .concat(`'${codeFromStatus(599)}'`)
  .join('');

/** Final statuses whose code is not that of their class. */
function statuses(): number[] {
  const ofClass = (status: number) => codeFromStatus(Math.floor(status / 100) * 100 + 99);
  const known = new Set([...CODES.values()].map((row) => row.httpStatus));
  return [...known]
    .filter((status) => status >= 200 && codeFromStatus(status) !== ofClass(status))
    .sort((a, b) => a - b);
}
