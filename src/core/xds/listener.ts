import { create } from '@bufbuild/protobuf';
import { type Listener, ListenerSchema } from '../../gen/envoy/config/listener/v3/listener_pb.js';
import { HttpConnectionManagerSchema } from '../../gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import type { FleetIr, ListenerIr } from '../ir/fleet.js';
import { any } from './any.js';
import { httpConnectionManager } from './http-connection-manager.js';

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
