import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { type Listener, ListenerSchema } from '../../gen/envoy/config/listener/v3/listener_pb.js';
import { HttpConnectionManagerSchema } from '../../gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { type FleetIr, type ListenerIr } from '../ir/fleet.js';
import { any } from './any.js';
import { httpConnectionManager } from './http-connection-manager.js';

/** Where a connection manager takes its routes from. */
export type RouteSpecifier = NonNullable<
  Extract<MessageInitShape<typeof HttpConnectionManagerSchema>, { routeSpecifier?: unknown }>['routeSpecifier']
>;

/** The listener. All listeners of a fleet serve the same groups. */
export function listenerOf(listener: ListenerIr, fleet: FleetIr): Listener {
  return create(ListenerSchema, {
    name: listener.name,
    statPrefix: listener.name,
    address: {
      address: {
        case: 'socketAddress',
        value: { address: listener.address, portSpecifier: { case: 'portValue', value: listener.port } },
      },
    },
    perConnectionBufferLimitBytes: 1024 * 1024,
    filterChains: [
      {
        filters: [
          {
            name: 'http',
            configType: { case: 'typedConfig', value: any(HttpConnectionManagerSchema, httpConnectionManager(fleet)) },
          },
        ],
      },
    ],
  });
}
