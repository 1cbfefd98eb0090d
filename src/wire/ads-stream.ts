import { type ServerDuplexStream, status } from '@grpc/grpc-js';
import type { Held } from '../core/ads/agenda.js';
import { type Claim, denial, told } from '../core/ads/identity.js';
import { byNameOnly, type Place, type Resource, TYPE } from '../core/ads/resource.js';
import type { RequestOutcome, ResourceStatus, Session, SessionOptions } from '../core/ads/session.js';
import { DeltaSession } from '../core/ads/session-delta.js';
import { type Possessions, SotwSession } from '../core/ads/session-sotw.js';
import type { EffectiveChange } from '../core/ads/table.js';
import type { Node } from '../gen/envoy/config/core/v3/base_pb.js';
import { decodeDelta, decodeSotw, encodeDelta, encodeSotw, readable } from './ads-codec.js';
import type { AdsEvent, NodeRole, ResponseEvent, StreamInfo } from './ads-events.js';
import type { Fleet, FleetStream } from './ads-fleet.js';
import { identityOf, type Presented } from './proof.js';
import { refusal } from './refusal.js';

/** Bytes and messages handed to gRPC and not yet taken by the client; beyond that only names pile up, in the session. */
const WINDOW_BYTES = 1 << 20;
const WINDOW_MESSAGES = 16;

/** Characters of a node's id, and of other words it says of itself that are shown and stored. */
const MOST_WORDS = 256;

/** What an Envoy is to have whether or not it has asked yet: it subscribes step by step, by what it was told before. */
const ENVOY_TYPES: ReadonlySet<string> = new Set([TYPE.cluster, TYPE.endpoint, TYPE.listener, TYPE.route, TYPE.scope]);

/** What a stream needs of its server. */
export interface AdsStreamOptions {
  readonly id: number;
  /** What the call presented to prove who it is. */
  readonly presented: Presented;
  /** The fleet of a node.cluster, if it is known. */
  fleet(key: string): Fleet | undefined;
  onEvent(event: AdsEvent): void;
  /** It claims to be what its proofs do not cover, and is refused. */
  onDenied(claim: Claim, message: string): void;
  onClosed(stream: AdsStream): void;
}

/** A decoded request, and how to hand it to a session. */
interface Arrived {
  readonly node: Node | undefined;
  to(session: Session, now: number): RequestOutcome;
}

/** One gRPC stream: bytes in and out of a {@link Session}, at the pace of the client. */
export class AdsStream implements FleetStream {
  #session: Session | undefined;
  #fleet: Fleet | undefined;
  #node: Node | undefined;
  #place: Place | undefined;
  #role: NodeRole = 'other';
  #ended = false;
  #bytes = 0;
  #messages = 0;
  #heardAt = 0;
  readonly #connectedAt = performance.now();
  readonly #peer: string;

  constructor(
    private readonly call: ServerDuplexStream<Buffer, Buffer>,
    private readonly kind: 'delta' | 'sotw',
    private readonly options: AdsStreamOptions,
  ) {
    this.#peer = call.getPeer();
    call.on('data', (bytes: Buffer) => this.#receive(bytes));
    call.on('end', () => {
      if (this.#close('the node closed the stream')) call.end();
    });
    call.on('cancelled', () => this.#close('the connection was lost'));
    call.on('error', (error) => this.#close(error.message));
    call.on('close', () => this.#close('the stream was closed'));
  }

  get isEdge(): boolean {
    return this.#session?.asks(TYPE.policy) ?? false;
  }

  get id(): number {
    return this.options.id;
  }

  /** Whom it comes from, once its node is let in. */
  get admittedPeer(): string | undefined {
    return this.#session && this.#peer;
  }

  /** Its node.id; `''`: it has not said it yet. */
  get node(): string {
    return this.#node?.id ?? '';
  }

  uses(type: string, name: string): boolean {
    return this.#session?.uses(type, name) ?? false;
  }

  possessions(): Possessions | undefined {
    return this.#session instanceof SotwSession ? this.#session.possessions() : undefined;
  }

  changed(change: EffectiveChange): void {
    this.#session?.changed(change, performance.now());
  }

  tick(now: number): void {
    const session = this.#session;
    if (session && session.heldCount > 0 && session.tick(now)) this.pump();
  }

  status(type: string, name: string): ResourceStatus | undefined {
    return this.#session?.status(type, name);
  }

  wants(type: string, name: string): boolean {
    const asked = this.#session?.covers(type, name) ?? false;
    return asked || (this.#role === 'envoy' && ENVOY_TYPES.has(type) && !byNameOnly(name));
  }

  names(type: string): Iterable<string> {
    return this.#session?.names(type) ?? [];
  }

  *named(type: string): Iterable<Resource> {
    for (const name of this.names(type)) {
      const resource = byNameOnly(name) ? this.#fleet?.table.get(type, name) : undefined;
      if (resource) yield resource;
    }
  }

  acked(type: string, name: string): string | undefined {
    return this.#session?.acked(type, name);
  }

  refused(type: string, name: string): { readonly version: string; readonly error: string } | undefined {
    return this.#session?.refused(type, name);
  }

  get quiet(): boolean {
    return this.#session !== undefined && this.#session.backlog === 0 && this.#session.unanswered === 0;
  }

  info(): StreamInfo | undefined {
    const session = this.#session;
    const fleet = this.#fleet;
    if (!session || !this.#node || !fleet) return undefined;
    const { region, zone, subZone } = localityOf(this.#node);
    const beside = besideOf(this.#node);
    return {
      stream: this.options.id,
      node: this.#node.id,
      fleet: fleet.key,
      variant: this.kind,
      peer: this.#peer,
      role: this.#role,
      ...(beside !== undefined && { beside }),
      userAgent: userAgent(this.#node),
      locality: { region, zone, subZone },
      authorised: this.options.presented.authorised,
      identity: identityOf(this.options.presented.proofs),
      connectedAtMs: performance.timeOrigin + this.#connectedAt,
      heardAtMs: performance.timeOrigin + this.#heardAt,
      backlog: session.backlog,
      unanswered: session.unanswered,
      held: session.held().map(({ item, kind, on, why }) => {
        return {
          type: item.type,
          name: item.name,
          change: kind,
          why,
          on,
          late: item.late,
          sinceMs: performance.timeOrigin + item.since,
        };
      }),
      // What is not wanted any more is no lack.
      refused: session.refusals().filter(({ type, name, version }) => fleet.table.get(type, name)?.version === version),
    };
  }

  /** Ends the stream with a status the node can show. */
  fail(code: status, message: string): void {
    if (this.#ended) return;
    this.#close(message);
    this.call.emit('error', refusal(code, message));
  }

  /** Writes what the session has to say, as long as the client takes it. */
  pump(): void {
    const session = this.#session;
    if (!session) return;
    while (!this.#ended && this.#bytes < WINDOW_BYTES && this.#messages < WINDOW_MESSAGES) {
      const response = session.next(performance.now());
      if (!response) break;
      const bytes = this.kind === 'delta' ? encodeDelta(response, this.#place) : encodeSotw(response, this.#place);
      this.#bytes += bytes.length;
      this.#messages++;
      this.call.write(bytes, () => {
        this.#bytes -= bytes.length;
        this.#messages--;
        this.pump();
      });
      const { type, nonce, news, removed } = response;
      this.#tell({ kind: 'sent', ...this.#responseEvent(type, nonce, news, removed) });
    }
    for (const held of session.takeLate()) this.#tellLate(held);
  }

  #receive(bytes: Buffer): void {
    if (this.#ended) return;
    this.#heardAt = performance.now();
    let arrived: Arrived;
    try {
      arrived = this.kind === 'delta' ? arriveDelta(bytes) : arriveSotw(bytes);
    } catch (error) {
      this.fail(status.INVALID_ARGUMENT, `The message is not a discovery request: ${(error as Error).message}`);
      return;
    }
    this.#session ??= this.#begin(arrived.node);
    if (!this.#session) return;
    const { settled, refusal } = arrived.to(this.#session, this.#heardAt);
    for (const { kind, type, nonce, resources, removed, error = '' } of settled) {
      for (const resource of resources) this.#judged(resource, kind === 'ack' ? undefined : error);
      const event = this.#responseEvent(type, nonce, resources, removed);
      this.#tell(kind === 'ack' ? { kind, ...event } : { kind, error, ...event });
    }
    if (refusal) this.fail(status[refusal.code], refusal.message);
    else this.pump();
  }

  /** Keeps the quarantine of the fleet: what a node accepted leaves it, what it is known to have refused comes into it. */
  #judged(resource: Resource, error: string | undefined): void {
    const { type, name, version } = resource;
    const [fleet, session, node] = [this.#fleet, this.#session, this.#node];
    if (!fleet || !session || !node) return;
    const desired = fleet.table.get(type, name)?.version;
    if (error === undefined) fleet.quarantine.accept(node.id, type, name, version, desired);
    else if (desired !== undefined && session.status(type, name).refused?.version === version)
      fleet.quarantine.refuse(node.id, resource, error, session.good(type, name), Date.now());
  }

  /** The first request names the node and with it the fleet. */
  #begin(node: Node | undefined): Session | undefined {
    if (node && said(node.id) !== node.id) {
      const message = `node.id has more than ${MOST_WORDS} characters, or one that cannot be shown.`;
      this.fail(status.INVALID_ARGUMENT, `${message} Set a short name of letters and digits with --service-node.`);
      return undefined;
    }
    if (!node || node.id === '') {
      const message = 'The first request of a stream must carry node.id.';
      this.fail(status.INVALID_ARGUMENT, `${message} Set it with --service-node or in the bootstrap of Envoy.`);
      return undefined;
    }
    const beside = besideOf(node);
    const claim: Claim = { fleet: node.cluster, node: node.id, ...(beside !== undefined && { beside }) };
    // Before it is told whether there is such a fleet.
    const denied = denial(this.options.presented.proofs, claim);
    if (denied !== undefined) {
      this.options.onDenied(claim, denied);
      this.fail(status.PERMISSION_DENIED, denied);
      return undefined;
    }
    const fleet = this.options.fleet(node.cluster);
    if (!fleet) {
      const message = `No fleet ${told(node.cluster)} is published here.`;
      const hint =
        'Set node.cluster to <workspace>/<fleet>, or publish that fleet: the node is let in when it tries again.';
      this.fail(status.NOT_FOUND, `${message} ${hint}`);
      return undefined;
    }
    this.#node = node;
    this.#place = placeOf(node);
    this.#role = roleOf(node);
    this.#fleet = fleet;
    if (beside !== undefined) fleet.meet(beside);
    const session: SessionOptions = {
      table: fleet.table,
      authorised: this.options.presented.authorised,
      knownNode: fleet.meet(node.id),
      now: performance.now(),
      usedElsewhere: (type, name) => fleet.uses(type, name, this),
      quarantine: fleet.quarantine.at(node.id),
    };
    const last = this.kind === 'sotw' ? fleet.last(node.id) : undefined;
    fleet.streams.add(this);
    this.#tell({ kind: 'connected', peer: this.#peer, variant: this.kind });
    return this.kind === 'delta' ? new DeltaSession(session) : new SotwSession({ ...session, last });
  }

  #close(reason: string): boolean {
    if (this.#ended) return false;
    this.#ended = true;
    this.#fleet?.streams.delete(this);
    const possessions = this.possessions();
    if (possessions) this.#fleet?.left(this.node, possessions);
    if (this.#fleet) this.#tell({ kind: 'disconnected', reason });
    this.#session = undefined;
    this.options.onClosed(this);
    return true;
  }

  #tellLate({ item, on, why }: Held): void {
    const desired = this.#fleet?.table.get(item.type, item.name);
    const event = this.#responseEvent(item.type, '', desired ? [desired] : [], desired ? [] : [item.name]);
    this.#tell({ kind: 'late', why, on: `${on.type}/${on.name}`, ...event });
  }

  #responseEvent(
    type: string,
    nonce: string,
    resources: readonly { name: string; version: string }[],
    removed: readonly string[],
  ): ResponseEvent {
    const names = [...resources.map(({ name }) => name), ...removed];
    const versions = [...resources.map(({ version }) => version), ...removed.map(() => '')];
    const release = this.#fleet?.release(type, names);
    return { type, nonce, names, versions, ...(release !== undefined && { release }) };
  }

  #tell(event: EventOf<AdsEvent>): void {
    const { id: stream } = this.options;
    const identity = { stream, node: this.#node?.id ?? '', fleet: this.#fleet?.key ?? '' };
    this.options.onEvent({ ...identity, atMs: performance.timeOrigin + performance.now(), ...event });
  }
}

type EventOf<E> = E extends AdsEvent ? Omit<E, 'stream' | 'node' | 'fleet' | 'atMs'> : never;

function arriveDelta(bytes: Buffer): Arrived {
  const { node, request } = decodeDelta(bytes);
  return { node, to: (session, now) => (session as DeltaSession).request(request, now) };
}

function arriveSotw(bytes: Buffer): Arrived {
  const { node, request } = decodeSotw(bytes);
  return { node, to: (session, now) => (session as SotwSession).request(request, now) };
}

/**
 * The node whose edge this is. It may have been served by its edge while no controller answered, and then comes without a
 * word about what it holds: it counts as known, so that it is told of removals.
 */
function besideOf({ metadata }: Node): string | undefined {
  return metadata?.role === 'edge' && typeof metadata.node === 'string' ? said(metadata.node) : undefined;
}

/** Where the node says that it stands; undefined when it says nothing. */
function placeOf({ locality }: Node): Place | undefined {
  const { region = '', zone = '', subZone: room = '' } = locality ?? {};
  return region === '' && zone === '' && room === '' ? undefined : { region, zone, room };
}

/** Envoys name themselves, and so do gRPC libraries ("gRPC Go", "gRPC Node Pure JS"); an edge says so in its metadata. */
function roleOf({ metadata, userAgentName }: Node): NodeRole {
  if (metadata?.role === 'edge') return 'edge';
  if (/^grpc\b/i.test(userAgentName)) return 'grpc';
  return userAgentName === 'envoy' ? 'envoy' : 'other';
}

/** As {@link StreamInfo} has it. */
function localityOf({ locality }: Node): StreamInfo['locality'] {
  const { region = '', zone = '', subZone = '' } = locality ?? {};
  return { region: said(region), zone: said(zone), subZone: said(subZone) };
}

/** A node's words, as they may be shown and stored. */
function said(text: string): string {
  return readable(text, MOST_WORDS);
}

function userAgent(node: Node): string {
  const { userAgentVersionType: version } = node;
  const name = said(node.userAgentName);
  if (version.case === 'userAgentVersion') return `${name} ${said(version.value)}`;
  const number = version.value?.version;
  return number ? `${name} ${number.majorNumber}.${number.minorNumber}.${number.patch}` : name;
}
