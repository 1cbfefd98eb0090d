import { constants } from 'node:crypto';
import { createServer, type SecureContextOptions, type Server, type TLSSocket } from 'node:tls';
import type { CertificateFiles, Certificates } from './certificate-files.js';

export interface TlsListenerOptions {
  readonly host: string;
  /** 0 = any free port. */
  readonly port: number;
  /** Certificate and key of the server; with a CA, clients are asked for certificates. */
  readonly certificates: CertificateFiles;
  /** Whether a client without a certificate is refused. One that the CA does not vouch for always is. */
  readonly demand: boolean;
  /** How long a handshake may take, in ms. Default 10,000. */
  readonly handshakeMs?: number;
  /** Takes a connection that speaks HTTP/2. Its `authorized` tells that its certificate is vouched for. */
  onConnection(socket: TLSSocket): void;
  onRefused(peer: string, reason: string): void;
}

const HANDSHAKE_MS = 10_000;
/** How long after a refusal its connection ends, in ms. */
const LAST_WORDS_MS = 200;

/**
 * Accepts TLS 1.2 and newer, for HTTP/2. New content of the files holds for connections that come after it; those that are
 * there live on. Sessions cannot be resumed: each connection proves anew who it is, to the CA that is in force then.
 */
export class TlsListener {
  readonly #sockets = new Map<string, TLSSocket>();

  private constructor(
    private readonly server: Server,
    readonly port: number,
  ) {}

  /** Resolves when it listens. Rejects when the port is taken. */
  static async start(options: TlsListenerOptions): Promise<TlsListener> {
    const { certificates } = options;
    const server = createServer({
      ...contextOf(certificates.current),
      ALPNProtocols: ['h2'],
      requestCert: certificates.current.ca !== undefined,
      // Decided below, where the certificate can be named.
      rejectUnauthorized: false,
      handshakeTimeout: options.handshakeMs ?? HANDSHAKE_MS,
    });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(options.port, options.host, resolve);
    });
    // Later ones are of connections that could not be accepted, for lack of descriptors most often; others can be again.
    server.removeAllListeners('error').on('error', (error: NodeJS.ErrnoException) => {
      options.onRefused('unknown', `it could not be accepted: ${error.code ?? error.message}`);
    });
    const { port } = server.address() as { port: number };
    const listener = new TlsListener(server, port);
    certificates.follow((renewed) => server.setSecureContext(contextOf(renewed)));
    server.on('secureConnection', (socket) => listener.#accept(socket, options));
    server.on('tlsClientError', (error: Error & { code?: string }, socket) => {
      // Whoever goes away in the middle knows why: a balancer that only looks whether the port is open, most often.
      if (error.code !== 'ECONNRESET') options.onRefused(peerOf(socket), handshakeFault(error));
      // Of a handshake that takes too long Node.js only tells; the connection is ours to end.
      socket.destroy();
    });
    return listener;
  }

  /** Stops listening; what is connected stays. */
  close(): void {
    this.server.close();
  }

  /** Ends what is connected. */
  destroy(): void {
    for (const socket of this.#sockets.values()) socket.destroy();
  }

  /**
   * Ends the connection of a peer (`address:port`, as gRPC names it) when what was said to it has had time to leave: whoever was
   * refused comes back with the proof it has then, which on the same connection it could not.
   */
  drop(peer: string): void {
    const socket = this.#sockets.get(peer);
    if (socket) setTimeout(() => socket.destroySoon(), LAST_WORDS_MS).unref();
  }

  #accept(socket: TLSSocket, { certificates, demand, onConnection, onRefused }: TlsListenerOptions): void {
    socket.on('error', () => socket.destroy());
    const asked = certificates.current.ca !== undefined;
    const fault = faultOf(socket, asked, asked && demand);
    if (fault !== undefined) {
      onRefused(peerOf(socket), fault);
      socket.destroy();
      return;
    }
    const peer = `${socket.remoteAddress}:${socket.remotePort}`;
    this.#sockets.set(peer, socket);
    socket.on('close', () => {
      if (this.#sockets.get(peer) === socket) this.#sockets.delete(peer);
    });
    onConnection(socket);
  }
}

function contextOf({ certificate, key, ca }: Certificates): SecureContextOptions {
  return {
    ...(certificate && { cert: certificate }),
    ...(key && { key }),
    ...(ca && { ca }),
    minVersion: 'TLSv1.2',
    secureOptions: constants.SSL_OP_NO_TICKET,
  };
}

function faultOf(socket: TLSSocket, asked: boolean, demand: boolean): string | undefined {
  if (socket.alpnProtocol !== 'h2') return 'it does not ask for HTTP/2 (ALPN h2)';
  if (!asked || socket.authorized) return undefined;
  const { serialNumber, subject } = socket.getPeerCertificate();
  if (serialNumber === undefined) return demand ? 'it presents no client certificate, and one is demanded' : undefined;
  const name = JSON.stringify(String(subject?.CN ?? '').slice(0, 100));
  return `its client certificate (serial ${serialNumber}, CN ${name}) is not accepted: ${socket.authorizationError}`;
}

/** Why a handshake failed, in words where the usual causes are known. */
function handshakeFault({ code, message }: { code?: string; message: string }): string {
  switch (code) {
    case 'ERR_SSL_HTTP_REQUEST':
    case 'ERR_SSL_WRONG_VERSION_NUMBER':
    case 'ERR_SSL_PACKET_LENGTH_TOO_LONG':
      return 'it does not speak TLS';
    case 'ERR_SSL_UNSUPPORTED_PROTOCOL':
      return 'it speaks no TLS newer than 1.1';
    case 'ERR_SSL_NO_APPLICATION_PROTOCOL':
      return 'it does not ask for HTTP/2 (ALPN h2)';
    case 'ERR_SSL_TLSV1_ALERT_UNKNOWN_CA':
    case 'ERR_SSL_SSL/TLS_ALERT_UNKNOWN_CA':
      return 'it does not trust the certificate of this controller';
    case 'ERR_TLS_HANDSHAKE_TIMEOUT':
      return 'it did not finish the handshake in time';
    default:
      return `the handshake failed: ${code ?? message}`;
  }
}

function peerOf({ remoteAddress, remotePort }: TLSSocket): string {
  if (remoteAddress === undefined) return 'unknown';
  return `${remoteAddress.includes(':') ? `[${remoteAddress}]` : remoteAddress}:${remotePort}`;
}
