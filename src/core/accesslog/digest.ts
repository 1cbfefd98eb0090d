import type { AccessRecord } from './record.js';

/** The 24 fields of a digest line in the documented order, by the product's own names. null is written as `-`. */
export const DIGEST_FIELDS = [
  'method',
  'path',
  'success',
  'resultCode',
  'cost',
  'appId',
  'workspaceId',
  'groupName',
  'routerName',
  'serviceId',
  'targetMethod',
  'targetPath',
  'clientIP',
  'serverIP',
  'frontendProtocol',
  'backendProtocol',
  'dataEncodingProtocol',
  'async',
  'requestSize',
  'responseSize',
  'uId',
  'zone',
  'clientTraceId',
  'instanceId',
] as const;

export type DigestField = (typeof DIGEST_FIELDS)[number];

/** One line of mosng-digest.log. */
export interface DigestEntry {
  /** Unix milliseconds. */
  readonly time: number;
  readonly level: string;
  readonly traceId: string | null;
  readonly fields: Readonly<Record<DigestField, string | null>>;
}

export interface DigestOptions {
  /** Minutes east of UTC in which the time is written: the line itself does not name its zone. */
  readonly utcOffsetMinutes: number;
  /** Zone of the node (last two places of the topology), where it has one. */
  readonly zone?: string;
  /** Value of `instanceId`; by default the node id on the line. */
  readonly instanceId?: string;
}

/** {@link formatDigest} of {@link digestEntry}. Without line feed. */
export function digestLine(record: AccessRecord, options: DigestOptions): string {
  return formatDigest(digestEntry(record, options), options.utcOffsetMinutes);
}

/**
 * What the digest says of a request. `path` is without query: the digest is widely copied, and queries carry secrets.
 * Fields the gateway does not have (`targetMethod`, `dataEncodingProtocol`, `async`, `uId`) are null.
 */
export function digestEntry(record: AccessRecord, options: Omit<DigestOptions, 'utcOffsetMinutes'> = {}): DigestEntry {
  const { line } = record;
  return {
    time: record.time,
    level: 'INFO',
    traceId: orNull(line.trace_id ?? line.request_id),
    fields: {
      method: orNull(line.method),
      path: orNull(line.path?.split('?', 1)[0] ?? null),
      success: record.success ? 'Y' : 'N',
      resultCode: record.code,
      cost: line.duration === null ? null : `${line.duration}ms`,
      appId: orNull(line.app_id),
      workspaceId: orNull(record.workspace),
      groupName: orNull(line.group_id),
      routerName: orNull(line.api_id),
      serviceId: orNull(line.api_id),
      targetMethod: null,
      targetPath: orNull(line.target_path?.split('?', 1)[0] ?? null),
      clientIP: orNull(line.downstream_remote_address),
      serverIP: orNull(line.upstream_host),
      frontendProtocol: frontend(line.protocol),
      backendProtocol: orNull(line.backend_protocol),
      dataEncodingProtocol: null,
      async: null,
      requestSize: orNull(line.bytes_received),
      responseSize: orNull(line.bytes_sent),
      uId: null,
      zone: orNull(options.zone ?? null),
      clientTraceId: orNull(line.client_trace_id),
      instanceId: orNull(options.instanceId ?? line.node),
    },
  };
}

/**
 * `YYYY-MM-DD HH:mm:ss,SSS [INFO]  - [traceId](24 fields, comma separated)`, the client's trace id in brackets of its own.
 *
 * The product's own format has no escaping, so a path with a comma breaks it. Here each field is percent-encoded (bytes of
 * UTF-8, capital digits) where it holds `% , ( ) [ ]`, a control character, a Unicode line break, or is exactly `-`; all else
 * stands as it is, so lines look like the product's. Unpaired surrogates become U+FFFD.
 */
export function formatDigest(entry: DigestEntry, utcOffsetMinutes: number): string {
  const values = DIGEST_FIELDS.map((name) => {
    const value = encode(entry.fields[name]);
    return name === 'clientTraceId' ? `[${value}]` : value;
  });
  const time = formatTime(entry.time, utcOffsetMinutes);
  return `${time} [${encode(entry.level)}]  - [${encode(entry.traceId)}](${values.join(',')})`;
}

/**
 * Reads a line of {@link formatDigest} back, and lines of the original product as far as they are unambiguous: there an
 * empty field means nothing too. Returns undefined for any other text. Never throws.
 */
export function parseDigestLine(text: string, utcOffsetMinutes: number): DigestEntry | undefined {
  const match = /^([\d :,-]{23}) \[([^[\]]{1,32})\] {1,2}- \[([^[\]]*)\]\((.*)\)\r?$/.exec(text);
  const time = match?.[1] === undefined ? undefined : parseTime(match[1], utcOffsetMinutes);
  const values = match?.[4]?.split(',');
  if (!match || time === undefined || values?.length !== DIGEST_FIELDS.length) return undefined;
  const fields = {} as Record<DigestField, string | null>;
  for (const [index, name] of DIGEST_FIELDS.entries()) {
    const value = values[index] as string;
    fields[name] = decode(name === 'clientTraceId' ? value.replace(/^\[(.*)\]$/, '$1') : value);
  }
  return { time, level: decode(match[2] as string) ?? '-', traceId: decode(match[3] as string), fields };
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what must not get into a line.
const UNSAFE = /[%,()[\]\u0000-\u001f\u007f-\u009f\u2028\u2029\ud800-\udfff]/gu;
const bytesOf = new TextEncoder();
const textOf = new TextDecoder('utf-8', { ignoreBOM: true });

function encode(value: string | null): string {
  if (value === null || value === '') return '-';
  if (value === '-') return '%2D';
  // With the u flag the pattern meets surrogates only where they are unpaired; the encoder makes U+FFFD of them.
  return value.replace(UNSAFE, (character) =>
    Array.from(bytesOf.encode(character), (byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join(''),
  );
}

function decode(value: string): string | null {
  if (value === '-' || value === '') return null;
  return value.replace(/(?:%[0-9A-Fa-f]{2})+/g, (run) =>
    textOf.decode(Uint8Array.from(run.slice(1).split('%'), (digits) => Number.parseInt(digits, 16))),
  );
}

function formatTime(ms: number, utcOffsetMinutes: number): string {
  const iso = new Date(ms + utcOffsetMinutes * 60_000).toISOString();
  return `${iso.slice(0, 10)} ${iso.slice(11, 19)},${iso.slice(20, 23)}`;
}

function parseTime(text: string, utcOffsetMinutes: number): number | undefined {
  const ms = Date.parse(`${text.slice(0, 10)}T${text.slice(11, 19)}.${text.slice(20)}Z`);
  return Number.isNaN(ms) ? undefined : ms - utcOffsetMinutes * 60_000;
}

function frontend(protocol: string | null): string | null {
  const version = /^HTTP\/([123])/.exec(protocol ?? '')?.[1];
  return version ? `SofaGw-Http${version}` : orNull(protocol);
}

function orNull(value: string | number | null): string | null {
  return value === null || value === '' ? null : String(value);
}
