import {
  constants,
  createServer,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import {
  type GrpcAnswer,
  type GrpcFailure,
  INTERNAL,
  INVALID_ARGUMENT,
  RESOURCE_EXHAUSTED,
  UNIMPLEMENTED,
  type UnaryHandler,
  UnaryMessage,
} from './grpc.js';
import { socketPlace } from './unix-socket.js';

export interface UnaryServerOptions {
  /** Path of the Unix socket. */
  readonly path: string;
  /** The one method served, e.g. `/envoy.service.auth.v3.Authorization/Check`. */
  readonly method: string;
  readonly handler: UnaryHandler;
  /** Longest message. */
  readonly maxMessageBytes: number;
  /** Bytes of incomplete messages held for all calls together; beyond it calls end with RESOURCE_EXHAUSTED. */
  readonly maxHeldBytes: number;
  onError?(error: unknown): void;
}

export interface UnaryServer {
  /** Where it listens until {@link publish}; only for warming it up. */
  readonly temporaryPath: string;
  /** Replaces the handler; calls that have begun end with the old one. */
  use(handler: UnaryHandler): void;
  /** Makes it reachable under its path. */
  publish(): void;
  /** Connections open now. */
  connections(): number;
  /** Takes no new calls, lets running ones end for up to `graceMs`, then cuts them. */
  close(graceMs?: number): Promise<void>;
}

const OK_HEADERS = { ':status': 200, 'content-type': 'application/grpc' } as const;
const OK_TRAILERS = { 'grpc-status': '0' } as const;
const GRACE_MS = 1000;
/** Envoy sends as many calls at once as it may; a stream costs little until its message is there. */
const MAX_STREAMS = 16_384;
const STREAM_WINDOW = 1 << 20;
const CONNECTION_WINDOW = 16 << 20;
const MEMORY_MB_OF_SESSION = 1024;

/**
 * Serves one unary gRPC method over HTTP/2 without TLS ("prior knowledge") on a Unix socket that only its owner may use.
 * @throws Error when the socket cannot be placed; see {@link socketPlace}.
 */
export async function startUnaryServer(options: UnaryServerOptions): Promise<UnaryServer> {
  const place = await socketPlace(options.path);
  const state: State = { handler: options.handler, held: 0 };
  const sessions = new Set<ServerHttp2Session>();
  const server = createServer({
    settings: { maxConcurrentStreams: MAX_STREAMS, initialWindowSize: STREAM_WINDOW, enablePush: false },
    maxSessionMemory: MEMORY_MB_OF_SESSION,
  });
  server.on('session', (session) => {
    sessions.add(session);
    session.once('close', () => sessions.delete(session));
    session.on('error', () => session.destroy());
    session.setLocalWindowSize(CONNECTION_WINDOW);
  });
  server.on('sessionError', () => {}); // a peer that speaks no HTTP/2 has been cut off; nothing else is affected
  server.on('stream', (stream, headers) => receive(stream, headers, state, options));
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(place.temporary, () => {
      server.off('error', reject);
      resolve();
    });
  });
  server.on('error', (error) => options.onError?.(error));
  return {
    temporaryPath: place.temporary,
    use(handler) {
      state.handler = handler;
    },
    publish: () => place.publish(),
    connections: () => sessions.size,
    async close(graceMs = GRACE_MS) {
      place.remove();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const session of sessions) session.close();
      const timer = setTimeout(() => {
        for (const session of sessions) session.destroy();
      }, graceMs);
      await closed;
      clearTimeout(timer);
    },
  };
}

interface State {
  handler: UnaryHandler;
  held: number;
}

function receive(
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  state: State,
  options: UnaryServerOptions,
): void {
  stream.on('error', () => {}); // resets by the peer; 'close' follows
  if (headers[':path'] !== options.method) {
    fail(stream, { status: UNIMPLEMENTED, message: `only ${options.method} is served here` });
    return;
  }
  if (!headers['content-type']?.startsWith('application/grpc')) {
    fail(stream, { status: INVALID_ARGUMENT, message: 'content-type is not application/grpc' });
    return;
  }
  const message = new UnaryMessage(options.maxMessageBytes);
  let held = 0;
  let done = false;
  const finish = (answer: GrpcAnswer) => {
    done = true;
    state.held -= held;
    held = 0;
    send(stream, answer);
  };
  stream.on('data', (chunk: Buffer) => {
    if (done) return;
    const whole = message.push(chunk);
    if (whole === undefined) {
      state.held += message.held - held;
      held = message.held;
      if (state.held > options.maxHeldBytes)
        finish({ status: RESOURCE_EXHAUSTED, message: 'too many unfinished messages' });
    } else if (Buffer.isBuffer(whole)) {
      done = true;
      state.held -= held;
      held = 0;
      answerTo(stream, state.handler, whole, options);
    } else {
      finish(whole);
    }
  });
  stream.on('end', () => {
    if (!done) finish({ status: INVALID_ARGUMENT, message: 'the message is cut off' });
  });
  stream.on('close', () => {
    done = true;
    state.held -= held;
    held = 0;
  });
}

function answerTo(
  stream: ServerHttp2Stream,
  handler: UnaryHandler,
  message: Buffer,
  options: UnaryServerOptions,
): void {
  const broken = (error: unknown) => {
    options.onError?.(error);
    send(stream, { status: INTERNAL, message: 'the handler failed' });
  };
  try {
    const answer = handler(message);
    if (answer instanceof Promise) answer.then((late) => send(stream, late), broken);
    else send(stream, answer);
  } catch (error) {
    broken(error);
  }
}

function send(stream: ServerHttp2Stream, answer: GrpcAnswer): void {
  if (stream.destroyed || stream.closed) return;
  if (!Buffer.isBuffer(answer)) {
    fail(stream, answer);
    return;
  }
  stream.respond(OK_HEADERS, { waitForTrailers: true });
  stream.once('wantTrailers', sendOkTrailers);
  stream.end(answer);
}

function sendOkTrailers(this: ServerHttp2Stream): void {
  this.sendTrailers(OK_TRAILERS);
}

/** "Trailers-Only": the status in the one header block. What the peer still sends is discarded. */
function fail(stream: ServerHttp2Stream, { status, message }: GrpcFailure): void {
  if (stream.destroyed || stream.closed) return;
  stream.respond(
    { ...OK_HEADERS, 'grpc-status': String(status), 'grpc-message': encodeURI(message) },
    { endStream: true },
  );
  stream.close(constants.NGHTTP2_NO_ERROR);
}
