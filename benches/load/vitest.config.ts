import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: { include: ['benches/load/*.bench.ts'], globalSetup: 'tests/runtime/setup.ts' },
});
