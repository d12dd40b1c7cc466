// Before the suites, and outside of their time limits: what they run is compiled.

import { buildWorker } from '../../scripts/build.mjs';
import { run } from '../../scripts/run.mjs';

export default async function setup(): Promise<void> {
  await buildWorker();
  // The command line as the native tests have it: see seed.ts.
  await run('cargo', ['build', '--quiet', '--bin', 'admin'], { quiet: true });
}
