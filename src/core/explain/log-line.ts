import { meaningOfFlag } from '../accesslog/flags.js';
import { isParsed, type ParsedLine, parseBytes } from '../accesslog/parse.js';
import type { AccessLine, AccessRecord, UnparsedLine } from '../accesslog/record.js';
import { codeOf, isSuccess } from '../codes/catalogue.js';
import { codeFromLine, splitFlags } from '../codes/cause.js';

/** Reads a line of the access log (bytes without line feed) and says what it means. Total: never throws. */
export type ReadLine = (bytes: Uint8Array, receivedAt?: number) => AccessRecord | UnparsedLine;

/** {@link parseBytes}, then {@link toRecord}. */
export const readLine: ReadLine = (bytes, receivedAt) => {
  const line = parseBytes(bytes);
  return isParsed(line) ? toRecord(line, receivedAt) : line;
};

/**
 * The line with its code, memo, success and flag meanings. Total.
 *
 * `receivedAt` (Unix milliseconds) stands in for the time of a line that tells none that can be read: `__time__` in
 * milliseconds or seconds (the cloud-native gateway's store uses seconds), else `start_time` as ISO 8601.
 */
export function toRecord(parsed: AccessLine | ParsedLine, receivedAt = 0): AccessRecord {
  const { extra, ...line } = { extra: null, ...parsed };
  const code = codeFromLine(line);
  return {
    line,
    extra,
    workspace: workspaceOf(line),
    time: timeOf(line) ?? receivedAt,
    code,
    memo: codeOf(code)?.memo ?? '',
    success: isSuccess(code),
    flags: splitFlags(line.response_flags).map((flag) => meaningOfFlag(flag, line.response_code_details)),
  };
}

/**
 * Workspace a line belongs to: that of its group, else that of the fleet (`<workspace>/<fleet>`), so that requests for
 * unknown hosts are found too. null for logs of other products.
 */
function workspaceOf(line: AccessLine): string | null {
  if (line.workspace) return line.workspace;
  const slash = line.cluster_id?.indexOf('/') ?? -1;
  return slash > 0 ? (line.cluster_id as string).slice(0, slash) : null;
}

/** Times outside 1970 to 2255 are a foreign clock or a wrong unit, and do not fit the store. */
const LATEST = 9e12;

function timeOf(line: AccessLine): number | undefined {
  const text = line.__time__?.trim() ?? '';
  if (/^\d{1,13}$/.test(text)) {
    const value = Number(text);
    const ms = text.length > 10 ? value : value * 1000;
    if (ms <= LATEST) return ms;
  }
  const parsed = line.start_time ? Date.parse(line.start_time) : Number.NaN;
  return parsed >= 0 && parsed <= LATEST ? parsed : undefined;
}
