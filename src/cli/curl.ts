import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { Command } from 'commander';
import { codeOf, isSuccess } from '../core/codes/catalogue.js';
import { withOutput } from './admin.js';
import { CliError, EXIT, usage } from './exit.js';
import { type PreparedRequest, prepare, type RequestOptions, withRequest } from './signed-request.js';
import { action, json, note, paint, visible } from './terminal.js';

interface CurlOptions extends RequestOptions {
  readonly request?: string;
  readonly include?: boolean;
  readonly fail?: boolean;
  readonly maxTime: string;
}

/** `paifang curl`: signs a request, sends it and explains the answer. */
export function addCurl(program: Command): void {
  withOutput(withRequest(program.command('curl')))
    .argument('<url>', 'where to send it')
    .option('-X, --request <method>', 'method (default: GET, or POST with a body)')
    .option('-i, --include', 'print status and headers before the body')
    .option('-f, --fail', 'exit with 1 when the gateway itself answered with an error')
    .option('--max-time <seconds>', 'longest wait for the whole answer', '30')
    .summary('send a signed request and explain the answer')
    .description(
      'Signs a request when there is an access key, sends it and prints the body. When the gateway itself answered with an error, its result code and what to do go to standard error.',
    )
    .addHelpText(
      'after',
      `
Examples:
  export PAIFANG_AK=my-key PAIFANG_SK_FILE=my-key.secret
  paifang curl http://127.0.0.1:8088/orders/42 --host orders.example.com
  paifang curl -i -d '{"item":7}' http://127.0.0.1:8088/orders
  paifang curl http://127.0.0.1:8088/weather          no key: the request is not signed

Exit status: 0 there was an answer, 1 with --fail when it was an error of the gateway, 4 no answer.`,
    )
    .action(action(curl));
}

async function curl(url: string, options: CurlOptions) {
  const seconds = Number(options.maxTime);
  if (!(seconds > 0 && seconds <= 86_400))
    throw usage(`--max-time takes seconds between 0 and 86400, not "${options.maxTime}".`);
  const prepared = await prepare(options.request, url, options);
  const { response, body } = await send(prepared, seconds * 1000);
  if (options.json) {
    json({ status: response.statusCode, headers: response.headers, body: textOrBase64(body) });
  } else {
    if (options.include) process.stdout.write(`${head(response)}\n\n`);
    process.stdout.write(body);
    if (process.stdout.isTTY && body.length > 0 && body.at(-1) !== 0x0a) process.stdout.write('\n');
  }
  const error = gatewayError(response, body);
  if (error === undefined) return EXIT.ok;
  if (!options.quiet && !options.json) tell(error, response.statusCode ?? 0, prepared.signature !== undefined);
  return options.fail ? EXIT.finding : EXIT.ok;
}

function send(prepared: PreparedRequest, timeoutMs: number): Promise<{ response: IncomingMessage; body: Buffer }> {
  const { protocol, hostname, port, method, target, headers, body } = prepared;
  const started = protocol === 'https:' ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    const unreachable = (error: NodeJS.ErrnoException) =>
      reject(
        error.name === 'TimeoutError' || error.code === 'ABORT_ERR'
          ? new CliError(
              EXIT.unreachable,
              `${hostname}:${port} did not answer within ${timeoutMs / 1000} s.`,
              'Wait longer with --max-time.',
            )
          : new CliError(
              EXIT.unreachable,
              `${hostname}:${port} cannot be called (${error.code ?? error.message}).`,
              'Is the gateway running there? `paifang up` runs one.',
            ),
      );
    const outgoing = started(
      { hostname, port, method, path: target, setHost: false, agent: false, signal: AbortSignal.timeout(timeoutMs) },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => resolve({ response, body: Buffer.concat(chunks) }));
        response.on('error', unreachable);
      },
    );
    outgoing.on('error', unreachable);
    for (const name of new Set(headers.map(([each]) => each))) {
      const values = headers.filter(([each]) => each === name).map(([, value]) => value);
      outgoing.setHeader(name, values.length === 1 ? (values[0] as string) : values);
    }
    if (body !== undefined) outgoing.setHeader('content-length', body.length);
    outgoing.end(body);
  });
}

function head(response: IncomingMessage): string {
  const lines = [`HTTP/${response.httpVersion} ${response.statusCode} ${response.statusMessage ?? ''}`.trimEnd()];
  for (let i = 0; i < response.rawHeaders.length; i += 2)
    lines.push(`${response.rawHeaders[i]}: ${response.rawHeaders[i + 1]}`);
  return lines.join('\n');
}

interface GatewayError {
  readonly code: string;
  readonly memo: string;
  readonly tips: string;
  /** What exactly was wrong, where the edge tells it. */
  readonly detail: string | undefined;
  readonly requestId: string | undefined;
}

/** The error the gateway itself made, if this is one: its JSON body has a code, a memo and a request id. */
function gatewayError(response: IncomingMessage, body: Buffer): GatewayError | undefined {
  if (!String(response.headers['content-type']).startsWith('application/json')) return undefined;
  let value: Partial<Record<'code' | 'memo' | 'tips' | 'detail' | 'requestId', unknown>> | null;
  try {
    value = JSON.parse(body.toString('utf8'));
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const { code, memo, tips, detail, requestId } = value;
  if (typeof code !== 'string' || typeof memo !== 'string' || requestId === undefined || isSuccess(code))
    return undefined;
  const known = codeOf(code);
  if (known?.memo !== memo) return undefined;
  return {
    code,
    memo,
    tips: known.tipsEn || String(tips ?? ''),
    requestId: typeof requestId === 'string' ? requestId : undefined,
    detail: typeof detail === 'string' ? detail : undefined,
  };
}

function tell({ code, memo, tips, detail, requestId }: GatewayError, status: number, signed: boolean): void {
  note(`\n${paint('red', `${code} ${memo}`, process.stderr)} (HTTP ${status}, made by the gateway)`);
  if (detail) note(`  ${visible(detail)}`);
  note(`  ${tips}`);
  if (code === '2100' && !signed)
    note('  This request was not signed: give --ak and --sk-file, or PAIFANG_AK and PAIFANG_SK.');
  if (requestId) note(`  More: paifang logs --request-id ${visible(requestId)}`);
}

function textOrBase64(body: Buffer): string | { base64: string } {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(body);
  } catch {
    return { base64: body.toString('base64') };
  }
}
