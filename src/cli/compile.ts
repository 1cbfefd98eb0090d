import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type Command, Option } from 'commander';
import type { Compiler, StoredObject } from '../core/compile.js';
import { hasErrors } from '../core/diagnostic.js';
import type { ApiSpec } from '../core/model/api.js';
import { KINDS, PLURAL } from '../core/model/kind.js';
import { withOutput } from './admin.js';
import type { Compilation } from './compilation.js';
import { yamlOf } from './dump.js';
import { EXIT, usage } from './exit.js';
import { action, json, line, note } from './terminal.js';

const STAGES = ['diagnostics', 'ir', 'xds', 'policy'] as const;
type Stage = (typeof STAGES)[number];

interface CompileOptions {
  readonly output?: string;
  readonly emit?: string;
  readonly edit?: string;
  readonly workspace?: string;
  readonly json?: boolean;
  readonly quiet?: boolean;
}

/** `paifang compile`: a definitions file through the compiler; asks no server. */
export function addCompile(program: Command): void {
  withOutput(program.command('compile'))
    .argument('<file>', 'definitions file, YAML or JSON; - for standard input')
    .option('-o, --output <directory>', 'write what is emitted here, one file a resource type')
    .option(
      '--emit <stages>',
      `what to emit, comma separated: ${STAGES.join(', ')} (default: all with -o, else diagnostics)`,
    )
    .option('--edit <api>', 'then change this API and compile again, to see what an edit costs')
    .addOption(
      new Option('-w, --workspace <name>', 'workspace to compile for (default: that of the file)').env(
        'PAIFANG_WORKSPACE',
      ),
    )
    .summary('compile a definitions file; show what Envoy would be told')
    .description(
      'Compiles a definitions file as publishing would: diagnostics, the resolved gateway (ir), what Envoys are told (xds) and what edges are told (policy). Says how long it took and how much memory. Needs no server and writes nothing outside -o.',
    )
    .addHelpText(
      'after',
      `
Examples:
  paifang compile gateway.yaml
  paifang compile gateway.yaml --emit xds | less
  paifang compile gateway.yaml -o out/           out/diagnostics.yaml, out/<fleet>/gateway.yaml, out/<fleet>/route.yaml, …
  paifang compile big.yaml --edit list-orders    how many groups one edit recompiles

Exit status: 0 compiled, 1 the file has errors, 2 it cannot be read.`,
    )
    .action(action(run));
}

async function run(file: string, options: CompileOptions) {
  const stages = stagesOf(options);
  const { compileFile } = await import('./compilation.js');
  const { countOf, nameOf, printDiagnostics } = await import('./definitions-file.js');
  const compilation = compileFile(file, options.workspace);
  const { diagnostics, result } = compilation;
  const emitted = await emit(compilation, stages);
  const edit =
    options.edit !== undefined && result
      ? editOne(result.compiler, result.definitions.apis ?? [], options.edit)
      : undefined;
  const figures = figuresOf(compilation);
  if (options.json) {
    json({
      ok: result !== undefined,
      diagnostics,
      ...figures,
      ...(edit && { edit }),
      ...(emitted.size > 0 && { emitted: Object.fromEntries(emitted) }),
    });
    return hasErrors(diagnostics) ? EXIT.finding : EXIT.ok;
  }
  printDiagnostics(diagnostics);
  await write(emitted, options);
  const say = options.output === undefined && emitted.size > 0 ? note : line;
  if (result === undefined) note(`${countOf(diagnostics)} in ${nameOf(file)}.`);
  else if (!options.quiet) {
    const count = countOf(diagnostics);
    say(
      `${counted(figures.apis, 'API')} in ${counted(figures.groups, 'group')} compiled in ${figures.compileMs} ms (read in ${figures.readMs} ms), peak RSS ${figures.peakRssMiB} MiB${count ? `, ${count}` : ''}.`,
    );
    if (edit)
      say(
        `Edit of API ${edit.api}: recompiled ${edit.recompiled} of ${counted(edit.groups, 'group')} in ${edit.ms} ms.`,
      );
  }
  return result === undefined ? EXIT.finding : EXIT.ok;
}

function stagesOf({ emit, output }: CompileOptions): ReadonlySet<Stage> {
  if (emit === undefined) return new Set(output === undefined ? [] : STAGES);
  const names = emit.split(',').map((name) => name.trim());
  const unknown = names.find((name) => !(STAGES as readonly string[]).includes(name));
  if (unknown !== undefined)
    throw usage(`--emit does not know "${unknown}".`, `It takes ${STAGES.join(', ')}, comma separated.`);
  return new Set(names as Stage[]);
}

function figuresOf({ result, readMs, compileMs }: Compilation) {
  const counts = KINDS.map((kind) => [PLURAL[kind], result?.definitions[PLURAL[kind]]?.length ?? 0] as const);
  return {
    ...(Object.fromEntries(counts) as Record<(typeof PLURAL)[keyof typeof PLURAL], number>),
    readMs: Math.round(readMs),
    compileMs: Math.round(compileMs),
    peakRssMiB: Math.round(process.resourceUsage().maxRSS / 1024),
  };
}

/** What the stages give, by file name. */
async function emit({ result, diagnostics }: Compilation, stages: ReadonlySet<Stage>): Promise<Map<string, unknown>> {
  const files = new Map<string, unknown>();
  if (stages.has('diagnostics')) files.set('diagnostics', diagnostics);
  if (result === undefined || stages.size === 0) return files;
  const { compiler } = result;
  for (const key of compiler.fleetKeys()) {
    const fleet = key.slice(key.indexOf('/') + 1);
    if (stages.has('ir')) files.set(`${fleet}/gateway`, compiler.gateway(fleet));
    if (stages.has('xds') || stages.has('policy')) await emitResources(compiler, key, fleet, stages, files);
  }
  return files;
}

async function emitResources(
  compiler: Compiler,
  key: string,
  fleet: string,
  stages: ReadonlySet<Stage>,
  files: Map<string, unknown>,
): Promise<void> {
  const { resourceJson } = await import('../core/xds/resource-json.js');
  const resources = [...compiler.resources(key)].sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const type of new Set(resources.map((resource) => resource.type))) {
    const stage = type.includes('/paifang.v1.') ? 'policy' : 'xds';
    if (!stages.has(stage)) continue;
    const ofType = resources.filter((resource) => resource.type === type);
    const noun = type.slice(type.lastIndexOf('.') + 1);
    files.set(
      `${fleet}/${noun}`,
      ofType.map((resource) => ({ name: resource.name, version: resource.version, resource: resourceJson(resource) })),
    );
  }
}

async function write(emitted: ReadonlyMap<string, unknown>, { output, quiet }: CompileOptions): Promise<void> {
  for (const [name, value] of emitted) {
    const text = await yamlOf(value);
    if (output === undefined) {
      process.stdout.write(`# ${name}\n---\n${text}`);
      continue;
    }
    const path = join(output, `${name}.yaml`);
    try {
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, text);
    } catch (error) {
      throw usage(`${path} cannot be written (${(error as NodeJS.ErrnoException).code}).`);
    }
  }
  if (output !== undefined && emitted.size > 0 && !quiet) note(`${emitted.size} files written to ${output}.`);
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/** Changes one API, as an edit in the console would, and compiles that. */
function editOne(compiler: Compiler, apis: readonly ApiSpec[], name: string) {
  const stored = compiler.find('api', name) as StoredObject<'api'> | undefined;
  if (stored === undefined) {
    throw usage(`the file has no API "${name}" to edit.`, apis[0] ? `It has, for example, "${apis[0].name}".` : '');
  }
  const release = compiler.release + 1;
  const upsert: StoredObject<'api'> = { ...stored, spec: edited(stored.spec), release };
  const groups = new Set(apis.map((api) => api.group)).size;
  const started = performance.now();
  const update = compiler.apply({ release, upserts: [upsert], removals: [] });
  const ms = Math.round((performance.now() - started) * 100) / 100;
  return { api: name, recompiled: update.recompiled.groups.length, groups, ms };
}

function edited(spec: ApiSpec): ApiSpec {
  if (spec.upstream.kind !== 'mock')
    return { ...spec, timeoutMs: (spec.timeoutMs ?? 3000) === 3_600_000 ? 3000 : (spec.timeoutMs ?? 3000) + 1 };
  return { ...spec, upstream: { ...spec.upstream, body: `${spec.upstream.body ?? ''} ` } };
}
