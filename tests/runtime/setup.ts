// Compiles the programs and imports the profiles, once for all suites and outside of their time limits.

import type { TestProject } from 'vitest/node';
import { buildWorker } from '../../scripts/build.mjs';
import { run } from '../../scripts/run.mjs';
import { FOREIGN_KEY, INDEX_KEY } from './harness.js';
import { profiles } from './profiles.js';
import { Operator, type Pair } from './seed.js';

/** Indexes that the operator's command line wrote. */
export interface Indexes {
  /** Database 1, imported once. */
  first: Pair[];
  /** Database 1 after a second import, with the buckets of both imports. */
  second: Pair[];
  /** Database 3, made with another key. */
  foreign: Pair[];
}

declare module 'vitest' {
  export interface ProvidedContext {
    indexes: Indexes;
  }
}

export default async function setup(project: TestProject): Promise<void> {
  await buildWorker();
  // The command line in the profile of the native tests, which seed.ts runs.
  await run('cargo', ['build', '--quiet', '--bin', 'admin'], { quiet: true });
  const [imported, foreign] = await Promise.all([importTwice(), importForeign()]);
  project.provide('indexes', { ...imported, foreign });
}

async function importTwice(): Promise<Pick<Indexes, 'first' | 'second'>> {
  const operator = await Operator.start(INDEX_KEY);
  await operator.importProfiles(1, profiles('b'), 'ndjson');
  const first = await operator.contents('PROFILES');
  await operator.importProfiles(1, profiles('c'), 'ndjson');
  const second = await operator.contents('PROFILES');
  await operator.stop();
  return { first, second };
}

async function importForeign(): Promise<Pair[]> {
  const operator = await Operator.start(FOREIGN_KEY);
  await operator.importProfiles(3, profiles('b'), 'ndjson');
  const pairs = await operator.contents('PROFILES');
  await operator.stop();
  return pairs;
}
