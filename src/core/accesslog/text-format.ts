import type { AccessLine } from './record.js';

/**
 * Envoy's default text format (Envoy documentation, "Access logging", default format string):
 * `[START_TIME] "METHOD PATH PROTOCOL" RESPONSE_CODE RESPONSE_FLAGS BYTES_RECEIVED BYTES_SENT DURATION UPSTREAM_SERVICE_TIME
 * "X-FORWARDED-FOR" "USER-AGENT" "X-REQUEST-ID" "AUTHORITY" "UPSTREAM_HOST"`.
 *
 * Envoy escapes nothing in it: quotes of a path or a user agent stand there as the client sent them (seen on Envoy 1.40), so a
 * backslash means itself. The line is therefore read from both ends towards the middle: the first part up to the service
 * time has a shape that cannot be mistaken, and the last three texts (request id, authority, host) hold no quotes. Only
 * between `x_forwarded_for` and `user_agent` can a client blur the border; the first `" "` is taken for it.
 *
 * Returns the fields that were there, or undefined when the line has another shape. Takes time linear in the line's length.
 */
export function parseTextLine(line: string): Partial<AccessLine> | undefined {
  const start = /^\[([^\]]{1,64})\] "/.exec(line);
  const middle = MIDDLE.exec(line);
  if (!start?.[1] || !middle || !line.endsWith('"')) return undefined;
  const request = requestLine(line.slice(start[0].length, middle.index));
  const quoted = quotedTail(line.slice(middle.index + middle[0].length, -1));
  if (!request || !quoted) return undefined;
  const [, protocol, code, flags, received, sent, duration, serviceTime] = middle;
  return {
    __time__: milliseconds(start[1]),
    start_time: start[1],
    method: dash(request.method),
    path: dash(request.path),
    protocol: dash(protocol),
    response_code: Number(code),
    response_flags: dash(flags),
    bytes_received: Number(received),
    bytes_sent: Number(sent),
    duration: duration === '-' ? null : Number(duration),
    upstream_service_time: dash(serviceTime),
    x_forwarded_for: dash(quoted[0]),
    user_agent: dash(quoted[1]),
    request_id: dash(quoted[2]),
    authority: dash(quoted[3]),
    upstream_host: dash(quoted[4]),
  };
}

/** From the blank before the protocol to the quote that opens x_forwarded_for. Every part is bounded, so no input is slow. */
const MIDDLE =
  / ([A-Za-z0-9./-]{1,16})" (\d{1,3}) ([A-Za-z0-9_,-]{1,128}) (\d{1,16}) (\d{1,16}) (-|\d{1,16}) (-|[^\s"]{1,32}) "/;

function requestLine(text: string): { method: string; path: string } | undefined {
  const blank = text.indexOf(' ');
  return blank > 0 ? { method: text.slice(0, blank), path: text.slice(blank + 1) } : undefined;
}

/** The five quoted texts, given what stands between the first and the last quote. */
function quotedTail(text: string): readonly [string, string, string, string, string] | undefined {
  const ends: string[] = [];
  let rest = text;
  for (let i = 0; i < 3; i++) {
    const at = rest.lastIndexOf('" "');
    if (at < 0) return undefined;
    ends.unshift(rest.slice(at + 3));
    rest = rest.slice(0, at);
  }
  const border = rest.indexOf('" "');
  if (border < 0) return undefined;
  return [rest.slice(0, border), rest.slice(border + 3), ends[0] as string, ends[1] as string, ends[2] as string];
}

/** Unix milliseconds of an ISO 8601 time as decimal text, or null when it is none (the format can be configured). */
function milliseconds(time: string): string | null {
  const ms = Date.parse(time);
  return Number.isNaN(ms) ? null : String(ms);
}

function dash(value: string | undefined): string | null {
  return value === undefined || value === '-' || value === '' ? null : value;
}
