import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['tests/runtime/**/*.spec.ts', 'tests/scripts/**/*.spec.ts', 'tests/console/**/*.spec.ts'],
    globalSetup: 'tests/runtime/setup.ts',
    // Each file starts its own runtime, which can be slow on a machine with other load.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    expect: { poll: { timeout: 20_000 } },
    maxWorkers: 2,
  },
});
