import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['tests/runtime/**/*.spec.ts', 'tests/scripts/**/*.spec.ts'],
    globalSetup: 'tests/runtime/setup.ts',
    // Each file starts a runtime of its own, which a busy machine does slowly; what takes longer than this hangs.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    maxWorkers: 2,
  },
});
