import { readFileSync } from 'node:fs';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { parseDocument } from 'yaml';
import { type Leaf, leaves } from './describe.js';
import { type Config, ConfigSchema } from './schema.js';

/** Settings as they are read, before the schema has judged them. */
type Tree = { [key: string]: unknown };

/** One fault of the settings: where it was given, what is wrong. */
export interface ConfigFault {
  /** Environment variable or `file.yaml: /json/pointer`. */
  readonly where: string;
  readonly message: string;
}

/** Every fault of the settings at once. */
export class ConfigError extends Error {
  constructor(readonly faults: readonly ConfigFault[]) {
    super(
      `${faults.length === 1 ? 'A setting is' : `${faults.length} settings are`} wrong:\n${faults.map((f) => `  ${f.where}: ${f.message}`).join('\n')}\nAll settings: docs/reference/config.md`,
    );
    this.name = 'ConfigError';
  }
}

/**
 * Reads settings once and returns them frozen, defaults filled in. Variables that begin with PAIFANG_ and mean nothing are
 * faults too, except those of the command line ({@link CLIENT_VARIABLES}).
 *
 * @throws ConfigError with every fault of file and environment.
 */
export function loadConfig(
  env: Record<string, string | undefined>,
  file = env.PAIFANG_CONFIG,
  overrides: Record<string, unknown> = {},
): Config {
  const faults: ConfigFault[] = [];
  const all = leaves();
  const raw: Tree = file ? readFile(file, faults) : {};
  const source = new Map<string, string>();
  for (const leaf of all) {
    const value = env[leaf.env];
    if (value === undefined || value === '') continue;
    const coerced = coerce(value, leaf);
    source.set(`/${leaf.key.replaceAll('.', '/')}`, leaf.env);
    set(raw, leaf.key, coerced);
  }
  for (const [key, value] of Object.entries(overrides)) {
    if (value === undefined) continue;
    source.set(`/${key.replaceAll('.', '/')}`, `--${key}`);
    set(raw, key, value);
  }
  const known = new Set([...all.map((leaf) => leaf.env), ...CLIENT_VARIABLES]);
  for (const name of Object.keys(env))
    if (name.startsWith('PAIFANG_') && !known.has(name))
      faults.push({ where: name, message: 'no setting has this name' });
  for (const leaf of all)
    if (leaf.default !== undefined && get(raw, leaf.key) === undefined) set(raw, leaf.key, leaf.default);
  for (const key of Object.keys(ConfigSchema.properties)) raw[key] ??= {};

  const ajv = new Ajv2020({ allErrors: true, strict: false });
  const validate = ajv.compile(ConfigSchema);
  if (!validate(raw)) {
    for (const error of validate.errors ?? []) {
      const where = source.get(error.instancePath) ?? `${file ?? 'settings'}: ${error.instancePath || '/'}`;
      const extra = error.params as { additionalProperty?: string; allowedValues?: unknown[] };
      const message = extra.additionalProperty
        ? `no setting is called "${extra.additionalProperty}"`
        : extra.allowedValues
          ? `must be one of ${extra.allowedValues.join(', ')}`
          : (error.message ?? 'is wrong');
      faults.push({ where, message });
    }
  }
  if (faults.length > 0) throw new ConfigError(faults);
  return freeze(raw) as unknown as Config;
}

/** Variables that only the client verbs and set-up read. */
export const CLIENT_VARIABLES: readonly string[] = [
  'PAIFANG_CONFIG',
  'PAIFANG_CACHE',
  'PAIFANG_SERVER',
  'PAIFANG_TOKEN',
  'PAIFANG_TOKEN_FILE',
  'PAIFANG_WORKSPACE',
  'PAIFANG_ENVOY_MAX_HEAP_MIB',
  'PAIFANG_ENVOY_MAX_CONNECTIONS',
  'PAIFANG_AK',
  'PAIFANG_SK',
  'PAIFANG_SK_FILE',
];

function readFile(file: string, faults: ConfigFault[]): Tree {
  let content: string;
  try {
    content = readFileSync(file, 'utf8');
  } catch (error) {
    faults.push({ where: file, message: `cannot be read: ${(error as Error).message}` });
    return {};
  }
  const document = parseDocument(content, { uniqueKeys: true });
  for (const error of document.errors)
    faults.push({ where: file, message: error.message.split('\n')[0] ?? 'is not YAML' });
  if (document.errors.length > 0) return {};
  const value: unknown = document.toJS({ maxAliasCount: 100 }) ?? {};
  if (typeof value === 'object' && !Array.isArray(value)) return value as Tree;
  faults.push({ where: file, message: 'must be a mapping of settings' });
  return {};
}

function coerce(value: string, leaf: Leaf): unknown {
  if (leaf.schema.type === 'integer') return /^-?\d+$/.test(value) ? Number(value) : value;
  if (leaf.schema.type === 'boolean') {
    if (/^(true|1|yes|on)$/i.test(value)) return true;
    if (/^(false|0|no|off)$/i.test(value)) return false;
  }
  return value;
}

function get(target: Tree, key: string): unknown {
  return key.split('.').reduce<unknown>((value, part) => (isTree(value) ? value[part] : undefined), target);
}

function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null;
}

function set(target: Tree, key: string, value: unknown): void {
  const parts = key.split('.');
  const last = parts.pop() as string;
  let at = target;
  for (const part of parts) {
    at[part] ??= {};
    const section = at[part];
    // A section given as a scalar stays as it is: the schema check names it.
    if (!isTree(section)) return;
    at = section;
  }
  at[last] = value;
}

function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) for (const child of Object.values(value)) freeze(child);
  return Object.freeze(value);
}
