import type { Announcement, Child } from './child.js';

export interface Supervised {
  /** Of the first start. */
  readonly ready: Promise<Announcement>;
  /** The process that runs now. */
  readonly current: () => Child;
  stop(): Promise<void>;
}

const LONGEST_PAUSE_MS = 10_000;
const CALM_MS = 30_000;

/**
 * Keeps a process running: one that ends by itself is started again, at once the first time and after growing pauses when it
 * keeps ending. One that ends before it was ever ready is not started again: its caller is told through `ready`.
 */
export async function keepRunning(name: string, say: (line: string) => void, start: () => Child): Promise<Supervised> {
  let stopping = false;
  let timer: NodeJS.Timeout | undefined;
  let pauseMs = 0;
  let child = start();
  const first = child;
  let isUp = false;
  void first.ready.then(
    () => {
      isUp = true;
    },
    () => {
      stopping = true;
    },
  );
  const watch = (watched: Child) => {
    const begun = performance.now();
    void watched.ended.then((how) => {
      // A process of ours that never got ready has told its caller already.
      if (stopping) return;
      if (performance.now() - begun > CALM_MS) pauseMs = 0;
      say(`${how}; starting ${name} again${pauseMs > 0 ? ` in ${pauseMs / 1000} s` : ''}`);
      timer = setTimeout(() => {
        child = start();
        watch(child);
      }, pauseMs);
      pauseMs = Math.min(Math.max(pauseMs * 2, 500), LONGEST_PAUSE_MS);
    });
  };
  watch(first);
  return {
    ready: first.ready,
    current: () => child,
    stop: async () => {
      stopping = true;
      clearTimeout(timer);
      await child.stop();
      if (isUp) await child.ended;
    },
  };
}
