// What a test has started or made is undone when the test ends; what a beforeAll has, when its file ends; and whatever is
// left, when the process ends. test/support/setup.ts opens and closes the scopes.

/** Undoes one thing. Called once. May be asynchronous. */
export type Cleanup = () => void | Promise<void>;

const scopes: Cleanup[][] = [[]];

/** Undoes `cleanup` at the end of the running test, or of the file when no test is running. Last in, first out. */
export function onCleanup(cleanup: Cleanup): void {
  scopes.at(-1)?.push(cleanup);
}

/** From here on cleanups belong to the test that begins. */
export function openScope(): void {
  scopes.push([]);
}

/** Runs the cleanups of the innermost scope, all of them even if some fail; then throws what failed. */
export async function closeScope(): Promise<void> {
  const cleanups = scopes.length > 1 ? (scopes.pop() ?? []) : scopes[0]?.splice(0);
  const failures: unknown[] = [];
  for (const cleanup of cleanups?.reverse() ?? []) {
    try {
      await cleanup();
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw new AggregateError(failures, `clean-up failed: ${failures.join('; ')}`);
}
