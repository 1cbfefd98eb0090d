import type { Announcement, Child } from './child.js';

export interface Supervised {
  /** Of the first start; see {@link Child.ready}. */
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
export function keepRunning(name: string, say: (line: string) => void, start: () => Child): Supervised {
  let stopping = false;
  let timer: NodeJS.Timeout | undefined;
  let pauseMs = 0;
  let child = start();
  const watch = (watched: Child) => {
    const begun = performance.now();
    void watched.ended.then(async (how) => {
      const isFirst = watched === first;
      // Its caller waits for `ready` and is told there.
      if (isFirst && watched.announces && !(await wasReady(watched))) return;
      if (stopping) return;
      if (performance.now() - begun > CALM_MS) pauseMs = 0;
      say(`${how}; starting ${name} again${pauseMs > 0 ? ` in ${pauseMs / 1000} s` : ''}`);
      again();
    });
  };
  const again = () => {
    timer = setTimeout(() => {
      try {
        child = start();
      } catch (error) {
        // A full disk or no process to be had: that passes, and the other processes must not end for it.
        say(`${name} cannot be started: ${(error as Error).message}; trying again`);
        again();
        return;
      }
      watch(child);
    }, pauseMs);
    pauseMs = Math.min(Math.max(pauseMs * 2, 500), LONGEST_PAUSE_MS);
  };
  const first = child;
  watch(first);
  return {
    ready: first.ready,
    current: () => child,
    stop: async () => {
      stopping = true;
      clearTimeout(timer);
      await child.stop();
    },
  };
}

/** Whether a process that has ended was ready before: its promise is settled by then. */
function wasReady(ended: Child): Promise<boolean> {
  return ended.ready.then(
    () => true,
    () => false,
  );
}
