import type { MessageInitShape } from '@bufbuild/protobuf';
import type { OverloadActionSchema, OverloadManagerSchema } from '../../gen/envoy/config/overload/v3/overload_pb.js';
import { DownstreamConnectionsConfigSchema } from '../../gen/envoy/extensions/resource_monitors/downstream_connections/v3/downstream_connections_pb.js';
import { FixedHeapConfigSchema } from '../../gen/envoy/extensions/resource_monitors/fixed_heap/v3/fixed_heap_pb.js';
import { any, duration } from './any.js';

/** What all of an Envoy's clients together may take. */
export interface OverloadLimits {
  /** Connections that all listeners together accept. */
  readonly maxConnections: number;
  /** Bytes of Envoy's heap. */
  readonly maxHeapBytes: number;
}

const HEAP = 'envoy.resource_monitors.fixed_heap';

/** Streams that hold less than 64 KiB are not worth cutting off. */
const SMALLEST_GREEDY_STREAM_LOG2 = 16;

/**
 * Keeps clients from filling the memory. A body whose digest is to be checked is held until it is whole, before anybody knows
 * who sends it: a hundred streams of one connection may hold a hundred of the largest bodies. From 85 % of the heap on, the
 * streams that hold most are cut off; at 95 % requests get 9504 until there is room again
 * (https://www.envoyproxy.io/docs/envoy/latest/configuration/best_practices/edge).
 */
export function overloadManager(limits: OverloadLimits): MessageInitShape<typeof OverloadManagerSchema> {
  return {
    // Bodies come fast: Envoy's default of one second would be long after.
    refreshInterval: duration(100),
    bufferFactoryConfig: { minimumAccountToTrackPowerOfTwo: SMALLEST_GREEDY_STREAM_LOG2 },
    resourceMonitors: [
      {
        name: HEAP,
        configType: {
          case: 'typedConfig',
          value: any(FixedHeapConfigSchema, { maxHeapSizeBytes: BigInt(limits.maxHeapBytes) }),
        },
      },
      {
        name: 'envoy.resource_monitors.global_downstream_max_connections',
        configType: {
          case: 'typedConfig',
          value: any(DownstreamConnectionsConfigSchema, {
            maxActiveDownstreamConnections: BigInt(limits.maxConnections),
          }),
        },
      },
    ],
    actions: [
      action('shrink_heap', { case: 'threshold', value: { value: 0.85 } }),
      // Fifty at a time whenever the pressure has changed, so it must not stand at its highest value before all is used up.
      action('reset_high_memory_stream', {
        case: 'scaled',
        value: { scalingThreshold: 0.85, saturationThreshold: 1 },
      }),
      action('stop_accepting_requests', { case: 'threshold', value: { value: 0.95 } }),
    ],
  };
}

type Trigger = NonNullable<
  NonNullable<MessageInitShape<typeof OverloadActionSchema>['triggers']>[number]
>['triggerOneof'];

function action(name: string, triggerOneof: NonNullable<Trigger>): MessageInitShape<typeof OverloadActionSchema> {
  return { name: `envoy.overload_actions.${name}`, triggers: [{ name: HEAP, triggerOneof }] };
}
