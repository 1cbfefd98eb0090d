import { Server, ServerCredentials, type ServerDuplexStream, status } from '@grpc/grpc-js';
import { type Resource, TYPE, type TypeUrl } from '../core/ads/resource.js';
import { emptyRoute } from '../core/ads/synthetic.js';
import { decodeDelta, encodeDelta } from '../wire/ads-codec.js';
import { ADS, type AdsHandlers } from '../wire/ads-service.js';
import { noEndpoints } from './probe.js';

/** Why nothing can be told by this canary any more: it ended, or its stream did. */
export class CanaryLost extends Error {}

interface Wait {
  readonly until: (names: ReadonlySet<string>) => boolean;
  readonly type: TypeUrl;
  resolve(): void;
  reject(error: Error): void;
}

/**
 * The xDS server of one canary: says exactly what it is told to, one response at a time, and hands back Envoy's answer to
 * each. Nothing is ordered, held back or sent again as {@link AdsServer} does for nodes; what Envoy asks for on account of
 * a resource that is judged is answered with nothing (no hosts, no routes), so that nothing ever warms for long.
 */
export class Feed {
  readonly #server = new Server();
  readonly #names = new Map<string, Set<string>>();
  readonly #answers = new Map<string, { resolve(error: string | undefined): void; reject(error: Error): void }>();
  readonly #waits = new Set<Wait>();
  /** Names whose answer is up to whoever judges. */
  readonly #own = new Set<string>();
  #call: ServerDuplexStream<Buffer, Buffer> | undefined;
  #nonce = 0;
  #lost: CanaryLost | undefined;
  readonly #begun = new Set<string>();
  #ready: (() => void) | undefined;
  /** Resolves when Envoy has asked for everything and has all of it: what is said from now on is judged at once. */
  readonly ready = new Promise<void>((resolve) => {
    this.#ready = resolve;
  });

  private constructor() {}

  /** Listens on a Unix socket. */
  static async start(socket: string): Promise<Feed> {
    const feed = new Feed();
    const handlers: AdsHandlers = {
      delta: (call) => feed.#accept(call),
      sotw: (call) => call.emit('error', { code: status.UNIMPLEMENTED, details: 'Delta only.' }),
    };
    feed.#server.addService(ADS, handlers);
    await new Promise<void>((resolve, reject) => {
      feed.#server.bindAsync(`unix:${socket}`, ServerCredentials.createInsecure(), (error) =>
        error ? reject(error) : resolve(),
      );
    });
    return feed;
  }

  /** Sends one response. Resolves with Envoy's text when it refuses it, with undefined when it accepts. @throws CanaryLost. */
  say(type: TypeUrl, resources: readonly Resource[], removed: readonly string[] = []): Promise<string | undefined> {
    if (this.#lost || !this.#call) return Promise.reject(this.#lost ?? new CanaryLost('Envoy is not connected.'));
    const nonce = String(++this.#nonce);
    const answer = new Promise<string | undefined>((resolve, reject) => {
      this.#answers.set(nonce, { resolve, reject });
    });
    this.#call.write(encodeDelta({ type, nonce, version: '', resources, removed, news: resources }));
    return answer;
  }

  /** Answers about these names are up to the caller, until {@link release}. */
  reserve(type: TypeUrl, names: readonly string[]): void {
    for (const name of names) this.#own.add(`${type}\n${name}`);
  }

  release(type: TypeUrl, names: readonly string[]): void {
    for (const name of names) this.#own.delete(`${type}\n${name}`);
  }

  /** Resolves when Envoy asks for the name. @throws CanaryLost. */
  asked(type: TypeUrl, name: string): Promise<void> {
    return this.#when(type, (names) => names.has(name));
  }

  /** Resolves when Envoy asks for none of the names any more. @throws CanaryLost. */
  left(type: TypeUrl, names: readonly string[]): Promise<void> {
    return this.#when(type, (asked) => !names.some((name) => asked.has(name)));
  }

  /** Ends everything under way with {@link CanaryLost}, and the server. */
  close(reason: string): void {
    this.#lose(reason);
    this.#server.forceShutdown();
  }

  #when(type: TypeUrl, until: Wait['until']): Promise<void> {
    if (this.#lost) return Promise.reject(this.#lost);
    if (until(this.#namesOf(type))) return Promise.resolve();
    return new Promise((resolve, reject) => this.#waits.add({ type, until, resolve, reject }));
  }

  #accept(call: ServerDuplexStream<Buffer, Buffer>): void {
    if (this.#call || this.#lost) {
      call.emit('error', { code: status.UNAVAILABLE, details: 'A canary has one stream.' });
      return;
    }
    this.#call = call;
    call.on('data', (bytes: Buffer) => this.#receive(bytes));
    for (const event of ['end', 'cancelled', 'error', 'close'])
      call.on(event, () => this.#lose('The stream of the canary ended.'));
  }

  #receive(bytes: Buffer): void {
    if (this.#lost) return;
    const { request } = decodeDelta(bytes);
    const type = request.type as TypeUrl;
    const names = this.#namesOf(type);
    for (const name of request.unsubscribe) names.delete(name);
    for (const name of request.subscribe) names.add(name);
    const answer = this.#answers.get(request.nonce);
    this.#answers.delete(request.nonce);
    answer?.resolve(request.error);
    for (const name of request.subscribe) this.#answerWithNothing(type, name);
    for (const wait of this.#waits) {
      if (wait.type !== type || !wait.until(names)) continue;
      this.#waits.delete(wait);
      wait.resolve();
    }
    this.#begin(type);
  }

  /** The first request of what comes by wildcard is answered even though there is nothing to say: Envoy waits for it. */
  #begin(type: TypeUrl): void {
    if (this.#begun.has(type) || !WILDCARD.includes(type)) return;
    this.#begun.add(type);
    const first = this.say(type, []);
    first.catch(() => {});
    if (this.#begun.size === WILDCARD.length)
      void first.then(
        () => this.#ready?.(),
        () => {},
      );
  }

  #answerWithNothing(type: TypeUrl, name: string): void {
    if (this.#own.has(`${type}\n${name}`)) return;
    const nothing = type === TYPE.endpoint ? noEndpoints(name) : type === TYPE.route ? emptyRoute(name) : undefined;
    if (nothing) this.say(type, [nothing]).catch(() => {});
  }

  #namesOf(type: string): Set<string> {
    const names = this.#names.get(type) ?? new Set<string>();
    this.#names.set(type, names);
    return names;
  }

  #lose(reason: string): void {
    this.#lost ??= new CanaryLost(reason);
    for (const { reject } of this.#answers.values()) reject(this.#lost);
    this.#answers.clear();
    for (const { reject } of this.#waits) reject(this.#lost);
    this.#waits.clear();
  }
}

const WILDCARD: readonly TypeUrl[] = [TYPE.cluster, TYPE.listener, TYPE.scope];
