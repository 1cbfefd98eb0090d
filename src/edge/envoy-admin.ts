const LIMIT_MS = 5000;

/**
 * Answer of Envoy's admin interface.
 * @throws Error saying what to check when Envoy does not answer within 5 s or answers with an error.
 */
export async function askEnvoy(adminUrl: string, path: string, method: 'GET' | 'POST' = 'GET'): Promise<string> {
  let response: Response;
  try {
    response = await fetch(new URL(path, adminUrl), { method, signal: AbortSignal.timeout(LIMIT_MS) });
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause.message : String(error);
    throw new Error(
      `Envoy's admin at ${adminUrl} does not answer (${cause}); check that Envoy runs and PAIFANG_ENVOY_ADMIN.`,
    );
  }
  const text = await response.text();
  if (!response.ok)
    throw new Error(`Envoy's admin answered ${response.status} to ${method} ${path}: ${text.slice(0, 200)}`);
  return text;
}

/** Kinds of the contract that Envoy holds, and where its dump has them. */
const DUMPS = {
  RouterGroup: { resource: 'dynamic_route_configs', wrapper: 'route_config', id: 'name' },
  Router: { resource: 'dynamic_route_configs', wrapper: 'route_config', id: 'name' },
  Service: { resource: 'dynamic_active_clusters', wrapper: 'cluster', id: 'name' },
  Server: { resource: 'dynamic_endpoint_configs', wrapper: 'endpoint_config', id: 'cluster_name' },
} as const;
export type EnvoyType = keyof typeof DUMPS;
export const ENVOY_TYPES = Object.keys(DUMPS) as readonly EnvoyType[];

interface Dumped {
  readonly version_info?: string;
  readonly last_updated?: string;
  readonly [wrapper: string]: unknown;
}

/**
 * What Envoy has in force of one object, by the name the contract uses: group id (RouterGroup), `groupId|apiId` (Router),
 * cluster id (Service, Server). Undefined when it has none.
 * @throws Error when Envoy does not answer.
 */
export async function inForce(adminUrl: string, type: EnvoyType, name: string): Promise<object | undefined> {
  const { resource, wrapper, id } = DUMPS[type];
  const [key = '', apiId] = name.split('|');
  const pattern = `^${key.replace(/[^A-Za-z0-9_-]/g, '\\$&')}$`;
  const query = new URLSearchParams({ resource, name_regex: pattern, ...(type === 'Server' && { include_eds: '' }) });
  const dump = JSON.parse(await askEnvoy(adminUrl, `/config_dump?${query}`)) as { configs?: readonly Dumped[] };
  const found = dump.configs?.find((entry) => (entry[wrapper] as Record<string, unknown> | undefined)?.[id] === key);
  if (!found) return undefined;
  const config = found[wrapper] as object;
  const content = type === 'Router' ? routesOf(config, apiId ?? '') : config;
  return content && { name, version: found.version_info ?? '', updatedAt: found.last_updated ?? '', content };
}

/** Every object within a RouteConfiguration that is a route of this name; routes may stand deep inside matcher trees. */
function routesOf(config: object, apiId: string): object[] | undefined {
  const found: object[] = [];
  const look = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    if ('match' in value && 'name' in value && value.name === apiId) found.push(value);
    else for (const child of Object.values(value)) look(child);
  };
  look(config);
  return found.length > 0 ? found : undefined;
}
