import type pg from 'pg';

/** Connections of a pool that are open, so that they can be given up without a word to a server that does not answer. */
export class Connections {
  readonly #open = new Set<pg.ClientBase>();

  /** Knows `client` from now on, until it ends. */
  readonly add = (client: pg.ClientBase): void => {
    this.#open.add(client);
    client.once('end', () => this.#open.delete(client));
  };

  /** Gives up all of them: what waits for an answer on one fails at once, with `reason`. */
  cutAll(reason: string): void {
    for (const client of this.#open) cut(client, reason);
  }
}

/**
 * Ends a connection without waiting for its server. Statements under way fail with `reason`, which counts as an outage. What
 * was sent before may still be carried out; a transaction whose commit was not sent never is.
 */
export function cut(client: pg.ClientBase, reason: string): void {
  (client as pg.Client).connection.stream.destroy(Object.assign(new Error(reason), { code: 'ETIMEDOUT' }));
}
