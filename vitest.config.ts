import { defineConfig } from 'vitest/config';

export default defineConfig({
  // Nest injects by the types that decorators record; Vite's own transformer writes them when told so.
  oxc: { decorator: { legacy: true, emitDecoratorMetadata: true } },
  test: {
    include: ['test/**/*.test.ts'],
    setupFiles: ['test/support/setup.ts'],
    // Processes, not threads: tests start Envoy and PostgreSQL, and a worker that dies takes its 'exit' handlers'
    // clean-up with it only if it is a process of its own. Native add-ons are also safe from being loaded twice in one.
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
});
