import { connect } from 'node:net';

const LIMIT_MS = 10_000;

/**
 * Sends `request` byte by byte as it stands to 127.0.0.1:`port` and resolves with the first answer, headers and body, and
 * whether the server closes the connection then. For requests that no client library would send. Rejects after 10 s.
 */
export function rawHttp(port: number, request: string): Promise<{ readonly text: string; readonly closed: boolean }> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(request, 'latin1'));
    let text = '';
    const done = (closed: boolean) => {
      socket.destroy();
      resolve({ text, closed });
    };
    socket.setTimeout(LIMIT_MS, () => {
      socket.destroy();
      reject(new Error(`no whole answer to ${JSON.stringify(request)}: ${JSON.stringify(text)}`));
    });
    socket.setEncoding('latin1').on('data', (chunk: string) => {
      text += chunk;
      const [head, body] = split(text);
      const length = Number(/^content-length: (\d+)/im.exec(head ?? '')?.[1] ?? Number.NaN);
      if (body === undefined || !(body.length >= length)) return;
      // Envoy lingers before it closes; that it will is what it says.
      done(/^connection: close/im.test(head ?? ''));
    });
    socket.on('end', () => done(true));
    socket.on('error', (error) => (text === '' ? reject(error) : done(true)));
  });
}

function split(text: string): [head: string | undefined, body: string | undefined] {
  const at = text.indexOf('\r\n\r\n');
  return at === -1 ? [undefined, undefined] : [text.slice(0, at), text.slice(at + 4)];
}
