import type { CheckInput } from '../../src/core/decision/decision.js';
import { HmacKey } from '../../src/core/decision/hmac-key.js';
import type { App, Caller, Policy, ServiceKey, SignaturePolicy, Tables } from '../../src/core/decision/tables.js';

/** Ids the inputs and tables of {@link inputOf} and {@link tablesOf} agree on. */
export const POLICY = 'p0';
export const API = 'api0';
export const GROUP = 'group0';

/** A request as a decision sees it; header names in any case, several of one name allowed. */
export function inputOf(request: {
  method?: string;
  target?: string;
  headers?: readonly (readonly [string, string])[];
  body?: Uint8Array;
  policy?: string;
  apiId?: string;
  groupId?: string;
  backendTarget?: string;
}): CheckInput {
  const {
    headers = [],
    method = 'GET',
    target = '/',
    policy = POLICY,
    apiId = API,
    groupId = GROUP,
    ...rest
  } = request;
  return {
    ...rest,
    method,
    target,
    policy,
    apiId,
    groupId,
    header(name) {
      const values = headers.filter(([key]) => key.toLowerCase() === name).map(([, value]) => value.trim());
      return values.length === 0 ? undefined : values.join(', ');
    },
  };
}

/** Tables with one policy and one caller. `caller` and `app` replace parts of them; `callers: []` knows nobody. */
export function tablesOf(options: {
  policy?: Partial<SignaturePolicy> | 'none';
  resign?: Policy['resign'];
  accessKey?: string;
  secret?: string;
  app?: Partial<App>;
  caller?: Partial<Record<keyof Caller, unknown>>;
  serviceKey?: ServiceKey;
}): Tables {
  const app: App = {
    id: 'app0',
    name: 'shop',
    workspace: 'default',
    tenant: 'default',
    enabled: true,
    grantedApiIds: new Set([API]),
    grantedGroupIds: new Set(),
    ...options.app,
  };
  const caller = {
    accessKey: options.accessKey ?? 'ak',
    app,
    key: new HmacKey(Buffer.from(options.secret ?? 'sk')),
    enabled: true,
    ...options.caller,
  } as Caller;
  const signature: SignaturePolicy = {
    requiredHeaders: [],
    digest: 'when-present',
    clockSkewSeconds: 900,
    tolerant: false,
    ...(options.policy === 'none' ? {} : options.policy),
  };
  const policy: Policy = {
    name: POLICY,
    ...(options.policy !== 'none' && { signature }),
    ...(options.resign && { resign: options.resign }),
  };
  return {
    policy: (name) => (name === POLICY ? policy : undefined),
    caller: (key) => (key === caller.accessKey ? caller : undefined),
    serviceKey: (id) => (id === options.serviceKey?.clusterId ? options.serviceKey : undefined),
  };
}
