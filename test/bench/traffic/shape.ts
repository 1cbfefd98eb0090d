import type { Target } from './load-process.js';

/** Groups of every bench that measures changes; each has one host. */
export const GROUPS = 200;
/** The API that publish edits: Envoy itself answers it, with the number of the edit. */
export const EDITED = { name: 'edited', group: 'g0', host: 'g0.bench.example', path: '/edited' };
/** Answer of the edited API after edit `n`. */
export const answer = (n: number) => ({ kind: 'mock', body: `edit ${n}` });

/** Definitions of `routes` APIs in {@link GROUPS} groups, all but the first of one backend. */
export function definitions(routes: number, backendPort: number) {
  const apis: object[] = [
    { name: EDITED.name, group: EDITED.group, match: { path: EDITED.path }, upstream: answer(0) },
  ];
  for (let n = 1; n < routes; n++) apis.push(api(n, 'backend'));
  return {
    clusters: [{ name: 'backend', endpoints: [{ host: '127.0.0.1', port: backendPort }] }],
    groups: Array.from({ length: GROUPS }, (_, n) => ({ name: `g${n}`, hosts: [`g${n}.bench.example`] })),
    apis,
  };
}

/** API number `n`. */
export function api(n: number, cluster: string, more: object = {}) {
  return {
    name: `api-${n}`,
    group: `g${n % GROUPS}`,
    match: { path: pathOf(n), methods: ['GET'] },
    upstream: { kind: 'cluster', cluster },
    retry: { attempts: 1 },
    ...more,
  };
}

/** What to ask API number `n` for. */
export function target(n: number): Target {
  return { host: `g${n % GROUPS}.bench.example`, path: pathOf(n) };
}

const pathOf = (n: number) => `/service-${n}/items`;
