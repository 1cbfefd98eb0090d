import { ExtensionWithMatcherSchema } from '../../../gen/envoy/extensions/common/matching/v3/extension_matcher_pb.js';
import { SkipFilterSchema } from '../../../gen/envoy/extensions/filters/common/matcher/action/v3/skip_action_pb.js';
import { LuaSchema } from '../../../gen/envoy/extensions/filters/http/lua/v3/lua_pb.js';
import { HttpRequestHeaderMatchInputSchema } from '../../../gen/envoy/type/matcher/v3/http_inputs_pb.js';
import { any, extension } from '../any.js';
import { HEADER } from '../names.js';

// Scope keys are compared byte by byte. `gsub` gives two values; the parentheses keep the first.
const SCRIPT = `function envoy_on_request(handle)
  local headers = handle:headers()
  local sent = headers:get("${HEADER.host}")
  if sent == nil then return end
  local host = (sent:lower():gsub(":%d*$", ""))
  host = (host:gsub("%.$", ""))
  if host ~= sent then
    headers:replace("${HEADER.host}", host)
    handle:clearRouteCache()
  end
end
`;

/** A host that is its own key: no capital letter, no port, no final dot. */
const IS_KEY = '[^A-Z:]*[^A-Z:.]';

/**
 * Turns the helper header of the host into the key of group lookup: lower case, without port and final dot (RFC 9110 §4.2.3,
 * RFC 3986 §3.2.2), and looks the route up again. Hosts that are their own key skip it and pay nothing.
 *
 * Envoy decides which filters a request has before this runs. For a host in capitals no route is known by then, so a filter
 * that is off until its route turns it on stays off: see {@link FILTERS} for the rule that follows from it.
 */
export const hostCase = any(ExtensionWithMatcherSchema, {
  extensionConfig: extension('lua', LuaSchema, {
    defaultSourceCode: { specifier: { case: 'inlineString', value: SCRIPT } },
  }),
  xdsMatcher: {
    matcherType: {
      case: 'matcherList',
      value: {
        matchers: [
          {
            predicate: {
              matchType: {
                case: 'singlePredicate',
                value: {
                  input: extension('host', HttpRequestHeaderMatchInputSchema, { headerName: HEADER.host }),
                  matcher: {
                    case: 'valueMatch',
                    value: {
                      matchPattern: {
                        case: 'safeRegex',
                        value: { engineType: { case: 'googleRe2', value: {} }, regex: IS_KEY },
                      },
                    },
                  },
                },
              },
            },
            onMatch: { onMatch: { case: 'action', value: extension('skip', SkipFilterSchema, {}) } },
          },
        ],
      },
    },
  },
});
