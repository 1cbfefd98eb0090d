import { HeaderValueOption_HeaderAppendAction as Action } from '../../gen/envoy/config/core/v3/base_pb.js';

/** `text` as it stands, where Envoy takes a format string: `%` begins a command there. */
export const literal = (text: string): string => text.replaceAll('%', '%%');

/** What to do when the header is there already. */
export const APPEND_ACTION = { overwrite: Action.OVERWRITE_IF_EXISTS_OR_ADD, ifAbsent: Action.ADD_IF_ABSENT } as const;

/** Sets header `key` to `value`, a format string, as Envoy's HeaderValueOption. An empty value sets nothing unless `keepEmpty`. */
export function headerOption(
  key: string,
  value: string,
  { action = 'overwrite', keepEmpty = false }: { action?: keyof typeof APPEND_ACTION; keepEmpty?: boolean } = {},
): { header: { key: string; value: string }; appendAction: Action; keepEmptyValue: boolean } {
  return { header: { key, value }, appendAction: APPEND_ACTION[action], keepEmptyValue: keepEmpty };
}
