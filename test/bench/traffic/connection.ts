import { connect, type Socket } from 'node:net';

/** An answer over a {@link Connection}. */
export interface Reply {
  readonly status: number;
  readonly code: string;
  readonly body: string;
}

const LIMIT_MS = 10_000;

/**
 * One kept HTTP/1.1 connection that asks one thing at a time. Made for benches: it costs a tenth of node:http, so that on a
 * small machine what is measured is not the measuring. Connects anew when the server has closed.
 */
export class Connection {
  private socket: Socket | undefined;
  private text = '';
  private pending: { resolve: (reply: Reply) => void; reject: (error: Error) => void } | undefined;

  constructor(private readonly port: number) {}

  /** Resolves with the answer, whatever its status. Rejects when the connection is lost or 10 s pass without one. */
  get(path: string, host: string): Promise<Reply> {
    return new Promise((resolve, reject) => {
      this.pending = { resolve, reject };
      this.opened().write(`GET ${path} HTTP/1.1\r\nhost: ${host}\r\n\r\n`);
    });
  }

  close(): void {
    this.socket?.destroy();
    this.socket = undefined;
  }

  private opened(): Socket {
    if (this.socket) return this.socket;
    const socket = connect(this.port, '127.0.0.1');
    this.socket = socket;
    this.text = '';
    socket.setNoDelay(true);
    socket.setTimeout(LIMIT_MS, () => socket.destroy(new Error('no answer in 10 s')));
    socket.setEncoding('latin1');
    socket.on('data', (chunk: string) => this.read(chunk));
    socket.on('error', (error) => this.lost(socket, error));
    socket.on('close', () => this.lost(socket, new Error('the connection was closed')));
    return socket;
  }

  private lost(socket: Socket, error: Error): void {
    if (this.socket !== socket) return;
    this.socket = undefined;
    const { pending } = this;
    this.pending = undefined;
    pending?.reject(error);
  }

  private read(chunk: string): void {
    this.text += chunk;
    const end = this.text.indexOf('\r\n\r\n');
    if (end === -1) return;
    const head = this.text.slice(0, end);
    const body = this.text.slice(end + 4);
    const length = /\r\ncontent-length: (\d+)/i.exec(head)?.[1];
    if (length === undefined ? !body.endsWith('0\r\n\r\n') : body.length < Number(length)) return;
    this.text = '';
    if (/\r\nconnection: close/i.test(head)) this.close();
    const { pending } = this;
    this.pending = undefined;
    const code = /\r\nx-gateway-result-code: (\d+)/i.exec(head)?.[1] ?? '';
    pending?.resolve({ status: Number(head.slice(9, 12)), code, body });
  }
}
