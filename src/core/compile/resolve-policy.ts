import { createHash } from 'node:crypto';
import type { PolicyIr } from '../ir/policy.js';
import type { ApiSpec } from '../model/api.js';
import { frozen } from './frozen.js';

/**
 * What the edge has to do on a route; undefined: nothing, the edge is not asked.
 *
 * @param resignClusterId id of the cluster whose key signs requests to the backend, if one does.
 */
export function resolvePolicy(auth: ApiSpec['auth'], resignClusterId: string | undefined): PolicyIr | undefined {
  const signed = auth?.type === 'signature' ? auth : undefined;
  if (!signed && resignClusterId === undefined) return undefined;
  const content: Omit<PolicyIr, 'name'> = {
    ...(resignClusterId !== undefined && { resignClusterId }),
    ...(signed && {
      signature: {
        dialect: signed.dialect ?? 'sofa',
        requiredHeaders: [...(signed.requiredHeaders ?? ['(request-target)'])].sort(),
        digest: signed.digest ?? 'when-present',
        clockSkewSeconds: signed.clockSkewSeconds ?? 900,
        tolerant: signed.tolerant ?? false,
      },
    }),
  };
  const name = createHash('sha256').update(sortedJson(content)).digest('hex').slice(0, 16);
  return frozen({ name, ...content });
}

function sortedJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(sortedJson).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([key, inner]) => `${JSON.stringify(key)}:${sortedJson(inner)}`).join(',')}}`;
}
