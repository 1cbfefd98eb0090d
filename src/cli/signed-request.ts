import { readFileSync } from 'node:fs';
import { type Command, Option } from 'commander';
import type { SignedHeaders } from '../core/decision/sign-request.js';
import { usage } from './exit.js';
import { readInput } from './input.js';
import { note } from './terminal.js';

/** Options of the verbs that make a request to a gateway. */
export interface RequestOptions {
  readonly header?: readonly string[];
  readonly data?: string;
  readonly ak?: string;
  readonly sk?: string;
  readonly skFile?: string;
  readonly cover?: string;
  readonly host?: string;
  readonly json?: boolean;
  readonly quiet?: boolean;
}

/** Adds them to a verb. */
export function withRequest(command: Command): Command {
  const collect = (value: string, before: string[] = []) => [...before, value];
  return command
    .option('-H, --header <name: value>', 'a header; may be repeated', collect)
    .option('-d, --data <text|@file>', 'body; @file takes it from a file, @- from standard input')
    .option('--host <name>', 'group to call, as x-gateway-host, where the URL does not carry its host')
    .addOption(new Option('--ak <key>', 'access key of the App').env('PAIFANG_AK'))
    .addOption(
      new Option('--sk <key>', 'secret key; other users can see it here, so prefer the variable or --sk-file').env(
        'PAIFANG_SK',
      ),
    )
    .addOption(new Option('--sk-file <file>', 'file with the secret key').env('PAIFANG_SK_FILE'))
    .option('--cover <names>', 'what the signature covers, in order (default: "(request-target) date digest")');
}

/** A request as it will be sent: nothing about it is normalised any more, because the signature is over these bytes. */
export interface PreparedRequest {
  readonly method: string;
  readonly protocol: 'http:' | 'https:';
  readonly hostname: string;
  readonly port: number;
  /** Path and query for the request line. */
  readonly target: string;
  /** `host` among them; names lower-case; those of the signature included. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: Buffer | undefined;
  /** Absent when the request is not signed. */
  readonly signature?: SignedHeaders;
}

/**
 * Reads body and keys, and signs when there is an access key.
 *
 * @throws CliError (usage) for a URL, header, file or key that cannot be used.
 */
export async function prepare(
  method: string | undefined,
  url: string,
  options: RequestOptions,
): Promise<PreparedRequest> {
  const { protocol, authority, hostname, port, target } = urlParts(url);
  const body = bodyOf(options.data);
  const verb = method ?? (body === undefined ? 'GET' : 'POST');
  if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(verb)) throw usage(`"${verb}" is not a method.`);
  const own = (options.header ?? []).map(headerOf);
  const has = (name: string) => own.some(([key]) => key === name);
  const headers: (readonly [string, string])[] = [...(has('host') ? [] : [['host', authority] as const]), ...own];
  if (options.host !== undefined) headers.push(['x-gateway-host', options.host]);
  if (body !== undefined && !has('content-type')) headers.push(['content-type', 'application/json']);
  const request = { method: verb, protocol, hostname, port, target, body };
  if (options.ak === undefined) return { ...request, headers };

  const { signRequest } = await import('../core/decision/sign-request.js');
  const cover = options.cover?.split(/[\s,]+/).filter((name) => name !== '');
  const toSign = {
    method: verb,
    target,
    headers,
    body,
    accessKey: options.ak,
    secret: secretOf(options),
    nowMs: Date.now(),
  };
  try {
    const signature = signRequest({ ...toSign, ...(cover !== undefined && { cover }) });
    const replaced = new Set(signature.headers.map(([name]) => name));
    return {
      ...request,
      headers: [...headers.filter(([name]) => !replaced.has(name)), ...signature.headers],
      signature,
    };
  } catch (error) {
    if (error instanceof RangeError) throw usage(error.message, 'Give the header with -H, or leave it out of --cover.');
    throw error;
  }
}

// WHATWG URLs resolve dot segments and re-encode; a request line must not differ from what was signed and asked for.
const URL_PARTS = /^(https?:)\/\/((?:\[([0-9a-fA-F:.]+)\]|([^\s/?#:@[\]]+))(?::(\d{1,5}))?)([/?][^#]*)?(?:#.*)?$/;

function urlParts(url: string) {
  const match = URL_PARTS.exec(/^https?:\/\//.test(url) ? url : `http://${url}`);
  const port = Number(match?.[5] ?? (match?.[1] === 'https:' ? 443 : 80));
  if (match === null || port > 65_535)
    throw usage(`"${url}" is not a URL that can be called.`, 'Give it as in http://127.0.0.1:8088/orders?limit=2');
  const rest = match[6] ?? '/';
  const target = (rest.startsWith('/') ? rest : `/${rest}`).replace(/[^\x21-\x7e]/gu, encodeURIComponent);
  return {
    protocol: match[1] as 'http:' | 'https:',
    authority: match[2] as string,
    hostname: (match[3] ?? match[4]) as string,
    port,
    target,
  };
}

function headerOf(text: string): readonly [string, string] {
  const match = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)$/.exec(text);
  if (match === null) throw usage(`"${text}" is not a header.`, 'Give it as in -H "x-request-id: 42".');
  return [(match[1] as string).toLowerCase(), (match[2] as string).trim()];
}

function bodyOf(data: string | undefined): Buffer | undefined {
  if (data === undefined) return undefined;
  if (!data.startsWith('@')) return Buffer.from(data, 'utf8');
  if (data === '@-') return readInput('-');
  try {
    return readFileSync(data.slice(1));
  } catch (error) {
    throw usage(`the body ${data.slice(1)} cannot be read (${(error as NodeJS.ErrnoException).code}).`);
  }
}

function secretOf({ sk, skFile, quiet }: RequestOptions): string {
  const onCommandLine = sk !== undefined && sk !== process.env.PAIFANG_SK;
  if (onCommandLine && !quiet) {
    note('paifang: warning: a secret key on the command line can be seen by other users; use PAIFANG_SK or --sk-file.');
  }
  if (sk !== undefined && (onCommandLine || skFile === undefined)) return sk;
  if (skFile === undefined)
    throw usage('there is an access key but no secret key.', 'Give it with PAIFANG_SK or --sk-file.');
  try {
    return readFileSync(skFile, 'utf8').trim();
  } catch (error) {
    throw usage(`the secret key file ${skFile} cannot be read (${(error as NodeJS.ErrnoException).code}).`);
  }
}
