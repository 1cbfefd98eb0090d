import { Agent, request } from 'node:http';

export interface LoadResult {
  readonly sent: number;
  readonly failed: number;
  /** What failed answers were, with their count. */
  readonly failures: Readonly<Record<string, number>>;
}

export interface Load {
  stop(): Promise<LoadResult>;
}

/**
 * Sends `rate` requests a second, spread evenly, whatever becomes of the earlier ones (open loop), over at most 32
 * connections. A request fails when it is not answered with 200.
 */
export function startLoad(port: number, rate: number, next: (n: number) => { path: string; host: string }): Load {
  const agent = new Agent({ keepAlive: true, maxSockets: 32 });
  const failures: Record<string, number> = {};
  const open = new Set<Promise<void>>();
  let sent = 0;
  let failed = 0;
  const began = performance.now();
  const fail = (why: string) => {
    failed++;
    failures[why] = (failures[why] ?? 0) + 1;
  };
  const send = () => {
    const { path, host } = next(sent++);
    const done = new Promise<void>((resolve) => {
      const call = request({ host: '127.0.0.1', port, path, headers: { host }, agent, timeout: 10_000 }, (response) => {
        if (response.statusCode !== 200)
          fail(`${response.statusCode} ${String(response.headers['x-gateway-result-code'] ?? '')}`);
        response.resume();
        response.on('end', resolve);
        response.on('error', () => resolve());
      });
      call.on('timeout', () => call.destroy(new Error('no answer in 10 s')));
      call.on('error', (error) => {
        fail(error.message);
        resolve();
      });
      call.end();
    }).finally(() => open.delete(done));
    open.add(done);
  };
  const timer = setInterval(() => {
    const due = Math.floor(((performance.now() - began) / 1000) * rate);
    while (sent < due) send();
  }, 2);
  return {
    stop: async () => {
      clearInterval(timer);
      await Promise.all(open);
      agent.destroy();
      return { sent, failed, failures };
    },
  };
}
