/** A gRPC call that failed as such (https://grpc.github.io/grpc/core/md_doc_statuscodes.html). Envoy takes any for an error of the edge (7777). */
export interface GrpcFailure {
  readonly status: number;
  readonly message: string;
}

export const INVALID_ARGUMENT = 3;
export const RESOURCE_EXHAUSTED = 8;
export const UNIMPLEMENTED = 12;
export const INTERNAL = 13;

/** What a call is answered with: a message with its 5-byte prefix, or a failure. */
export type GrpcAnswer = Buffer | GrpcFailure;

/** Answers one call. Must not throw; a rejected promise or an exception is a bug and ends as INTERNAL. */
export type UnaryHandler = (message: Buffer) => GrpcAnswer | Promise<GrpcAnswer>;

const PREFIX = 5;

/**
 * Collects the one message of a unary call from DATA frames (gRPC over HTTP/2, "Length-Prefixed-Message"). Messages that are
 * compressed or longer than the limit are refused as soon as their prefix is there, before memory is spent on them.
 */
export class UnaryMessage {
  #first: Buffer | undefined;
  #chunks: Buffer[] | undefined;
  #received = 0;
  readonly #limit: number;

  constructor(limitBytes: number) {
    this.#limit = limitBytes;
  }

  /** Bytes held back while the message is incomplete. */
  get held(): number {
    return this.#received;
  }

  /** The whole message as soon as it is there (without prefix), a failure, or undefined while more is needed. */
  push(chunk: Buffer): Buffer | GrpcFailure | undefined {
    this.#received += chunk.length;
    if (this.#first === undefined) this.#first = chunk;
    else if (this.#chunks === undefined) this.#chunks = [this.#first, chunk];
    else this.#chunks.push(chunk);
    if (this.#received < PREFIX) return undefined;
    // The prefix may be split over several tiny frames; join them once, they are short.
    if (this.#chunks && this.#first.length < PREFIX) {
      this.#first = Buffer.concat(this.#chunks);
      this.#chunks = undefined;
    }
    if (this.#first[0] !== 0) return { status: UNIMPLEMENTED, message: 'compressed messages are not read' };
    const length = this.#first.readUInt32BE(1);
    if (length > this.#limit) {
      return { status: RESOURCE_EXHAUSTED, message: `a message of ${length} bytes; ${this.#limit} are allowed` };
    }
    if (this.#received < PREFIX + length) return undefined;
    if (this.#received > PREFIX + length)
      return { status: INVALID_ARGUMENT, message: 'more than one message in a unary call' };
    const whole = this.#chunks ? Buffer.concat(this.#chunks) : this.#first;
    return whole.subarray(PREFIX);
  }
}
