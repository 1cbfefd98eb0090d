import { CODES, type ResultCode } from '../../core/codes/catalogue.js';
import type { Allow, Deny, HeaderPair } from '../../core/decision/decision.js';

/** Names and links that a fleet may set; what the edge puts into refusals. */
export interface ReplyStyle {
  readonly resultCodeHeader: string;
  readonly memoHeader: string;
  /** Prefix of the `docs` link of an error body. */
  readonly docsUrl: string;
}

export const DEFAULT_STYLE: ReplyStyle = Object.freeze({
  resultCodeHeader: 'x-gateway-result-code',
  memoHeader: 'x-gateway-memo',
  docsUrl: '/codes/',
});

const ALLOW_BYTES = new WeakMap<Allow, Buffer>();

/**
 * A CheckResponse that lets the request pass, with its gRPC prefix. Sets and removes headers, and puts the App's id into the
 * metadata. No result code: what becomes of the request is not known yet. Remembered per decision object.
 */
export function encodeAllow(decision: Allow): Buffer {
  let bytes = ALLOW_BYTES.get(decision);
  if (bytes === undefined) {
    const ok = concat([
      ...decision.setHeaders.map((pair) => message(2, overwrite(pair))),
      ...decision.removeHeaders.map((name) => text(5, name)),
    ]);
    const parts = [message(1, NOTHING), message(3, ok)];
    if (decision.app) parts.push(metadata(appFields(decision.app)));
    bytes = framed(parts);
    ALLOW_BYTES.set(decision, bytes);
  }
  return bytes;
}

/**
 * A CheckResponse that refuses, with its gRPC prefix: status, result-code and memo headers, a JSON body
 * `{code, memo, tips, detail, requestId, docs}`, and metadata `{result_code, app_id?, app_name?, http?, detail}` for the log.
 *
 * Where the contract says status 400 the reply is made with 403 and the metadata `http` says "400": Envoy closes HTTP/1.1
 * connections on replies that are born with 400, so its reply mapper has to make it one.
 */
export function encodeDeny(
  decision: Deny,
  requestId: string,
  style: ReplyStyle = DEFAULT_STYLE,
  logged = decision.detail,
): Buffer {
  const code = CODES.get(decision.code) as ResultCode;
  const head = templateOf(code, style);
  const body = `${head.bodyStart}${JSON.stringify(decision.detail)},"requestId":${JSON.stringify(requestId)}${head.bodyEnd}`;
  const fields: HeaderPair[] = [['result_code', code.code]];
  if (decision.app) fields.push(...appFields(decision.app));
  if (code.httpStatus === 400) fields.push(['http', '400']);
  fields.push(['detail', logged]);
  return framed([PERMISSION_DENIED, message(2, concat([head.fields, text(3, body)])), metadata(fields)]);
}

/** Who called, for the log. */
function appFields({ id, name }: { readonly id: string; readonly name: string }): HeaderPair[] {
  return [
    ['app_id', id],
    ['app_name', name],
  ];
}

interface Template {
  /** Status and constant headers of the DeniedHttpResponse. */
  readonly fields: Buffer;
  readonly bodyStart: string;
  readonly bodyEnd: string;
}
const TEMPLATES = new WeakMap<ReplyStyle, Map<string, Template>>();

function templateOf(code: ResultCode, style: ReplyStyle): Template {
  const templates = TEMPLATES.get(style) ?? new Map<string, Template>();
  TEMPLATES.set(style, templates);
  let template = templates.get(code.code);
  if (!template) {
    const { code: number, memo, tipsEn: tips } = code;
    const status = code.httpStatus === 400 ? 403 : code.httpStatus;
    const headers: HeaderPair[] = [
      [style.resultCodeHeader, number],
      [style.memoHeader, memo],
      ['content-type', 'application/json'],
    ];
    template = {
      fields: concat([message(1, varintField(1, status)), ...headers.map((pair) => message(2, overwrite(pair)))]),
      bodyStart: `${JSON.stringify({ code: number, memo, tips }).slice(0, -1)},"detail":`,
      bodyEnd: `,"docs":${JSON.stringify(style.docsUrl + number)}}`,
    };
    templates.set(number, template);
  }
  return template;
}

const NOTHING = Buffer.alloc(0);
const OVERWRITE_IF_EXISTS_OR_ADD = 2;

/** core.v3.HeaderValueOption that replaces. Values are byte strings or text; both end up as valid UTF-8 for protobuf. */
function overwrite([name, value]: HeaderPair): Buffer {
  return concat([message(1, concat([text(1, name), text(2, value)])), varintField(3, OVERWRITE_IF_EXISTS_OR_ADD)]);
}

/** dynamic_metadata: a Struct of strings. */
function metadata(fields: readonly HeaderPair[]): Buffer {
  return message(
    4,
    concat(fields.map(([key, value]) => message(1, concat([text(1, key), message(2, text(3, value))])))),
  );
}

function framed(parts: readonly Buffer[]): Buffer {
  const content = concat([Buffer.alloc(5), ...parts]);
  content.writeUInt32BE(content.length - 5, 1);
  return content;
}

function message(field: number, content: Buffer): Buffer {
  return concat([Buffer.from([(field << 3) | 2]), lengthOf(content.length), content]);
}

function text(field: number, value: string): Buffer {
  return message(field, Buffer.from(value, 'utf8'));
}

function varintField(field: number, value: number): Buffer {
  return concat([Buffer.from([field << 3]), lengthOf(value)]);
}

function lengthOf(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  while (rest > 127) {
    bytes.push((rest & 127) | 128);
    rest >>>= 7;
  }
  bytes.push(rest);
  return Buffer.from(bytes);
}

function concat(parts: readonly Buffer[]): Buffer {
  return Buffer.concat(parts);
}

/** google.rpc.Status with code 7; any code but 0 makes Envoy take `denied_response`. */
const PERMISSION_DENIED = message(1, varintField(1, 7));
