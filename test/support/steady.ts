import type { Answer, Ask } from './http-client.js';

export interface Steady {
  /** Requests answered so far. */
  count(): number;
  /** Every answer but 200, and every request without an answer, by what was wrong. */
  readonly failed: string[];
  /** Body of the newest answer. */
  last(): string;
  /** Ends it when all are answered. */
  stop(): Promise<void>;
}

/** Sends a request every `everyMs`, whether or not those before it are answered. */
export function steadily(ask: (path: string, ask?: Ask) => Promise<Answer>, request: Ask, everyMs: number): Steady {
  const failed: string[] = [];
  const open = new Set<Promise<void>>();
  let [count, last] = [0, ''];
  const send = async () => {
    try {
      const { status, body } = await ask('/', request);
      if (status !== 200) failed.push(`${status} ${body}`);
      last = body;
    } catch (error) {
      failed.push(String(error));
    }
    count++;
  };
  const timer = setInterval(() => {
    const sent = send();
    open.add(sent);
    void sent.finally(() => open.delete(sent));
  }, everyMs);
  return {
    count: () => count,
    failed,
    last: () => last,
    stop: async () => {
      clearInterval(timer);
      await Promise.all(open);
    },
  };
}
