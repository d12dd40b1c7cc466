import { defineConfig } from 'vitest/config';

/** No section of a full run takes this long; every wait inside a section has a shorter bound of its own. */
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
