import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: { include: ['benches/**/*.bench.ts'], globalSetup: 'tests/runtime/setup.ts', hookTimeout: 120_000 },
});
