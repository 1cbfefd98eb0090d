import { ConfigSchema } from './schema.js';

export interface SettingDescription {
  /** Dotted path in the file, e.g. `admin.port`. */
  readonly key: string;
  readonly env: string;
  readonly description: string;
  readonly default: unknown;
  readonly type: string;
  readonly secret: boolean;
}

/** What of a schema's node matters here. */
interface Node {
  readonly properties?: Record<string, Node>;
  readonly env: string;
  readonly description: string;
  readonly default?: unknown;
  readonly type?: string;
  readonly enum?: unknown[];
  readonly writeOnly?: boolean;
}

/** A setting with what its value is checked by. */
export interface Leaf extends SettingDescription {
  readonly schema: { type?: string; enum?: unknown[] };
}

/** All settings in the order of the schema. Pure. */
export function leaves(): Leaf[] {
  const found: Leaf[] = [];
  const walk = (schema: { properties?: Record<string, Node> }, prefix: string): void => {
    for (const [name, child] of Object.entries(schema.properties ?? {})) {
      const key = prefix ? `${prefix}.${name}` : name;
      if (child.properties) walk(child, key);
      else
        found.push({
          key,
          env: child.env,
          description: child.description,
          default: child.default,
          type: child.enum ? child.enum.join(' | ') : (child.type ?? ''),
          secret: child.writeOnly === true,
          schema: child,
        });
    }
  };
  walk(ConfigSchema as unknown as Node, '');
  return found;
}

/** All settings in the order of the schema; source of docs/reference/config.md. Pure. */
export function describeSettings(): SettingDescription[] {
  return leaves().map(({ schema: _, ...description }) => description);
}
