import { type Resource, type ResourceName, resource, TYPE, type TypeUrl } from '../../src/core/ads/resource.js';
import type { AdsEvent } from '../../src/wire/ads-events.js';
import { AdsServer } from '../../src/wire/ads-server.js';
import { onCleanup } from '../support/cleanup.js';
import { type Response, type Variant, XdsClient } from './xds-client.js';

/** One row of the checklist, over the variants it speaks of. */
export interface Row {
  readonly id: string;
  readonly what: string;
  readonly variants: readonly Variant[];
  run(t: Bench): Promise<void>;
}

export const BOTH: readonly Variant[] = ['delta', 'sotw'];
export const DELTA: readonly Variant[] = ['delta'];
export const SOTW: readonly Variant[] = ['sotw'];
export const FLEET = 'acme/prod';

/** A server of its own for one row, and clients. */
export class Bench {
  readonly events: AdsEvent[] = [];
  #fences: string[] = [];

  private constructor(
    readonly server: AdsServer,
    readonly variant: Variant,
    events: AdsEvent[],
  ) {
    this.events = events;
  }

  static async open(variant: Variant): Promise<Bench> {
    const events: AdsEvent[] = [];
    const server = await AdsServer.start({
      host: '127.0.0.1',
      port: 0,
      nodeToken: 'secret',
      onEvent: (e) => events.push(e),
    });
    onCleanup(() => server.close());
    const bench = new Bench(server, variant, events);
    bench.publish([]);
    return bench;
  }

  /** Upserts resources and removes names. */
  publish(upserts: readonly Resource[], removals: readonly ResourceName[] = [], fleet = FLEET): void {
    this.server.publish(fleet, { upserts, removals });
  }

  client(
    options: { node?: string; fleet?: string; token?: string; paused?: boolean; variant?: Variant } = {},
  ): XdsClient {
    const node = { id: options.node ?? 'node-1', cluster: options.fleet ?? FLEET };
    return new XdsClient(this.server.port, options.variant ?? this.variant, node, options);
  }

  /** A client that has asked for `names` of `type` (none = all) and acknowledged what it got: its first `responses`. */
  async subscribed(type: TypeUrl, names: readonly string[], responses: number): Promise<[XdsClient, Response[]]> {
    const client = this.client();
    client.send({ type, names });
    const got: Response[] = [];
    while (got.length < responses) {
      const response = await client.next(type);
      client.ack(response, names);
      got.push(response);
    }
    return [client, got];
  }

  /**
   * Proves that the server has nothing to say to `client`: what it asks for now is the next thing to arrive. The server
   * takes requests in order and says all it has before it takes the next.
   */
  async idle(client: XdsClient, ignored: (response: Response) => boolean = () => false): Promise<void> {
    const name = `fence-${this.#fences.length}`;
    this.#fences.push(name);
    this.publish([made(TYPE.policy, name, 'x')]);
    client.send({ type: TYPE.policy, names: client.variant === 'delta' ? [name] : this.#fences });
    for (;;) {
      const response = await client.next();
      if (ignored(response)) client.ack(response);
      else if (response.type !== TYPE.policy) throw new Error(`not idle: ${JSON.stringify(response)}`);
      if (response.resources.some((r) => r.text.startsWith(`${name} `))) return;
    }
  }

  /** As `idle`, of a client that has asked for `*`: an empty response may tell it that it has all now. */
  async complete(client: XdsClient): Promise<void> {
    await this.idle(client, (response) => response.resources.length + response.removed.length === 0);
  }

  /** The newest event of a kind. Events come with the requests: fence first. */
  event(kind: AdsEvent['kind']): AdsEvent | undefined {
    return this.events.filter((e) => e.kind === kind).at(-1);
  }
}

/** A resource whose content tells its name: `name text`. */
export function made(type: TypeUrl, name: string, text: string, needs: readonly ResourceName[] = []): Resource {
  return resource(type, name, Buffer.from(`${name} ${text}`), needs);
}

export function clusters(...names: string[]): Resource[] {
  return names.map((name) => made(TYPE.cluster, name, '1'));
}

export function endpoints(...names: string[]): Resource[] {
  return names.map((name) => made(TYPE.endpoint, name, '1'));
}

/** Names of the resources of some responses, sorted. */
export function names(...responses: Response[]): string[] {
  return responses.flatMap((r) => r.resources.map((resource) => resource.text.split(' ')[0] ?? '')).sort();
}
