import type { HoldReason } from '../core/ads/agenda.js';
import type { Resource } from '../core/ads/resource.js';
import type { Identity } from './proof.js';

/** Who a stream belongs to. */
export interface StreamIdentity {
  /** Unique while the server runs. */
  readonly stream: number;
  /** node.id */
  readonly node: string;
  /** Fleet key `<workspace>/<fleet>` = node.cluster. */
  readonly fleet: string;
}

/** What a node is; other: any other xDS client. */
export type NodeRole = 'envoy' | 'edge' | 'grpc' | 'other';

/** What happened on a stream; raw material of receipts and inventories. */
export type AdsEvent = StreamIdentity & {
  /** Wall clock in ms since 1970, with fractions. */
  readonly atMs: number;
} & (
    | { readonly kind: 'connected'; readonly peer: string; readonly variant: 'delta' | 'sotw' }
    | { readonly kind: 'disconnected'; readonly reason: string }
    | ({ readonly kind: 'sent' } & ResponseEvent)
    | ({ readonly kind: 'ack' } & ResponseEvent)
    | ({ readonly kind: 'nack'; readonly error: string } & ResponseEvent)
    /** A resource has waited 5 s for the client to be ready for it, and waits on. */
    | ({ readonly kind: 'late'; readonly why: HoldReason; readonly on: string } & ResponseEvent)
  );

/** What a response said anew. */
export interface ResponseEvent {
  readonly type: string;
  readonly nonce: string;
  /** Upserts and removals. */
  readonly names: readonly string[];
  /** Beside `names`; `''` = removed. */
  readonly versions: readonly string[];
  /** Newest release that changed any of the names, if they were published with one. */
  readonly release?: number;
}

/** A stream as it is now. */
export interface StreamInfo extends StreamIdentity {
  readonly variant: 'delta' | 'sotw';
  readonly peer: string;
  /** As the node tells: Envoys and gRPC clients by their user agent; an edge, which names the node it stands beside, in its metadata. */
  readonly role: NodeRole;
  readonly beside?: string;
  /** As the node tells it, e.g. `envoy 1.40.0`; empty when it does not. */
  readonly userAgent: string;
  readonly locality: { readonly region: string; readonly zone: string; readonly subZone: string };
  /** May have types that hold secrets. */
  readonly authorised: boolean;
  /** How it proved who it is. */
  readonly identity: Identity;
  readonly connectedAtMs: number;
  /** When it last sent anything. */
  readonly heardAtMs: number;
  /** Names still to be said; 0 with `unanswered` 0 = in step. */
  readonly backlog: number;
  /** Responses without an answer yet. */
  readonly unanswered: number;
  /** What is held back, and why. */
  readonly held: readonly HeldInfo[];
  /** Versions the node refused and has not got past. */
  readonly refused: readonly {
    readonly type: string;
    readonly name: string;
    readonly version: string;
    readonly error: string;
  }[];
}

/** A stream as receipts look at it: cheap to ask about one resource. */
export interface NodeStream {
  readonly id: number;
  /** Whether the node is to have this resource: it subscribed to it, or it is an Envoy, which has use for all of its types. */
  wants(type: string, name: string): boolean;
  /** Names of a type that the node asked for one by one. */
  names(type: string): Iterable<string>;
  /** Resources that are given by name only, of those that the node named. */
  named(type: string): Iterable<Resource>;
  /** Version in force at the node. */
  acked(type: string, name: string): string | undefined;
  /** Version the node refused and has not got past. */
  refused(type: string, name: string): { readonly version: string; readonly error: string } | undefined;
  /** Nothing is left to be said or answered. */
  readonly quiet: boolean;
  info(): StreamInfo | undefined;
}

export interface HeldInfo {
  readonly type: string;
  readonly name: string;
  readonly change: 'upsert' | 'removal';
  readonly why: HoldReason;
  /** Type and name of what it waits for. */
  readonly on: { readonly type: string; readonly name: string };
  readonly late: boolean;
  /** Since when, as `connectedAtMs`. */
  readonly sinceMs: number;
}
