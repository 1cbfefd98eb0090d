import type { EntityManager } from 'typeorm';
import type { Change } from '../core/compile.js';
import type { EndpointIr } from '../core/ir/cluster.js';
import { answersSince } from '../store/answers.js';
import { type CredentialList, openCredentials } from '../store/credentials.js';
import { endpointsSince, type NewEndpoint } from '../store/endpoints.js';
import type { MasterKey } from '../store/master-key.js';

/** What is joined to objects in force and needs no release: keys, endpoints that registered, and answers of DNS. Empty parts are left out. */
export type Joined = Pick<Change, 'credentials' | 'endpoints' | 'answers'>;

/**
 * The lists that changed after the revision `since` of the workspace (0: all), and the revision they are of. Cost: those lists.
 */
export async function joinedSince(
  manager: EntityManager,
  masterKey: MasterKey,
  workspace: string,
  since: number,
): Promise<{ joined: Joined; revision: number }> {
  const lists = await openCredentials(manager, masterKey, workspace, { since });
  const registered = await endpointsSince(manager, workspace, since);
  const answers = await answersSince(manager, workspace, since);
  const joined: Joined = {
    ...(lists.length > 0 && { credentials: lists.map(credentialsOf) }),
    ...(registered.length > 0 && {
      endpoints: registered.map(({ cluster, endpoints }) => ({ cluster, endpoints: endpoints.map(endpointOf) })),
    }),
    ...(answers.length > 0 && { answers: answers.map(({ type, name, addresses }) => ({ type, name, addresses })) }),
  };
  const revision = [...lists, ...registered, ...answers].reduce(
    (newest, list) => Math.max(newest, list.revision),
    since,
  );
  return { joined, revision };
}

export function credentialsOf({ kind, name, credentials }: CredentialList): NonNullable<Change['credentials']>[number] {
  return { kind, name, credentials };
}

function endpointOf({ host, port, weight, region, zone, room }: NewEndpoint): EndpointIr {
  return { host, port, weight, ...(region !== '' && { place: { region, zone, room } }) };
}
