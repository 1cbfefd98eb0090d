import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Command, Option } from 'commander';
import { CliError, EXIT, type Fault, usage } from './exit.js';
import { note } from './terminal.js';
import { whyUnreachable } from './unreachable.js';

/** What every verb that talks to a controller accepts. */
export interface ServerOptions {
  readonly server: string;
  readonly token?: string;
  readonly tokenFile?: string;
  readonly workspace?: string;
  readonly timeout: string;
  readonly json?: boolean;
  readonly quiet?: boolean;
}

const DEFAULT_SERVER = 'http://127.0.0.1:8080';
const DEFAULT_WORKSPACE = 'default';
/** Where `paifang up` keeps the admin token, in its data directory. */
const TOKEN_FILE = 'admin.token';

const CONTROLLER_HELP = 'Controller:';
const OUTPUT_HELP = 'Output:';

/** Adds the options of a verb that talks to a controller. */
export function withServer(command: Command): Command {
  const options = [
    new Option('--server <url>', 'controller to talk to').env('PAIFANG_SERVER').default(DEFAULT_SERVER),
    new Option('--token <token>', 'admin token; other users can see it here, so prefer the variable or a file').env(
      'PAIFANG_TOKEN',
    ),
    new Option('--token-file <file>', `file with the admin token (default: ${TOKEN_FILE} in the data directory)`).env(
      'PAIFANG_TOKEN_FILE',
    ),
    new Option('-w, --workspace <name>', `workspace (default: the file's, else "${DEFAULT_WORKSPACE}")`).env(
      'PAIFANG_WORKSPACE',
    ),
    new Option('--timeout <seconds>', 'longest wait for an answer').default('30'),
  ];
  for (const option of options) command.addOption(option.helpGroup(CONTROLLER_HELP));
  return withOutput(command);
}

/** Adds the options every verb has. */
export function withOutput(command: Command): Command {
  return command
    .addOption(new Option('--json', 'print JSON, errors too').helpGroup(OUTPUT_HELP))
    .addOption(new Option('-q, --quiet', 'print results only').helpGroup(OUTPUT_HELP));
}

/** Moves the options all verbs share behind those of the verb itself, in `command` and what is below it. */
export function sortOptions(command: Command): void {
  const rank = ({ helpGroupHeading }: Option) =>
    helpGroupHeading === CONTROLLER_HELP ? 1 : helpGroupHeading === OUTPUT_HELP ? 2 : 0;
  (command.options as Option[]).sort((a, b) => rank(a) - rank(b));
  for (const below of command.commands) sortOptions(below);
}

/** The workspace to work in: the option, else the one a definitions file names, else `default`. */
export function workspaceOf(
  options: { workspace?: string },
  file?: { readonly name: string; readonly workspace?: string },
): string {
  const own = file?.workspace;
  if (own !== undefined && options.workspace !== undefined && own !== options.workspace) {
    throw usage(
      `${file?.name} is for workspace "${own}", but the command is for workspace "${options.workspace}".`,
      'Leave --workspace (PAIFANG_WORKSPACE) out to take the one of the file, or remove `workspace:` from the file.',
    );
  }
  const workspace = options.workspace ?? own ?? DEFAULT_WORKSPACE;
  if (!/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(workspace)) {
    throw usage(`"${workspace}" cannot be a workspace name.`, 'Use 1 to 63 lower-case letters, digits and "-".');
  }
  return workspace;
}

/** What --limit gives: how many items to show. */
export function countOf(limit: string): number {
  if (!/^[1-9]\d{0,4}$/.test(limit)) throw usage(`--limit takes a number from 1 to 99999, not "${limit}".`);
  return Number(limit);
}

/** Most items of one page of the admin API. */
const LARGEST_PAGE = 1000;

/** What the controller answered. */
export interface Answer<T> {
  readonly status: number;
  readonly headers: Headers;
  readonly body: T;
}

/** The admin API as seen from a terminal: JSON in and out, every failure a CliError that says what to do. */
export class AdminClient {
  readonly #base: URL;
  readonly #token: string | undefined;
  readonly #timeoutMs: number;

  constructor(options: ServerOptions) {
    this.#base = serverUrl(options.server);
    this.#token = tokenOf(options);
    this.#timeoutMs = secondsToMs(options.timeout);
    const { protocol, hostname } = this.#base;
    const loopback = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(hostname);
    if (this.#token !== undefined && protocol === 'http:' && !loopback && !options.quiet) {
      note(`paifang: warning: the admin token goes to ${hostname} unencrypted; use https.`);
    }
  }

  /**
   * Asks `path` (encoded, from the root) and returns the answer of a 2xx.
   *
   * @throws CliError refused (3) with every fault of the problem for 4xx, internal (5) for 5xx, unreachable (4) when
   * nothing answers or something that is no controller does.
   */
  async ask<T>(method: string, path: string, body?: unknown): Promise<Answer<T>> {
    const init: RequestInit = {
      method,
      redirect: 'manual',
      signal: AbortSignal.timeout(this.#timeoutMs),
      headers: {
        accept: 'application/json, application/problem+json',
        ...(this.#token !== undefined && { authorization: `Bearer ${this.#token}` }),
        ...(body !== undefined && {
          'content-type': method === 'PATCH' ? 'application/merge-patch+json' : 'application/json',
        }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    };
    const url = new URL(path.replace(/^\//, ''), this.#base);
    const { response, text } = await fetch(url, init)
      .then(async (response) => ({ response, text: await response.text() }))
      .catch((error: unknown) => {
        throw this.#unreachable(error);
      });
    const parsed = parse(text);
    if (response.status >= 400) throw this.#refusal(response.status, parsed);
    if (response.status >= 300 || (parsed === undefined && text !== '')) {
      throw new CliError(
        EXIT.unreachable,
        `${this.#base.origin} answered ${response.status} without JSON; it is not a controller of Paifang.`,
        "Name the controller's admin address with --server or PAIFANG_SERVER.",
      );
    }
    return { status: response.status, headers: response.headers, body: parsed as T };
  }

  /** The first `most` items of a paged list; follows the cursors. */
  async list<T>(path: string, most = Number.POSITIVE_INFINITY, filter = new URLSearchParams()): Promise<T[]> {
    const items: T[] = [];
    const query = new URLSearchParams(filter);
    for (;;) {
      query.set('limit', String(Math.min(most - items.length, LARGEST_PAGE)));
      const { body } = await this.ask<{ items: T[]; next?: string }>('GET', `${path}?${query}`);
      items.push(...body.items);
      if (body.next === undefined || body.items.length === 0 || items.length >= most) return items;
      query.set('cursor', body.next);
    }
  }

  #unreachable(error: unknown): CliError {
    if (error instanceof DOMException && error.name === 'TimeoutError') {
      return new CliError(
        EXIT.unreachable,
        `${this.#base.origin} did not answer within ${this.#timeoutMs / 1000} s.`,
        'Wait longer with --timeout, or look at the log of the controller.',
      );
    }
    return new CliError(
      EXIT.unreachable,
      `no controller answers at ${this.#base.origin} (${whyUnreachable(error)}).`,
      'Start one with `paifang up` or `paifang controller`, or name another with --server or PAIFANG_SERVER.',
    );
  }

  #refusal(status: number, body: unknown): CliError {
    const problem = (typeof body === 'object' && body !== null ? body : {}) as {
      title?: string;
      detail?: string;
      errors?: Fault[];
    };
    const what = problem.detail ?? problem.title ?? 'no reason given';
    const faults = Array.isArray(problem.errors) ? problem.errors : [];
    if (status === 401) {
      const had = this.#token === undefined ? 'no admin token was given' : 'the admin token is not accepted';
      return new CliError(
        EXIT.refused,
        `${had} (401).`,
        'The controller shows the token once, at its first start. Give it with PAIFANG_TOKEN or --token-file.',
      );
    }
    return new CliError(
      status >= 500 ? EXIT.internal : EXIT.refused,
      `the controller answers ${status}: ${what}`,
      '',
      faults,
    );
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function serverUrl(text: string): URL {
  const url = URL.parse(text.endsWith('/') ? text : `${text}/`);
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw usage(`"${text}" is not the URL of a controller.`, `Give it as in ${DEFAULT_SERVER}.`);
  }
  return url;
}

function secondsToMs(text: string): number {
  const seconds = Number(text);
  if (!(seconds > 0 && seconds <= 86_400)) throw usage(`--timeout takes seconds between 0 and 86400, not "${text}".`);
  return Math.ceil(seconds * 1000);
}

/** The token: option or variable, else the named file, else the one `paifang up` left in its data directory. */
function tokenOf({ token, tokenFile }: ServerOptions): string | undefined {
  if (token) return token.trim();
  const file = tokenFile || join(process.env.PAIFANG_DATA_DIR || '.paifang', TOKEN_FILE);
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    if (!tokenFile) return undefined;
    throw usage(`the token file ${file} cannot be read (${(error as NodeJS.ErrnoException).code}).`);
  }
}
