import { ConfigSchema } from '../../../gen/envoy/extensions/filters/http/set_filter_state/v3/set_filter_state_pb.js';
import { any } from '../any.js';
import { HEADER, STATE } from '../names.js';

/** Keeps the key of the group lookup for the log: the helper header itself is gone when the log is written. */
export const remember = any(ConfigSchema, {
  onRequestHeaders: [
    {
      key: { case: 'objectKey', value: STATE.host },
      factoryKey: 'envoy.string',
      value: {
        case: 'formatString',
        value: {
          format: {
            case: 'textFormatSource',
            value: { specifier: { case: 'inlineString', value: `%REQ(${HEADER.host})%` } },
          },
        },
      },
      readOnly: true,
    },
  ],
});
