import { request } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import type { Command } from 'commander';
import { withOutput } from './admin.js';
import { CliError, EXIT, type Exit, usage } from './exit.js';
import { facts } from './table.js';
import { action, json, line, note, paint, visible } from './terminal.js';
import { whyUnreachable } from './unreachable.js';

interface DrillOptions {
  readonly seconds: string;
  readonly edge?: string;
  readonly probe?: string;
  readonly host?: string;
  readonly json?: boolean;
  readonly quiet?: boolean;
}

/** The edge's account of a drill, as `GET /tool/drill` answers. */
interface Report {
  readonly phase: 'away' | 'returning' | 'done';
  readonly seconds: number;
  readonly config: { readonly source: string; readonly ageSeconds?: number };
  readonly coldStart: {
    readonly kind: 'off' | 'waiting' | 'refused' | 'served';
    readonly reason?: string;
    readonly afterMs?: number;
    readonly resources?: Readonly<Record<string, number>>;
  };
  readonly checks: Readonly<Record<string, number>>;
  readonly envoy?: { readonly requests: number; readonly failed: number };
  readonly handBackMs?: number;
}

const DEFAULT_PORT = '23460';
const PROBE_PAUSE_MS = 100;
const PROBE_MS = 5_000;
const ASK_MS = 10_000;
/** What the edge may take beyond the outage to come back and to say so. */
const OVER_MS = 75_000;

/** `paifang drill`: outages on purpose. */
export function addDrill(program: Command): void {
  const drill = program.command('drill').summary('make an outage on purpose, and tell what it did');
  drill.description('Outages on purpose, on one node, bounded in time.');
  withOutput(drill.command('controller-outage'))
    .option('--seconds <n>', 'how long, 1 to 600', '30')
    .option(
      '--edge <url>',
      `tool port of the edge (default: http://127.0.0.1:${DEFAULT_PORT}, or the port in PAIFANG_EDGE_TOOL_PORT)`,
    )
    .option('--probe <url>', 'ask this of the gateway all the while, and compare with its answer before')
    .option('--host <name>', 'Host of the probes')
    .summary('take the controller away from the edge of this machine')
    .description(
      'Cuts the edge of this machine off from the controller for some seconds and reports: requests answered and failed, where the configuration came from and how old it was, what an Envoy that had started meanwhile would have been given, and how long the edge took to come back.',
    )
    .addHelpText(
      'after',
      `
The running Envoy keeps its own connection to the controller: it cannot be told to drop it. That it goes on without one is its
own doing; what the drill tries is the edge, and with it the start of an Envoy. Publish nothing meanwhile that brings new
policies: Envoy would have them before its edge.

Examples:
  paifang drill controller-outage --seconds 10
  paifang drill controller-outage --probe http://127.0.0.1:8088/orders --host orders.example.com

Exit status: 0 nothing was lost, 1 something was, 3 the edge refused (its controller is away or silent), 4 no edge answers.`,
    )
    .action(action(controllerOutage));
}

async function controllerOutage(options: DrillOptions): Promise<Exit> {
  const seconds = Number(options.seconds);
  if (!Number.isInteger(seconds) || seconds < 1 || seconds > 600)
    throw usage(`--seconds takes a whole number from 1 to 600, not "${options.seconds}".`);
  const edge = edgeUrl(options.edge);
  if (options.probe !== undefined) urlOf(options.probe, '--probe');
  const usual = options.probe === undefined ? undefined : await ask(options.probe, options.host);
  if (usual !== undefined && typeof usual !== 'number')
    throw new CliError(EXIT.unreachable, `${options.probe} does not answer before the drill: ${usual}.`);
  await askEdge(edge, 'POST', `/tool/drill/controller-outage?seconds=${seconds}`);
  if (!options.quiet && !options.json) note(`The controller is away from this edge for ${seconds} s.`);
  const probes = { answered: 0, failed: 0, failures: {} as Record<string, number> };
  let report: Report;
  const end = performance.now() + seconds * 1000 + OVER_MS;
  do {
    await delay(PROBE_PAUSE_MS);
    report = (await askEdge(edge, 'GET', '/tool/drill')) as Report;
    if (usual === undefined) continue;
    const status = await ask(options.probe as string, options.host);
    if (status === usual) probes.answered++;
    else {
      probes.failed++;
      probes.failures[String(status)] = (probes.failures[String(status)] ?? 0) + 1;
    }
  } while (report.phase !== 'done' && performance.now() < end);
  const isLost = probes.failed > 0 || report.coldStart.kind === 'refused' || report.handBackMs === undefined;
  if (options.json) json({ ...report, ...(usual !== undefined && { probes }), lost: isLost });
  else print(report, usual === undefined ? undefined : probes);
  return isLost ? EXIT.finding : EXIT.ok;
}

function print(
  { config, coldStart, checks, envoy, handBackMs }: Report,
  probes: { answered: number; failed: number; failures: Record<string, number> } | undefined,
): void {
  const counts = (map: Readonly<Record<string, number>>) =>
    Object.entries(map)
      .map(([name, count]) => `${visible(name)} × ${count}`)
      .join(', ') || 'none';
  const served = coldStart.kind === 'served';
  line(
    facts([
      ['probes', probes && `${probes.answered} answered as before, ${probes.failed} not`],
      ['unlike before', probes && probes.failed > 0 ? counts(probes.failures) : undefined],
      ['requests at Envoy', envoy && `${envoy.requests}, ${envoy.failed} of them answered with 5xx`],
      ['edge decisions', counts(checks)],
      ['configuration', `from ${config.source}, ${config.ageSeconds ?? '?'} s old at the end`],
      [
        'a starting Envoy',
        served ? `has ${counts(coldStart.resources ?? {})} after ${coldStart.afterMs} ms` : coldStart.reason,
      ],
      ['back in step', handBackMs === undefined ? paint('red', 'not within a minute') : `after ${handBackMs} ms`],
    ]),
  );
}

/** The edge to ask: as given, else at the port that the environment names, else at the usual one. */
function edgeUrl(given: string | undefined): URL {
  if (given !== undefined) return urlOf(given, '--edge');
  const port = process.env.PAIFANG_EDGE_TOOL_PORT || DEFAULT_PORT;
  if (!/^[1-9]\d{0,4}$/.test(port) || Number(port) > 65_535)
    throw usage(`PAIFANG_EDGE_TOOL_PORT is "${port}", which is no port.`, 'Correct it, or name the edge with --edge.');
  return new URL(`http://127.0.0.1:${port}`);
}

function urlOf(text: string, option: string): URL {
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol))
    throw usage(`${option} takes a URL, not "${text}".`, `Give it as in ${option} http://127.0.0.1:${DEFAULT_PORT}.`);
  return url;
}

/** @throws CliError when the edge refuses or does not answer. */
async function askEdge(edge: URL, method: string, path: string): Promise<unknown> {
  const hint =
    'Run this on the node. The port of its edge is PAIFANG_EDGE_TOOL_PORT there: set it here too, or give --edge.';
  const { response, text } = await fetch(new URL(path, edge), { method, signal: AbortSignal.timeout(ASK_MS) })
    .then(async (response) => ({ response, text: await response.text() }))
    .catch((error: unknown) => {
      const why = whyUnreachable(error, ASK_MS);
      throw new CliError(EXIT.unreachable, `No edge answers at ${edge.origin} (${why}).`, hint);
    });
  let body: { error?: string };
  try {
    body = JSON.parse(text) as { error?: string };
  } catch {
    const what = `${edge.origin} answered ${response.status} without JSON; it is not the tool port of an edge.`;
    throw new CliError(EXIT.unreachable, what, hint);
  }
  if (!response.ok) throw new CliError(EXIT.refused, body.error ?? `The edge answered ${response.status}.`);
  return body;
}

/** Status of an answer, or why there was none. */
function ask(url: string, host: string | undefined): Promise<number | string> {
  return new Promise((resolve) => {
    const call = request(url, { timeout: PROBE_MS, ...(host !== undefined && { headers: { host } }) }, (response) => {
      response.resume();
      response.on('end', () => resolve(response.statusCode ?? 0));
      response.on('error', (error) => resolve(whyUnreachable(error)));
    });
    call.on('timeout', () => call.destroy(new Error(`no answer in ${PROBE_MS / 1000} s`)));
    call.on('error', (error) => resolve(whyUnreachable(error)));
    call.end();
  });
}
