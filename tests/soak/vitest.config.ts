import { defineConfig } from 'vitest/config';

/** Longer than any section of a full run. Each wait inside a section has a shorter limit. */
const LONGEST_MS = 45 * 60_000;

export default defineConfig({
  test: {
    include: ['tests/soak/*.soak.ts'],
    globalSetup: 'tests/runtime/setup.ts',
    testTimeout: LONGEST_MS,
    hookTimeout: LONGEST_MS,
    // Progress is printed as it is reported.
    disableConsoleIntercept: true,
    reporters: ['verbose'],
  },
});
