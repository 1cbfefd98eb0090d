/** The kinds of objects a workspace holds, in the order in which they are written to files and shown. */
export const KINDS = ['fleet', 'cluster', 'group', 'api', 'app'] as const;
export type Kind = (typeof KINDS)[number];

/** How a kind is spelt in URLs and as a key of a definitions file. */
export const PLURAL = {
  fleet: 'fleets',
  cluster: 'clusters',
  group: 'groups',
  api: 'apis',
  app: 'apps',
} as const satisfies Record<Kind, string>;
