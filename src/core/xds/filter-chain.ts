import type { Any } from '@bufbuild/protobuf/wkt';
import { RouterSchema } from '../../gen/envoy/extensions/filters/http/router/v3/router_pb.js';
import type { FleetIr } from '../ir/fleet.js';
import { any } from './any.js';
import { extAuthz } from './filter/ext-authz.js';
import { hostCase } from './filter/host-case.js';
import { pathGuard } from './filter/path-guard.js';
import { remember } from './filter/remember.js';
import { responseHeaders } from './filter/response-headers.js';
import { FILTER } from './names.js';

/** A place in the chain. */
export interface FilterPlace {
  readonly name: string;
  /** Why it stands here. */
  readonly why: string;
  readonly config: (fleet: FleetIr) => Any;
}

/**
 * The HTTP filters in the order requests pass them; responses pass them backwards.
 *
 * None is `disabled` until a route turns it on. Envoy settles that before host-case has run, when a host in capitals has no
 * route yet, so such a filter would be left out for good: `Host: API.example.com` would pass unsigned. A filter for some
 * routes only stands here with settings that do nothing, or is turned off by the group and on by the route.
 */
export const FILTERS: readonly FilterPlace[] = [
  {
    name: FILTER.hostCase,
    why: 'settles which group the request is for; everything below reads the route',
    config: () => hostCase,
  },
  {
    name: FILTER.responseHeaders,
    why: 'last on responses: sees the final status, and also replies of the filters below. Takes settings of the group on the way in',
    config: responseHeaders,
  },
  { name: FILTER.remember, why: 'the log needs the key of the group for every outcome below', config: () => remember },
  {
    name: FILTER.pathGuard,
    why: 'before all that decides by path: nothing may be granted for a path that means another one',
    config: () => pathGuard,
  },
  { name: FILTER.authz, why: 'the caller is settled before anything is spent on the request', config: extAuthz },
  { name: FILTER.router, why: 'Envoy wants it last', config: () => any(RouterSchema, {}) },
];
